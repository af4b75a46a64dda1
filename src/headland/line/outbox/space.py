"""Room: blocks move from the journal to files, and whole files are given up, lowest class first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, takewhile

from headland.line.outbox import records, settling
from headland.line.outbox.applying import must_find, spill
from headland.line.outbox.durable import files_of
from headland.line.outbox.rows import Rows
from headland.line.outbox.state import State
from headland.line.outbox.stream import Extent, Stream, extent_of
from headland.line.outbox.values import SpillLetter, SpillRun
from headland.link.contract import START, DraftLike, Ref, StreamKey
from headland.vocabulary import Priority, Reason

SPILL_BYTES = 1 << 20
SPILL_BLOCKS = 256
"""What is copied, or given up before it is copied, in one step: about a millisecond of the node's loop."""
SMALL_BYTES = 256
"""What a block counts at least towards that."""
FORGET_BLOCKS = 1 << 15
"""Blocks forgotten in one step: they cost a comparison each."""


def to_spill(state: State, inside: Callable[[Ref], bool], age_ms: int) -> Iterator[SpillRun]:
    """Runs of durable blocks whose `Ref` is `inside`, anywhere in a stream: what came again is behind others.

    A run is a step's work at most, and is looked for when it is asked for: take one, or all before the first
    is noted. `inside` holds for every smaller `Ref.space` when it holds for one.
    """
    for stream in state.streams():
        for rows in list(stream.rows_pieces()):
            last = min(rows.last, stream.durable)
            if len(rows) and last >= rows.first and inside(Ref(rows.oldest_space, 0, 0)):
                yield from _runs_inside(stream.key, rows, last, inside, age_ms)


def _runs_inside(
    key: StreamKey, rows: Rows, last: int, inside: Callable[[Ref], bool], age_ms: int
) -> Iterator[SpillRun]:
    refs: list[Ref] = []
    ages: list[int] = []
    size = 0
    for p, (number, at, length, born_ms) in enumerate(rows.places(rows.first, last), rows.first):
        ref = Ref(number, at, length)
        taken = inside(ref)
        if taken:
            refs.append(ref)
            ages.append(max(0, age_ms - born_ms))
            size += max(length, SMALL_BYTES)
        full = size > SPILL_BYTES or len(refs) >= SPILL_BLOCKS
        if refs and (full or p == last or not taken):
            yield SpillRun(key, p + taken - len(refs), tuple(refs), tuple(ages))
            refs, ages, size = [], [], 0


def answered(state: State, inside: Callable[[Ref], bool]) -> list[tuple[StreamKey, int]]:
    """Of each stream the last position up to which everything is answered and, in the journal, `inside`.

    A step's work at most: what is left is found when it is asked for again.
    """
    out = []
    left = FORGET_BLOCKS
    for stream in state.streams():
        p = stream.floor
        for piece in stream.pieces:
            end = min(piece.last, stream.acked, p + left) if isinstance(piece, Rows) else piece.last
            if end > stream.acked or left <= 0:
                break
            reached = _inside_to(piece, p + 1, end, inside) if isinstance(piece, Rows) else end
            left -= reached - p if isinstance(piece, Rows) else 1
            p = reached
            if p < piece.last:
                break
        if p > stream.floor:
            out.append((stream.key, p))
    return out


def answered_runs(state: State) -> int:
    """Runs in files at the front of streams in which everything is answered."""
    return sum(
        isinstance(piece, Extent)
        for stream in state.streams()
        for piece in takewhile(lambda piece: piece.last <= stream.acked, stream.pieces)  # noqa: B023
    )


def _inside_to(rows: Rows, p_from: int, p_to: int, inside: Callable[[Ref], bool]) -> int:
    """Last position of p_from to p_to up to which every `Ref` is `inside`; p_from - 1 for none."""
    if p_to < p_from or inside(Ref(rows.newest_space, 0, 0)):
        return max(p_to, p_from - 1)
    spaces = rows.spaces(p_from, p_to)
    return next((p for p, at in enumerate(spaces, p_from) if not inside(Ref(at, 0, 0))), p_to + 1) - 1


def last_positions(state: State, file: int) -> list[tuple[StreamKey, int]]:
    """Of every stream with answered blocks in an outbox file, the last position there.

    A block that came again is a row of its own, whose body may be in a file too.
    """
    out = []
    for stream in state.streams():
        last = 0
        for piece in stream.pieces:
            if isinstance(piece, Extent) and piece.info.file == file and piece.last <= stream.acked:
                last = piece.last
            elif isinstance(piece, Rows):
                rows = piece.rows_between(piece.first, min(piece.last, stream.acked))
                last = max([last, *(p for p, row in enumerate(rows, piece.first) if row.space == file)])
        if last:
            out.append((stream.key, last))
    return out


def letters_to_spill(state: State, inside: Callable[[Ref], bool], age_ms: int) -> list[SpillLetter]:
    """Blocks outside of all streams, waiting or dead, whose `Ref` is `inside`: a step's work at most."""
    found = (
        SpillLetter(item.number, item.priority, item.lane, row.ref, max(0, age_ms - row.born_ms))
        for letters in (state.waiting, state.dead)
        for item in letters.values()
        if inside((row := item.letter.row).ref)
    )
    return list(islice(found, SPILL_BLOCKS))


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

    Only of the lowest class of which anything may go, and not while older ones of it are in files. A step's
    work at most: what is left goes when it is asked for again.
    """
    for streams in _shedding(state):
        if any(True for _ in _whole(streams)):
            return []
        loose = _loose(streams, in_journal)
        if not loose:
            continue
        out = []
        left = SPILL_BLOCKS
        for stream, rows in loose:
            low, high = max(rows.first, stream.touchable), min(rows.last, stream.durable)
            found = (p for p, at in enumerate(rows.spaces(low, high), low) if inside(Ref(at, 0, 0)))
            places = list(islice(found, left))
            left -= len(places)
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


def referred(state: State, files: set[int]) -> set[int]:
    """Of these files those in which a body is looked for."""
    out = {item.letter.row.space for letters in (state.waiting, state.dead) for item in letters.values()}
    out.update(run.info.file for run in state.dead_runs.values())
    for stream in state.streams():
        for piece in stream.pieces:
            if isinstance(piece, Extent):
                out.add(piece.info.file)
            elif isinstance(piece, Rows):
                out |= files_of(piece, files)
    return files & out
