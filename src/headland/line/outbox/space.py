"""Room: blocks move from the journal to files, and whole files are given up, lowest class first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headland.line.outbox import records, settling
from headland.line.outbox.applying import must_find, spill
from headland.line.outbox.rows import Rows
from headland.line.outbox.state import State
from headland.line.outbox.stream import Extent, Stream, extent_of
from headland.line.outbox.values import SpillLetter, SpillRun
from headland.link.contract import START, DraftLike, Ref, StreamKey
from headland.vocabulary import Priority, Reason


def to_spill(state: State, inside: Callable[[Ref], bool], age_ms: int) -> list[SpillRun]:
    """Runs of durable blocks whose `Ref` is `inside`, anywhere in a stream: what came again is behind others.

    `inside` holds for every smaller `Ref.space` when it holds for one.
    """
    out = []
    for stream in state.streams():
        for rows in stream.rows_pieces():
            if not len(rows) or not inside(Ref(rows.oldest_space, 0, 0)):
                continue
            refs: list[Ref] = []
            ages: list[int] = []
            last = min(rows.last, stream.durable)
            for p in range(rows.first, last + 1):
                row = rows.row(p)
                if inside(row.ref):
                    refs.append(Ref(row.space, row.at, row.length or row.size))
                    ages.append(max(0, age_ms - row.born_ms))
                if refs and (p == last or not inside(row.ref)):
                    first = p - len(refs) + (p == last and inside(row.ref))
                    out.append(SpillRun(stream.key, first, tuple(refs), tuple(ages)))
                    refs, ages = [], []
    return out


def answered(state: State, inside: Callable[[Ref], bool]) -> list[tuple[StreamKey, int]]:
    """Of each stream the last position up to which everything is answered and, in the journal, `inside`."""
    out = []
    for stream in state.streams():
        p = stream.floor
        for piece in stream.pieces:
            if isinstance(piece, Rows):
                while p < min(piece.last, stream.acked) and inside(piece.row(p + 1).ref):
                    p += 1
                if p < piece.last:
                    break
            elif piece.last <= stream.acked:
                p = piece.last
            else:
                break
        if p > stream.floor:
            out.append((stream.key, p))
    return out


def letters_to_spill(state: State, inside: Callable[[Ref], bool], age_ms: int) -> list[SpillLetter]:
    """Blocks outside of all streams, waiting or dead, whose `Ref` is `inside`."""
    return [
        SpillLetter(item.number, item.priority, item.lane, row.ref, max(0, age_ms - row.born_ms))
        for item in (*state.waiting.values(), *state.dead.values())
        if inside((row := item.letter.row).ref)
    ]


def spilled(state: State, run: SpillRun, refs: Sequence[Ref], now_ms: int, draft: DraftLike) -> None:
    """Note that a run is in a file; one that was given up or forgotten meanwhile is left alone."""
    stream = must_find(state, run.stream)
    rows = stream.piece_at(run.p_from)
    p_to = run.p_from + len(refs) - 1
    if not isinstance(rows, Rows) or p_to > rows.last:
        return
    before = stream.chain_at(run.p_from - 1) or START
    ranges = state.ranges(rows.rows_between(run.p_from, p_to), stream.key.priority, 0)
    info = extent_of(rows, run.p_from, p_to, before, list(refs), now_ms, ranges)
    record = records.Spilled(stream.key, info)
    draft.section(records.SPILL, records.encode(record))
    state.files_known.add(info.file)
    spill(state, record)
    extent = stream.piece_at(run.p_from)
    if isinstance(extent, Extent) and extent.rows is not None:
        for p, ref in zip(range(run.p_from, p_to + 1), refs, strict=True):
            extent.rows.move(p, ref)


def shed(state: State, bytes_needed: int, draft: DraftLike) -> list[tuple[Stream, int]]:
    """Give up the oldest whole runs in files, lowest class first, critical never: (stream, first p)."""
    out: list[tuple[Stream, int]] = []
    freed = 0
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH):
        if not state.settings.classes[priority].sheds:
            continue
        for stream in [item for item in state.streams() if item.key.priority == priority]:
            for extent in [piece for piece in stream.pieces if isinstance(piece, Extent)]:
                if freed >= bytes_needed:
                    return out
                if not stream.may_go_unread(extent) or extent.first < stream.touchable or stream.frozen:
                    continue
                settling.give_up_extent(state, stream, extent, Reason.SHED, draft)
                out.append((stream, extent.first))
                freed += extent.info.length
    return out
