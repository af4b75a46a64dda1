"""Laws of the count: what is lost, there twice, out of order or not of the load is counted as that."""

from __future__ import annotations

import msgspec
import numpy as np
from soak.counting import Arrived, Count, Rows

from headland.vocabulary import RowKind

LIVE, BACKLOG = ("s/child", 2, 0), ("s/child", 2, 1)
NAMES = {1: "soak/c0", 2: "soak/c1", 3: "headland/rules"}


def rows(*found: tuple[int, int], kind: int = RowKind.READING) -> Rows:
    """Rows of (series, sequence), each measured at its sequence."""
    sid, seq = (np.array(column, np.int64) for column in zip(*found, strict=True))
    whole = np.full(len(sid), kind, np.int64)
    return Rows(sid, seq * 10, seq, whole, np.full(len(sid), 46, np.int64))


def counted(*blocks: tuple[tuple[str, int, int], Rows], acked: tuple[int, int] = (3, 2)) -> Arrived:
    counting = Count(acked)
    for way, block in blocks:
        counting.take(way, NAMES, block)
    return counting.done()


ALL = rows((1, 0), (2, 0), (1, 1), (2, 1), (1, 2))


def faults(found: Arrived) -> tuple[int, int, int, int]:
    return found.lost, found.duplicated, found.reordered, found.unacknowledged


def test_what_was_acknowledged_and_is_there_once_in_order_is_no_fault() -> None:
    found = counted((LIVE, ALL))
    assert faults(found) == (0, 0, 0, 0)
    assert (found.rows, found.blocks, found.bytes) == (5, 1, 5 * 46)


def test_what_is_not_there_is_lost() -> None:
    assert faults(counted((LIVE, rows((1, 0), (2, 0), (1, 2))))) == (2, 0, 0, 0)
    assert faults(counted()) == (5, 0, 0, 0)


def test_what_is_there_again_is_a_repeat_in_the_same_block_as_in_another() -> None:
    assert faults(counted((LIVE, ALL), (BACKLOG, rows((2, 1))))) == (0, 1, 0, 0)
    assert faults(counted((LIVE, rows((1, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1))))) == (0, 1, 0, 0)


def test_order_is_asked_for_along_each_way_and_not_between_ways() -> None:
    early, late = rows((1, 0), (2, 0)), rows((1, 1), (1, 2), (2, 1))
    assert faults(counted((LIVE, late), (BACKLOG, early))) == (0, 0, 0, 0)
    assert faults(counted((LIVE, late), (LIVE, early))) == (0, 0, 2, 0)
    assert faults(counted((LIVE, rows((1, 1), (1, 0), (1, 2), (2, 0), (2, 1))))) == (0, 0, 1, 0)


def test_a_series_whose_device_times_contradict_its_sequences_is_out_of_order() -> None:
    wrong = msgspec.structs.replace(ALL, ts=np.array([0, 0, 10, 10, 5], np.int64))
    assert faults(counted((LIVE, wrong))) == (0, 0, 1, 0)


def test_what_was_not_acknowledged_may_be_there_and_what_is_not_of_the_load_is_left_aside() -> None:
    found = counted((LIVE, ALL), (LIVE, rows((1, 3))), (LIVE, rows((3, 0))), (LIVE, rows((1, 0), kind=4)))
    assert faults(found) == (0, 0, 0, 1)
    assert found.foreign == 2
