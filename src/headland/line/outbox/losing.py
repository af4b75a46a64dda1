"""Which blocks are gone when a parent went back: answered, and their bodies not here any more.

Position by position: the history knows the newest, what is left of a run in a file knows its own. What was
put aside or given up (`Stream.elsewhere`) was never in the account `committed` and is not lost with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headland.line.outbox.rows import Row, known_row
from headland.line.outbox.runs import blocks_of
from headland.line.outbox.state import State
from headland.line.outbox.stream import Gap, Stream
from headland.link.contract import GapRange
from headland.vocabulary import Reason

LOST = Reason.LOST_BY_RESTORE
_Blocks = dict[int, Row]


def lost_ranges(
    state: State, stream: Stream, p_from: int, p_to: int
) -> tuple[tuple[GapRange, ...], tuple[GapRange, ...]]:
    """What is known of answered positions whose bodies are gone, as tombstones.

    Returns:
        All of them, and those among them that are still in the account `committed`.
    """
    every: list[GapRange] = []
    fresh: list[GapRange] = []
    at = p_from
    remembered = _remembered(state, stream, p_from, p_to)
    for gap in [*stream.told, Gap(p_to + 1, p_to + 1, b"", ())]:
        if gap.last < at or gap.first > p_to + 1:
            continue
        between = [remembered[p] for p in range(at, gap.first) if p in remembered]
        new = (
            *_named(state, stream, between),
            *_of_run(state, stream, gap, max(gap.first, at), p_to, remembered),
        )
        fresh += new
        every += (*new, *(item for item in gap.ranges if item.reason))
        at = gap.last + 1
    return tuple(every), tuple(fresh)


def _remembered(state: State, stream: Stream, p_from: int, p_to: int) -> _Blocks:
    """Committed blocks whose identity and amounts are in the history."""
    history = state.history.get(stream.key)
    known = history.between(p_from, p_to) if history is not None else []
    return {p: known_row(*block) for p, *block in known if p not in stream.elsewhere}


def _of_run(
    state: State, stream: Stream, gap: Gap, p_from: int, p_to: int, remembered: _Blocks
) -> tuple[GapRange, ...]:
    """Committed blocks of a run in a file, from p_from on; times and groups are those of the whole run."""
    runs = [item for item in gap.ranges if not item.reason]
    if not runs:
        return ()
    found = []
    for item in blocks_of(gap):
        if p_from <= item.p <= p_to and item.p not in stream.elsewhere:
            origin, epoch, k = item.identity
            there = known_row(state.ident(origin, epoch), k, item.rows, item.size)
            found.append(remembered.get(item.p, there))
    return tuple(_dressed(item, runs) for item in _named(state, stream, found))


def _named(state: State, stream: Stream, rows: Sequence[Row]) -> tuple[GapRange, ...]:
    """Tombstones for blocks, with what was in each."""
    out, at = [], 0
    for item in state.ranges(rows, stream.key.priority, LOST):
        end = at + item.k_to - item.k_from + 1
        each = tuple((row.rows, row.size) for row in rows[at:end])
        out.append(msgspec.structs.replace(item, each=each))
        at = end
    return tuple(out)


def _dressed(item: GapRange, runs: Sequence[GapRange]) -> GapRange:
    for run in runs:
        same = (run.origin, run.epoch) == (item.origin, item.epoch)
        if same and run.k_from <= item.k_from and item.k_to <= run.k_to:
            return msgspec.structs.replace(item, ts_min=run.ts_min, ts_max=run.ts_max, groups=run.groups)
    return item
