"""Which blocks are gone when a parent went back: answered, and their bodies not here any more."""

from __future__ import annotations

import msgspec

from headland.line.outbox.rows import Row
from headland.line.outbox.state import State
from headland.line.outbox.stream import Gap, Stream
from headland.link.contract import GapRange
from headland.vocabulary import Reason

LOST = Reason.LOST_BY_RESTORE


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
    for gap in [*stream.told, Gap(p_to + 1, p_to + 1, b"", ())]:
        if gap.last < p_from or gap.first > p_to + 1:
            continue
        between = _remembered(state, stream, at, min(gap.first - 1, p_to))
        new = (*between, *_of_file(state, stream, gap, max(gap.first, p_from)))
        fresh += new
        every += (*new, *(item for item in gap.ranges if item.reason))
        at = gap.last + 1
    return tuple(every), tuple(fresh)


def _remembered(state: State, stream: Stream, p_from: int, p_to: int) -> tuple[GapRange, ...]:
    """Blocks whose identity and amounts are in the history, each with its own."""
    history = state.history.get(stream.key)
    known = history.between(p_from, p_to) if history is not None and p_from <= p_to else []
    nothing = bytes(16)
    rows = [
        Row(ident, k, n, size, 0, 0, 0, 0, 0, 0, 0, 0, nothing, nothing) for ident, k, n, size in known if n
    ]
    out, at = [], 0
    for item in state.ranges(rows, stream.key.priority, LOST):
        end = at + item.k_to - item.k_from + 1
        each = tuple((row.rows, row.size) for row in rows[at:end])
        out.append(msgspec.structs.replace(item, each=each))
        at = end
    return tuple(out)


def _of_file(state: State, stream: Stream, gap: Gap, p_from: int) -> tuple[GapRange, ...]:
    """Blocks of a run in a file from p_from on; times and groups are those of the whole run."""
    runs = [item for item in gap.ranges if not item.reason]
    history = state.history.get(stream.key)
    if not runs:
        return ()
    if history is not None and history.first <= p_from and gap.last < history.first + len(history):
        return tuple(_dressed(item, runs) for item in _remembered(state, stream, p_from, gap.last))
    out = []
    skip = p_from - gap.first
    for item in runs:
        blocks = item.k_to - item.k_from + 1
        if skip < blocks:
            out.append(_behind(item, skip, blocks))
        skip = max(0, skip - blocks)
    return tuple(out)


def _dressed(item: GapRange, runs: list[GapRange]) -> GapRange:
    for run in runs:
        same = (run.origin, run.epoch) == (item.origin, item.epoch)
        if same and run.k_from <= item.k_from and item.k_to <= run.k_to:
            return msgspec.structs.replace(item, ts_min=run.ts_min, ts_max=run.ts_max, groups=run.groups)
    return item


def _behind(item: GapRange, skip: int, blocks: int) -> GapRange:
    """A run without its first blocks, with a share of what is only known of the whole."""
    return msgspec.structs.replace(
        item,
        k_from=item.k_from + skip,
        reason=int(LOST),
        readings=item.readings - item.readings * skip // blocks,
        payload_bytes=item.payload_bytes - item.payload_bytes * skip // blocks,
    )
