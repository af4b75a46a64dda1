"""A checkpoint shortens recovery and never replaces what it might lose."""

from __future__ import annotations

import pytest
from tests.journal.harness import EPOCH, assert_log, execute, read, sections, start

from headland.journal import Journal
from headland.journal.checkpoint import encode_file
from headland.journal.checkpoint import path_of as checkpoint_path
from headland.journal.plan import Create, DiskOp, Sync, SyncDir, Unlink, Write
from headland.journal.segment import path_of
from headland.simulation.disk import SimulatedDisk, crash_states
from headland.vocabulary import DefectError, StorageDamage


def snapshot(n: int) -> bytes:
    return b"state after %d;" % n * 40


def commit(disk: SimulatedDisk, journal: Journal, ns: range) -> None:
    for n in ns:
        execute(disk, journal.append(EPOCH, n, 1_000 + n, 10 * n, sections(n)).plan)


def check(disk: SimulatedDisk, journal: Journal) -> list[DiskOp]:
    n = journal.last.n
    info = journal.start_checkpoint(n)
    ops, size = journal.checkpoint_file_ops(info, encode_file(info, snapshot(n)))
    execute(disk, ops)
    journal.finish_checkpoint(info, size)
    return ops


def with_two_checkpoints() -> SimulatedDisk:
    """Commits 1-12, checkpoints at 4 and 9."""
    disk = SimulatedDisk()
    journal = start(disk).journal
    commit(disk, journal, range(1, 5))
    check(disk, journal)
    commit(disk, journal, range(5, 10))
    check(disk, journal)
    commit(disk, journal, range(10, 13))
    return disk


def test_recovery_reads_what_follows_the_newest_checkpoint() -> None:
    disk = with_two_checkpoints()
    found = start(disk)
    assert found.recovered.checkpoint == snapshot(9)
    assert found.ns == [10, 11, 12]
    again = start(disk.power_cut())
    assert (again.recovered.checkpoint, again.ns) == (snapshot(9), [10, 11, 12])


def test_a_damaged_checkpoint_falls_back_to_the_older_one() -> None:
    """Kills: trusting a checkpoint without its digest; keeping one; a log cut at the newest."""
    disk = with_two_checkpoints()
    size = disk.size(checkpoint_path(2))
    for bit in range(0, 8 * size, 7):
        damaged = disk.process_kill()
        damaged.flip(checkpoint_path(2), bit // 8, bit % 8)
        found = start(damaged)
        assert found.recovered.checkpoint == snapshot(4)
        assert found.ns == list(range(5, 13))
        assert [damage.what for damage in found.recovered.damage] == ["checkpoint"]
        assert start(damaged).recovered.damage == []


def test_two_damaged_checkpoints_still_leave_a_log_that_was_never_recycled() -> None:
    disk = with_two_checkpoints()
    for seq in (1, 2):
        disk.flip(checkpoint_path(seq), 50)
    found = start(disk)
    assert found.recovered.checkpoint is None
    assert found.ns == list(range(1, 13))


def trace_of_a_checkpoint() -> tuple[SimulatedDisk, list[DiskOp]]:
    disk = with_two_checkpoints()
    journal = start(disk).journal
    before = disk.process_kill()
    return before, check(disk, journal)


def lost(before: SimulatedDisk, ops: list[DiskOp]) -> int:
    """Crash states after the whole trace in which the new checkpoint is not the one found."""
    return sum(
        read(state).recovered.checkpoint != snapshot(12)
        for executed, state in crash_states(ops, before)
        if executed == len(ops)
    )


def test_a_crash_while_a_checkpoint_is_written_leaves_the_old_one_or_the_new_one() -> None:
    """Kills: writing over the old one; removing it before the new one's name is durable."""
    before, ops = trace_of_a_checkpoint()
    seen = set()
    for _, state in crash_states(ops, before):
        found = start(state)
        assert_log(found, 12, 12)
        assert found.recovered.checkpoint in (snapshot(9), snapshot(12))
        seen.add(found.recovered.checkpoint)
        assert not [name for name in state.names("checkpoint") if name.endswith(".tmp")]
    assert len(seen) == 2
    assert lost(before, ops) == 0


@pytest.mark.parametrize("kind", [Sync, SyncDir])
def test_the_crash_states_catch_a_checkpoint_that_is_not_synced(kind: type) -> None:
    """Mutant: checkpoint not fsynced; its name not fsynced."""
    before, ops = trace_of_a_checkpoint()
    assert lost(before, [op for op in ops if not isinstance(op, kind)]) > 0


def test_segments_stay_until_two_checkpoints_have_passed_them() -> None:
    """Kills: recycling on the word of one checkpoint, or up to the newer of two."""
    disk = SimulatedDisk()
    journal = start(disk).journal
    commit(disk, journal, range(1, 13))
    first = journal.segments()[0].id
    assert journal.recyclable() == []
    check(disk, journal)
    assert journal.recyclable() == []
    with pytest.raises(DefectError):
        journal.recycle(first)
    commit(disk, journal, range(13, 19))
    check(disk, journal)
    assert first in journal.recyclable()
    held = len(journal.segments())
    for segment in journal.recyclable():
        execute(disk, [*journal.recycle(segment), Unlink(path_of(segment))])
    assert len(journal.segments()) < held
    commit(disk, journal, range(19, 21))
    disk.flip(checkpoint_path(2), 40)
    found = start(disk)
    assert found.recovered.checkpoint == snapshot(12)
    assert found.ns == list(range(13, 21))
    assert [damage.what for damage in found.recovered.damage] == ["checkpoint"]


@pytest.mark.parametrize("begun", [False, True], ids=["never begun", "voided"])
def test_what_a_crashed_recovery_left_does_not_hide_the_commits_before_it(begun: bool) -> None:
    """Kills: a segment before the checkpoint that is believed to end where a leftover behind it begins: its
    blocks were not spilled before it was recycled, and were gone.
    """
    disk = SimulatedDisk()
    journal = start(disk).journal
    commit(disk, journal, range(1, 4))
    (old,) = journal.segments()
    name, crashed = path_of(old.id + 1), disk.process_kill()
    execute(crashed, read(crashed).recovered.plan)
    left = crashed.read(name, 0, crashed.size(name)) if begun else bytes(1_600)
    execute(disk, [Create(name, len(left))])
    found = start(disk)
    assert found.ns == [1, 2, 3]
    journal = found.journal
    commit(disk, journal, range(4, 7))
    check(disk, journal)
    commit(disk, journal, range(7, 9))
    execute(disk, [Create(name, len(left)), Write(name, 0, left)])
    again = start(disk).journal
    ends = {info.id: info.last_n for info in again.segments()}
    assert ends[old.id] == 2, again.segments()


def test_a_checkpoint_is_wanted_by_the_length_of_the_log() -> None:
    disk = SimulatedDisk()
    journal = start(disk).journal
    assert not journal.wants_checkpoint
    commit(disk, journal, range(1, 5))
    assert journal.wants_checkpoint
    check(disk, journal)
    assert not journal.wants_checkpoint
    commit(disk, journal, range(5, 12))
    found = start(disk.power_cut())
    assert found.journal.wants_checkpoint == journal.wants_checkpoint


def test_a_checkpoint_is_of_the_last_commit() -> None:
    """Kills: a snapshot that already holds what the next commit will say again."""
    disk = SimulatedDisk()
    journal = start(disk).journal
    with pytest.raises(DefectError):
        journal.start_checkpoint(0)
    commit(disk, journal, range(1, 3))
    with pytest.raises(DefectError):
        journal.start_checkpoint(1)


def test_a_checkpoint_with_nothing_after_it_is_enough() -> None:
    """Kills: needing a frame to know where numbers go on; removing the segment of the older checkpoint."""
    disk = with_two_checkpoints()
    journal = start(disk).journal
    check(disk, journal)
    for _ in range(3):
        found = start(disk)
        assert (found.recovered.checkpoint, found.ns, found.recovered.last.n) == (snapshot(12), [], 12)
        disk = disk.process_kill()
    commit(disk, found.journal, range(13, 15))
    assert start(disk.power_cut()).ns == [13, 14]
    disk.flip(checkpoint_path(3), 30)
    again = start(disk)
    assert (again.recovered.checkpoint, again.ns) == (snapshot(9), list(range(10, 15)))


def test_a_log_that_ends_where_its_checkpoint_says_it_goes_on_is_reported() -> None:
    """Kills: silence when the segment behind a checkpoint has vanished with its commits."""
    disk = with_two_checkpoints()
    for name in disk.names("journal"):
        disk.apply(Unlink(f"journal/{name}"))
    found = start(disk)
    assert (found.recovered.checkpoint, found.ns) == (snapshot(9), [])
    (damage,) = found.recovered.damage
    assert (damage.what, damage.after.n) == ("log", 9)
    commit(disk, found.journal, range(10, 12))
    assert start(disk.power_cut()).ns == [10, 11]


def test_a_checkpoint_with_an_unreadable_page_falls_back_to_the_older_one_and_a_longer_log() -> None:
    """Kills: a start that ends with the error of the medium."""
    disk = with_two_checkpoints()
    disk.wear(checkpoint_path(2), 0)
    found = start(disk)
    assert found.recovered.checkpoint == snapshot(4)
    assert found.ns == list(range(5, 13))
    (damage,) = found.recovered.damage
    assert damage.what == "checkpoint"
    assert damage.detail == f"{checkpoint_path(2)}: bytes 0-4096 cannot be read (1 pages)"
    assert start(disk).recovered.damage == []


def test_an_unreadable_checkpoint_that_the_log_cannot_stand_in_for_is_an_error_that_changes_nothing() -> None:
    """Kills: a node that begins afresh, or with half of its state, because a page was not read."""
    disk = with_two_checkpoints()
    disk.apply(Unlink(checkpoint_path(1)))
    disk.apply(Unlink(f"journal/{disk.names('journal')[0]}"))
    disk.wear(checkpoint_path(2), 0)
    with pytest.raises(StorageDamage, match=r"bytes 0-4096 cannot be read.*does not reach back") as raised:
        start(disk)
    assert "ddrescue" in raised.value.hint


def test_files_that_are_no_checkpoints_hide_none_and_stay() -> None:
    """Kills: a search that ends at the first name that it does not know."""
    disk = with_two_checkpoints()
    for name in ("0 notes", "zz.ckp", "00000001.ckp.old"):
        disk.apply(Create(f"checkpoint/{name}", 8))
    found = start(disk)
    assert (found.recovered.checkpoint, found.ns) == (snapshot(9), [10, 11, 12])
    assert {"0 notes", "zz.ckp", "00000001.ckp.old"} <= set(disk.names("checkpoint"))
