"""Clock, chance, scheduling and private files."""

from __future__ import annotations

import datetime as dt
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from headland.drivers import scheduling
from headland.drivers.clock import Clock, disciplined, earliest_ns
from headland.drivers.keys import is_private, make_private_directory, write_file
from headland.drivers.randomness import generator, unpredictable
from headland.drivers.watch import FileWatch


def test_both_clocks_move_forward_together() -> None:
    clock = Clock()
    first, second = clock.now(), clock.now()
    assert second.monotonic_ns >= first.monotonic_ns
    assert abs(first.wall_ns - time.time_ns()) < 10**9
    assert first.trusted == disciplined()


class Machine:
    """Clocks of a machine whose NTP may come later."""

    def __init__(self, wall_ns: int) -> None:
        self.wall_ns = wall_ns
        self.monotonic_ns = 0
        self.ntp = False

    def clock(self) -> Clock:
        return Clock(
            is_disciplined=lambda: self.ntp,
            wall_ns=lambda: self.wall_ns,
            monotonic_ns=lambda: self.monotonic_ns,
        )

    def set_by_ntp(self, wall_ns: int) -> None:
        self.ntp, self.wall_ns = True, wall_ns
        self.monotonic_ns += 11 * 10**9


NOW = 1_790_000_000 * 10**9
DAY = 86_400 * 10**9


def test_a_parents_time_is_believed_where_no_ntp_rules_and_makes_the_clock_trusted() -> None:
    machine = Machine(NOW - 30 * DAY)
    clock = machine.clock()
    assert not clock.now().trusted
    clock.believe(NOW)
    assert (clock.now().wall_ns, clock.now().trusted) == (NOW, True)
    machine.ntp = True
    other = machine.clock()
    other.believe(NOW)
    assert (other.now().wall_ns, other.now().trusted) == (NOW - 30 * DAY, True)


def test_a_lower_bound_lifts_a_clock_that_is_behind_and_leaves_one_that_is_ahead() -> None:
    clock = Machine(NOW).clock()
    clock.at_least(NOW - DAY)
    assert clock.now().wall_ns == NOW
    clock.at_least(NOW + DAY)
    assert (clock.now().wall_ns, clock.now().trusted) == (NOW + DAY, False)


def test_the_least_a_clock_can_show_is_the_newest_of_journal_certificate_and_version() -> None:
    """Kills: a board without a battery that starts in 1970 although its certificate is of this year."""
    made = int(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp())
    assert earliest_ns(0, 0.0, "2026-01-01") == made * 10**9
    assert earliest_ns((made + 5) * 10**9, 0.0, "2026-01-01") == (made + 5) * 10**9
    assert earliest_ns((made + 5) * 10**9, made + 9.0, "2026-01-01") == (made + 9) * 10**9
    assert earliest_ns(0, 0.0) <= time.time_ns(), "this version was made before now"


def test_offsets_end_when_ntp_rules() -> None:
    """Kills: a board that starts in 1970, is lifted to the journal's time, and adds that to a right clock."""
    machine = Machine(0)
    clock = machine.clock()
    clock.at_least(NOW - DAY)
    clock.believe(NOW)
    machine.set_by_ntp(NOW + DAY)
    assert (clock.now().wall_ns, clock.now().trusted) == (NOW + DAY, True)
    clock.at_least(NOW + 400 * DAY)  # a journal that was written while the clock was wrong
    clock.believe(NOW + 400 * DAY)
    assert clock.now().wall_ns == NOW + DAY


def test_the_same_seed_gives_the_same_chances_and_no_seed_others() -> None:
    assert generator(7).random() == generator(7).random()
    assert generator().random() != generator().random()
    assert unpredictable(16) != unpredictable(16)
    assert len(unpredictable(16)) == 16


def test_real_time_scheduling_is_granted_or_refused_with_a_reason_and_threads_do_not_inherit_it() -> None:
    seen: list[int] = []
    reasons: list[str] = []

    def body() -> None:
        reasons.append(scheduling.real_time())
        expected = os.SCHED_OTHER if reasons[0] else os.SCHED_FIFO
        seen.append(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == expected)
        child = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(0) == os.SCHED_OTHER))
        child.start()
        child.join()
        scheduling.ordinary()

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [True, True]
    assert reasons[0] == "" or "LimitRTPRIO" in reasons[0]


def test_a_private_file_is_private_from_its_first_byte_and_replaced_whole(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        directory = tmp_path / "keys"
        make_private_directory(directory)
        write_file(directory / "node.key", b"one")
        write_file(directory / "node.key", b"two")
        write_file(directory / "ca.pem", b"public", 0o644)
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert (directory / "node.key").read_bytes() == b"two"
    assert is_private(directory / "node.key")
    assert not is_private(directory / "ca.pem")
    assert sorted(path.name for path in directory.iterdir()) == ["ca.pem", "node.key"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "node.key"
    target.mkdir()
    with pytest.raises(OSError):
        write_file(target, b"new")
    assert list(tmp_path.iterdir()) == [target]


def test_a_watch_sees_a_write_a_rename_and_a_swapped_link_once_and_forgives_a_moment_without(
    tmp_path: Path,
) -> None:
    plain, link = tmp_path / "node.toml", tmp_path / "linked.toml"
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    plain.write_text("a")
    link.symlink_to(tmp_path / "one")
    watch = FileWatch([plain, link, tmp_path / "absent"])
    assert watch.changed() == []
    plain.write_text("ab")
    assert watch.changed() == [plain]
    assert watch.changed() == []
    (tmp_path / "beside").write_text("cd")
    (tmp_path / "beside").replace(plain)
    assert watch.changed() == [plain]
    link.unlink()
    assert watch.changed() == []
    link.symlink_to(tmp_path / "two")
    assert watch.changed() == [link]


def test_a_busy_real_time_loop_rests_before_the_kernel_makes_it_and_an_idle_one_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kills: a loop under SCHED_FIFO that is stopped for 50 ms of each second; a rest that nobody needs."""
    wall, used, rests = [0], [0], []

    def sleep(seconds: float) -> None:
        rests.append(seconds)
        wall[0] += round(seconds * 1e9)

    monkeypatch.setattr(scheduling.time, "monotonic_ns", lambda: wall[0])
    monkeypatch.setattr(scheduling.time, "thread_time_ns", lambda: used[0])
    monkeypatch.setattr(scheduling.time, "sleep", sleep)
    breath = scheduling.Breath()
    for _ in range(1000):
        wall[0] += 1_000_000
        used[0] += 1_000_000
        breath.take()
    assert 0.9 < used[0] / wall[0] < 0.95
    assert max(rests) < 0.001
    rests.clear()
    for _ in range(1000):
        wall[0] += 1_000_000
        used[0] += 800_000
        breath.take()
    assert not rests
