"""An actuation is done while its reading is young, the urgent ones first, and no target holds up another."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headland.line.deciding import Actuation, Outcome, Reference
from headland.line.deciding.actuation import ActuationKey
from headland.sinks import actuators as room
from headland.sinks.actuators import Actuators
from headland.vocabulary import Priority

KEY = ActuationKey("rule", "series", 1)
FOREVER = (1 << 63) - 1


class Told:
    """What became of each, in order, with a wait for so many."""

    def __init__(self) -> None:
        self.all: list[tuple[Actuation, Outcome, str]] = []
        self._changed = threading.Condition()

    def __call__(self, actuation: Actuation, outcome: Outcome, why: str) -> None:
        with self._changed:
            self.all.append((actuation, outcome, why))
            self._changed.notify_all()

    def wait(self, count: int) -> list[Outcome]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.all) >= count, 20), self.all
            return [outcome for _, outcome, _ in self.all]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def actuators(told: Told) -> Iterator[Actuators]:
    made = Actuators(told, lambda reference: f"secret of {reference.file}")
    yield made
    made.close()


def posted(target: str, urgency: Priority = Priority.HIGH, not_after_ns: int = FOREVER) -> Actuation:
    return Actuation("http", target, b"1", KEY, 0.5, urgency=urgency, not_after_ns=not_after_ns)


def touched(path: Path, urgency: Priority = Priority.HIGH, not_after_ns: int = FOREVER) -> Actuation:
    arguments = (str(path),)
    return Actuation("command", "touch", b"", KEY, 5.0, arguments, None, 1, urgency, not_after_ns)


@contextlib.contextmanager
def server(*answers: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers its connections with these, and with nothing, for ever, from then on."""
    asked: list[bytes] = []
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            todo = list(answers)
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    if not todo:
                        held.append(connection)
                        asked.append(b"")
                        continue
                    with connection:
                        asked.append(connection.recv(65536))
                        connection.sendall(todo.pop(0))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in held:
            one.close()


def reached(asked: list[bytes]) -> None:
    """Wait until somebody has called."""
    end = time.monotonic() + 20
    while not asked:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_answers_that_are_no_http_and_targets_that_are_no_url_do_not_end_the_threads(
    told: Told, actuators: Actuators
) -> None:
    with server(*[b"nonsense\r\n\r\n"] * 4, b"HTTP/1.1 204 \r\n\r\n") as (port, _):
        for _ in range(4):
            actuators.start(posted(f"http://127.0.0.1:{port}/bell"))
        for _ in range(4):
            actuators.start(posted(f"http://127.0.0.1:{port}/a bell"))
        actuators.start(posted(f"http://127.0.0.1:{port}/bell"))
        assert told.wait(9) == [Outcome.FAILED] * 8 + [Outcome.DONE]


def test_what_is_too_old_when_its_turn_comes_is_not_done(
    told: Told, actuators: Actuators, tmp_path: Path
) -> None:
    """Kills: a stop carried out ten seconds after its reading, because others were before it."""
    actuators.start(touched(tmp_path / "old", not_after_ns=time.monotonic_ns() - 1))
    actuators.start(touched(tmp_path / "young", not_after_ns=time.monotonic_ns() + 20_000_000_000))
    assert told.wait(2) == [Outcome.LATE, Outcome.DONE]
    assert [one.name for one in tmp_path.iterdir()] == ["young"]


def test_a_server_that_hangs_delays_nobody_else_and_its_own_queue_gets_too_old(
    told: Told, actuators: Actuators, tmp_path: Path
) -> None:
    with server() as (port, asked):
        soon_ns = time.monotonic_ns() + 400_000_000
        for _ in range(30):
            actuators.start(posted(f"http://127.0.0.1:{port}/slow", not_after_ns=soon_ns))
        actuators.start(touched(tmp_path / "stop", not_after_ns=soon_ns))
        told.wait(1)
        assert [(one.kind, outcome) for one, outcome, _ in told.all] == [("command", Outcome.DONE)]
        outcomes = told.wait(31)[1:]
        assert outcomes[0] == Outcome.FAILED
        assert set(outcomes[1:]) == {Outcome.LATE}
        assert len(asked) == 1, "one target has one thread"


def test_a_critical_one_does_not_wait_for_lesser_ones_at_the_same_server(
    told: Told, actuators: Actuators
) -> None:
    with server() as (port, asked):
        actuators.start(posted(f"http://127.0.0.1:{port}/report", Priority.LOW))
        reached(asked)
        actuators.start(posted(f"http://127.0.0.1:{port}/report", Priority.LOW))
        actuators.start(posted(f"http://127.0.0.1:{port}/stop", Priority.CRITICAL))
        told.wait(2)
        assert {one.urgency for one, _, _ in told.all} == {Priority.LOW, Priority.CRITICAL}
        assert len(asked) in (2, 3)


def test_of_what_waits_for_threads_the_most_urgent_is_next(
    told: Told, actuators: Actuators, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "THREADS_MAX", 1)
    monkeypatch.setattr(room, "CRITICAL_THREADS", 0)
    with server() as (port, asked):
        actuators.start(posted(f"http://127.0.0.1:{port}/slow"))
        reached(asked)
        for urgency in (Priority.LOW, Priority.NORMAL, Priority.CRITICAL, Priority.HIGH):
            actuators.start(touched(tmp_path / urgency.name, urgency))
        told.wait(5)
    assert [one.urgency for one, _, _ in told.all[1:]] == sorted(Priority)


def test_those_of_one_class_for_one_target_keep_their_order(told: Told, actuators: Actuators) -> None:
    with server(*[b"HTTP/1.1 200 OK\r\n\r\n"] * 20) as (port, asked):
        for i in range(20):
            actuators.start(posted(f"http://127.0.0.1:{port}/{i}"))
        assert told.wait(20) == [Outcome.DONE] * 20
    assert [one.split()[1] for one in asked] == [f"/{i}".encode() for i in range(20)]


def test_beyond_the_bound_the_oldest_of_the_target_is_dropped_and_told(
    told: Told, actuators: Actuators
) -> None:
    with server() as (port, asked):
        actuators.start(posted(f"http://127.0.0.1:{port}/0"))
        reached(asked)
        for i in range(1, room.PER_TARGET_MAX + 3):
            actuators.start(posted(f"http://127.0.0.1:{port}/{i}"))
        assert told.wait(2) == [Outcome.DROPPED] * 2
        assert [one.target.rpartition("/")[2] for one, _, _ in told.all] == ["1", "2"]


def test_a_post_carries_its_key_and_its_secret_and_follows_no_redirect(
    told: Told, actuators: Actuators
) -> None:
    key = ActuationKey("zu heiß", "plant/ä\r\nX: 1", 7)
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"
    with server(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", moved) as (port, asked):
        target = f"http://127.0.0.1:{port}/a?b=1"
        actuators.start(Actuation("http", target, b"x", key, 2.0, (), Reference(file="token")))
        actuators.start(posted(target))
        assert told.wait(2) == [Outcome.DONE, Outcome.FAILED]
    assert b"Idempotency-Key: zu%20hei%C3%9F:plant/%C3%A4%0D%0AX%3A%201:t7\r\n" in asked[0]
    assert b"Authorization: secret of token\r\n" in asked[0]
    assert told.all[1][2] == "answered 302"


def test_an_answer_that_drips_is_given_up_at_the_limit(told: Told, actuators: Actuators) -> None:
    """Kills: a limit that begins anew with every byte."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                while not stop.wait(0.05):
                    connection.sendall(b"H")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        target = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        actuators.start(Actuation("http", target, b"", KEY, 0.3))
        assert told.wait(1) == [Outcome.FAILED]
        stop.set()
        thread.join()


def test_a_program_past_its_limit_is_killed_with_what_it_started(
    told: Told, actuators: Actuators, tmp_path: Path
) -> None:
    script = f"(sleep 1; touch {tmp_path}/late) & sleep 30"
    actuators.start(Actuation("command", "sh", b"", KEY, 0.2, ("-c", script)))
    actuators.start(Actuation("command", "false", b"", KEY, 5.0))
    actuators.start(Actuation("command", "/no/such/program", b"", KEY, 5.0))
    script = 'test "$HEADLAND_KEY" = rule:series:t1 && test "$(cat)" = in && head -c 1000000 /dev/zero'
    actuators.start(Actuation("command", "/bin/sh", b"in", KEY, 5.0, ("-c", script)))
    told.wait(4)
    outcomes = {one.target: (outcome, why) for one, outcome, why in told.all}
    assert outcomes["sh"] == (Outcome.FAILED, "not done after 0.2 s")
    assert outcomes["false"] == (Outcome.FAILED, "ended with 1")
    assert outcomes["/no/such/program"][0] == Outcome.FAILED
    assert outcomes["/bin/sh"] == (Outcome.DONE, "")
    time.sleep(1.1)  # what was killed would have made it by now
    assert not (tmp_path / "late").exists()
