"""Laws of commits that are missing from the log: blocks in them are named north once, all else goes on."""

from __future__ import annotations

from tests.outbox.desk import Desk, Priority

from headland.link.contract import BlockEntry, GapEntry
from headland.vocabulary import Reason


def without_second_commit() -> Desk:
    """Blocks 1 to 3; in a commit that is missing 4, 5 and two of a lower class; then 6."""
    desk = Desk()
    for k in (1, 2, 3):
        desk.keep(rows=k)
    desk.commit()
    missing = desk.draft.n
    for k in (4, 5):
        desk.keep(rows=k)
    desk.keep(Priority.LOW, rows=10)
    desk.keep(Priority.LOW, rows=20)
    desk.commit()
    desk.keep(rows=6)
    desk.keep(Priority.LOW, rows=30)
    desk.commit()
    desk.frames = [frame for frame in desk.frames if frame[0] != missing]
    desk.restart()
    return desk


def sent(desk: Desk) -> tuple[list[tuple[int, int]], list[tuple[int, int, int, int]]]:
    """(class, k) of the blocks and (class, first k, last k, reason) of the tombstones that leave."""
    blocks, gaps = [], []
    for entry in desk.send():
        if isinstance(entry, BlockEntry):
            rows = desk.outbox.state.find(entry.stream).rows_at(entry.p)
            blocks.append((int(entry.stream.priority), rows.row(entry.p).k))
        elif isinstance(entry, GapEntry):
            gaps += [(one.priority, one.k_from, one.k_to, int(one.reason)) for one in entry.ranges]
    return sorted(blocks), sorted(gaps)


def test_blocks_of_missing_commits_are_told_north_once_and_the_others_are_sent() -> None:
    """Kills: a hole that nobody is told of; a class told under another; what is told after every start."""
    desk = without_second_commit()
    lost = [(one.priority, one.k_from, one.k_to) for one in desk.outbox.state.lost]
    assert sorted(lost) == [(Priority.NORMAL, 4, 5), (Priority.LOW, 1, 2)]
    told = desk.outbox.tell_lost(desk.draft)
    assert sorted((one.priority, one.k_from, one.k_to) for one in told) == sorted(lost)
    desk.commit()
    assert desk.outbox.tell_lost(desk.draft) == []
    desk.restart()
    assert desk.outbox.state.lost == []
    desk.up()
    blocks, gaps = sent(desk)
    assert blocks == [*((Priority.NORMAL, k) for k in (1, 2, 3, 6)), (Priority.LOW, 3)]
    corrupt = int(Reason.CORRUPT)
    assert gaps == [(Priority.NORMAL, 4, 5, corrupt), (Priority.LOW, 1, 2, corrupt)]


def test_what_is_held_of_a_class_is_what_stands_unanswered_or_waits() -> None:
    """Kills: another class counted; answered blocks counted; blocks that wait left out."""
    desk = without_second_commit()
    assert desk.outbox.held(Priority.NORMAL) == (12, 96)
    assert desk.outbox.held(Priority.LOW) == (30, 240)
    assert desk.outbox.held(Priority.CRITICAL) == (0, 0)
