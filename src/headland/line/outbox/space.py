"""Room: blocks move from the journal to files, and whole files are given up, lowest class first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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


def shed(
    state: State, bytes_needed: int, draft: DraftLike, in_journal: Callable[[Ref], bool]
) -> list[tuple[Stream, int]]:
    """Give up the oldest whole runs in files, lowest class first, critical never: (stream, first p).

    What a class has in the journal comes before the next class: `shed_rows` gives that up.
    """
    out: list[tuple[Stream, int]] = []
    freed = 0
    for streams in _shedding(state):
        for stream, extent in _whole(streams):
            if freed >= bytes_needed:
                return out
            settling.give_up_extent(state, stream, extent, Reason.SHED, draft)
            out.append((stream, extent.first))
            freed += extent.info.length
        if freed >= bytes_needed or _loose(streams, in_journal):
            return out
    return out


def shed_rows(
    state: State, inside: Callable[[Ref], bool], in_journal: Callable[[Ref], bool], draft: DraftLike
) -> list[tuple[Stream, int]]:
    """Give up blocks that are `inside` before they are copied: (stream, first p).

    Only of the lowest class of which anything may go, and not while older ones of it are in files.
    """
    for streams in _shedding(state):
        if any(True for _ in _whole(streams)):
            return []
        loose = _loose(streams, in_journal)
        if not loose:
            continue
        out = []
        for stream, rows in loose:
            low, high = max(rows.first, stream.touchable), min(rows.last, stream.durable)
            places = [p for p in range(low, high + 1) if inside(rows.row(p).ref)]
            for first, last in _runs(places):
                settling.give_up(state, stream, first, last, Reason.SHED, draft)
            if places:
                out.append((stream, places[0]))
        return out
    return []


def _shedding(state: State) -> Iterator[list[Stream]]:
    """Streams of each class that sheds, the lowest class first."""
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH):
        if state.settings.classes[priority].sheds:
            yield [one for one in state.streams() if one.key.priority == priority and not one.frozen]


def _whole(streams: Sequence[Stream]) -> Iterator[tuple[Stream, Extent]]:
    """Runs in files that may be given up as they are, oldest first."""
    for stream in streams:
        for extent in [piece for piece in stream.pieces if isinstance(piece, Extent)]:
            if extent.whole and extent.first >= stream.touchable:
                yield stream, extent


def _loose(streams: Sequence[Stream], inside: Callable[[Ref], bool]) -> list[tuple[Stream, Rows]]:
    """Pieces in which anything may be given up that is `inside`."""
    return [
        (stream, rows)
        for stream in streams
        for rows in stream.rows_pieces()
        if len(rows)
        and min(rows.last, stream.durable) >= max(rows.first, stream.touchable)
        and inside(Ref(rows.oldest_space, 0, 0))
    ]


def _runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of consecutive numbers."""
    firsts = [p for i, p in enumerate(places) if i == 0 or p != places[i - 1] + 1]
    lasts = [p for i, p in enumerate(places) if i == len(places) - 1 or p + 1 != places[i + 1]]
    return list(zip(firsts, lasts, strict=True))


def loose(state: State, inside: Callable[[Ref], bool]) -> bool:
    """Whether of the bodies that are `inside` any may go: answered, or not sent and of a class that sheds.

    `inside` holds for every smaller `Ref.space` when it holds for one.
    """
    return any(_loose(streams, inside) for streams in _shedding(state)) or any(
        len(rows) and rows.first <= stream.acked and inside(Ref(rows.oldest_space, 0, 0))
        for stream in state.streams()
        for rows in stream.rows_pieces()
    )


def referred(state: State) -> set[int]:
    """Every `Ref.space` at which a body is looked for: of those in a file, that file."""
    out = {item.letter.row.space for letters in (state.waiting, state.dead) for item in letters.values()}
    out.update(run.info.file for run in state.dead_runs.values())
    for stream in state.streams():
        for piece in stream.pieces:
            if isinstance(piece, Extent):
                out.add(piece.info.file)
            elif isinstance(piece, Rows):
                out.update(piece.spaces())
    return out
