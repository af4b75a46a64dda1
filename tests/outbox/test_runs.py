"""Laws of runs in files: which block stands at which position, and how much is in it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.outbox.desk import Desk

from headland.line.outbox import OutboxSettings
from headland.line.outbox.losing import lost_ranges
from headland.line.outbox.runs import Missing, amounts_of, blocks_of, identities_of, ranges_of, shares
from headland.line.outbox.stream import BacklogFile
from headland.link.contract import GapRange
from headland.vocabulary import NO_TIME, Reason

E = b"e" * 16
# Positions 5 to 9: the first block of the ranges was cut off.
RUN = BacklogFile(
    1, 0, 5, 9, b"", b"", 500, 17, 150, 0, 0,
    (GapRange("o", E, 2, 1, 2, 0, 3, 31, 0, 0), GapRange("p", E, 2, 7, 10, 0, 14, 119, 0, 0)),
    skipped=1,
)  # fmt: skip
TELLING = msgspec.structs.replace(RUN, each=msgspec.msgpack.encode([1, 10, 2, 21, 3, 30, 4, 40, 5, 50, 2, 9]))


def test_positions_name_the_blocks_of_their_run_in_order_behind_what_was_cut_off() -> None:
    assert identities_of(RUN) == [
        (5, ("o", E, 2)),
        (6, ("p", E, 7)),
        (7, ("p", E, 8)),
        (8, ("p", E, 9)),
        (9, ("p", E, 10)),
    ]


def test_a_run_that_tells_how_much_is_in_each_block_is_believed() -> None:
    assert [(one.rows, one.size) for one in blocks_of(TELLING)] == [
        (2, 21),
        (3, 30),
        (4, 40),
        (5, 50),
        (2, 9),
    ]
    assert amounts_of(TELLING, 5, 5) == (2, 21)
    assert amounts_of(TELLING, 6, 8) == (12, 120)


def test_in_a_run_of_an_older_version_the_blocks_of_a_range_share_what_is_in_it() -> None:
    """Kills: a share of the wrong range; shares that do not add up."""
    assert [(one.rows, one.size) for one in blocks_of(RUN)] == [(2, 16), (3, 29), (4, 30), (3, 30), (4, 30)]
    assert amounts_of(RUN, 5, 6) == (17 * 2 // 6, 150 * 2 // 6)


@given(st.integers(0, 10_000), st.integers(1, 50))
def test_shares_are_whole_add_up_and_differ_by_one_at_most(total: int, parts: int) -> None:
    found = shares(total, parts)
    assert (len(found), sum(found)) == (parts, total)
    assert max(found) - min(found) <= 1
    assert all(isinstance(one, int) for one in found)


def test_only_blocks_that_follow_each_other_share_a_tombstone() -> None:
    gone = [
        Missing(1, ("o", E, 1), 1, 10),
        Missing(2, ("o", E, 2), 2, 20),
        Missing(3, ("o", E, 4), 3, 30),
        Missing(4, ("p", E, 5), 4, 40),
        Missing(5, ("p", E, 6), 5, 50),
    ]
    assert ranges_of(gone, 2, Reason.CORRUPT) == tuple(
        GapRange(origin, E, 2, first, last, Reason.CORRUPT, readings, size, NO_TIME, NO_TIME)
        for origin, first, last, readings, size in (
            ("o", 1, 2, 3, 30),
            ("o", 4, 4, 3, 30),
            ("p", 5, 6, 9, 90),
        )
    )


@pytest.mark.parametrize(
    ("p_from", "p_to", "expected"),
    [
        (1, 5, [(1, 3, 6, "a"), (4, 5, 9, "b")]),
        (2, 4, [(2, 3, 5, "a"), (4, 4, 4, "b")]),
        (3, 3, [(3, 3, 3, "a")]),
        (4, 5, [(4, 5, 9, "b")]),
        (5, 5, [(5, 5, 5, "b")]),
    ],
)
def test_of_files_that_are_gone_what_a_parent_lost_is_named_with_its_runs_groups_and_times(
    p_from: int, p_to: int, expected: list[tuple[int, int, int, str]]
) -> None:
    """Kills: a run named whole of which a part was lost; groups and times of the other run, or none."""
    desk = Desk(OutboxSettings(page=3, history=1))
    spans = {}
    for group, counts in (("a", (1, 2, 3)), ("b", (4, 5))):
        first = desk.values + 1
        for rows in counts:
            desk.keep(rows=rows, groups=(group,))
        spans[group] = (first, desk.values)
        desk.commit()
        desk.spill()
    desk.up()
    desk.send()
    key = desk.stream().key
    desk.answer(key, 5)
    desk.outbox.forget(key, 5, desk.draft)
    desk.commit()
    every, fresh = lost_ranges(desk.outbox.state, desk.stream(), p_from, p_to)
    assert every == fresh
    start = 1_800_000_000 * 1_000_000_000
    assert [
        (one.k_from, one.k_to, one.readings, *one.groups, one.ts_min - start, one.ts_max - start)
        for one in every
    ] == [(*one, *spans[one[3]]) for one in expected]
    assert [one.each for one in every] == [
        tuple((k, 8 * k) for k in range(first, last + 1)) for first, last, *_ in expected
    ]
    assert {one.reason for one in every} == {Reason.LOST_BY_RESTORE}
