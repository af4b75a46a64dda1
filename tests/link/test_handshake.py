"""Laws of a hello: which are answered, in which version, and what does not fit is said."""

from __future__ import annotations

import msgspec
import pytest

from headland.link.contract import EpochHello, Later, StreamHello, StreamKey, StreamWelcome
from headland.link.handshake import MAX_EPOCHS, Refusal, agree, compare, same_process, standing
from headland.link.positions import ChildState
from headland.link.protocol import MAGIC, VERSION_MAX, VERSION_MIN, CloseReason, Hello

E, F = b"e" * 16, b"f" * 16
HELLO = Hello(MAGIC, VERSION_MIN, VERSION_MAX, "child", E, b"", (EpochHello(E),), 5, True)


def but(**change: object) -> Hello:
    return msgspec.structs.replace(HELLO, **change)


@pytest.mark.parametrize("name", ["child", None])
def test_the_highest_version_that_both_know_is_spoken(name: str | None) -> None:
    assert agree(HELLO, name) == VERSION_MAX
    assert agree(but(version_max=VERSION_MAX + 7), name) == VERSION_MAX
    assert agree(but(epochs=(EpochHello(E),) * MAX_EPOCHS), name) == VERSION_MAX
    assert agree(but(epochs=()), name) == VERSION_MAX


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"magic": "headland-lonk"}, CloseReason.PROTOCOL),
        ({"epoch": E[:15]}, CloseReason.PROTOCOL),
        ({"node": ""}, CloseReason.PROTOCOL),
        ({"epochs": (EpochHello(E),) * (MAX_EPOCHS + 1)}, CloseReason.PROTOCOL),
        ({"epochs": (EpochHello(E), EpochHello(E + b"e"))}, CloseReason.PROTOCOL),
        ({"node": "other"}, CloseReason.NAME),
        ({"version_min": VERSION_MAX + 1, "version_max": VERSION_MAX + 1}, CloseReason.VERSION),
        ({"version_min": 0, "version_max": VERSION_MIN - 1}, CloseReason.VERSION),
    ],
)
def test_a_hello_that_cannot_be_answered_is_refused_with_the_reason(
    change: dict[str, object], reason: CloseReason
) -> None:
    """Kills: one of several breaches not looked at; a refusal that does not say why."""
    with pytest.raises(Refusal) as refused:
        agree(but(**change), "child")
    assert refused.value.reason == reason
    assert refused.value.detail
    assert str(refused.value) == refused.value.detail


def test_one_process_is_known_by_its_epoch() -> None:
    assert same_process(HELLO, but(node="child", predecessor=F))
    assert not same_process(HELLO, but(epoch=F, predecessor=E))


KEY = StreamKey(E, 2, 1)
HERE, OTHER = b"h" * 16, b"o" * 16


def standing_at(p: int) -> ChildState:
    child = ChildState("child")
    stream = child.stream(KEY)
    stream.p = stream.durable_p = p
    stream.chain = stream.durable_chain = HERE
    return child


def naming(sealed: int, acked: int, chain: bytes, *, lane: int = 1) -> Hello:
    return but(epochs=(EpochHello(E, streams=(StreamHello(2, lane, sealed, acked, chain),)),))


@pytest.mark.parametrize(
    ("hello", "kinds"),
    [
        (naming(5, 5, HERE), []),
        (naming(9, 5, HERE), []),
        (naming(9, 4, OTHER), []),
        (naming(9, 6, OTHER), []),
        (naming(5, 5, OTHER), ["fork"]),
        (naming(4, 4, HERE), ["child_went_back"]),
        (naming(4, 4, HERE, lane=0), []),
        (but(epochs=()), ["child_went_back"]),
        (but(epochs=(EpochHello(F),)), ["child_went_back"]),
        (but(epochs=(EpochHello(F),), partial=True), []),
    ],
)
def test_what_a_child_says_of_itself_is_compared_where_both_know_it(hello: Hello, kinds: list[str]) -> None:
    """Kills: an alarm about a position that only one side knows; a child whose newest epoch nobody misses."""
    alarms = compare(standing_at(5), hello)
    assert [one.kind for one in alarms] == kinds
    assert all(one.detail.startswith("child ") for one in alarms)


def test_a_child_that_is_not_known_has_nothing_that_does_not_fit() -> None:
    assert compare(ChildState("child"), HELLO) == []


def test_of_a_stream_without_history_the_welcome_says_whether_there_should_be_some() -> None:
    child = ChildState("child")
    assert standing(child, E, 2, 1, 0, 0) == StreamWelcome(KEY, 0)
    assert standing(child, E, 2, 1, 3, 0) == StreamWelcome(KEY, -1)
    assert standing(child, E, 2, 1, 0, 3) == StreamWelcome(KEY, -1)


def test_a_welcome_says_only_what_is_durable() -> None:
    child = standing_at(5)
    stream = child.streams[KEY]
    stream.p, stream.chain, stream.heard = 9, OTHER, 2
    stream.exceptions[:] = [Later(4)]
    assert standing(child, E, 2, 1, 3, 0) == StreamWelcome(KEY, 5, HERE, (Later(4),), 2)
