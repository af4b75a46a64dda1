"""The way out of a stopped stream, by an operator's word: nothing of it is lost, and it goes on.

A stream stops when the parent knows other blocks at its positions: a fork, or this node was restored from a
copy. What it holds without an answer leaves it, identity unchanged, either to its lane's tail (`send`: a node
that stores takes each once, and keeps one of two that differ beside) or to the dead letters (`bury`: kept
here, listed, sent again by number). The stream itself begins anew where the parent stands: the position and
chain value that it told are the opening balance.

```
 stopped    answered | p p p p [run in a file] tombstone          parent: (q, chain)
 released   q, chain | what is sealed from now on
            blocks in the journal  ─► wait for a place, or dead letters
            runs in files          ─► dead letters in either case; `send` orders them again at once
            tombstones             ─► told at the lane's tail
```
"""

from __future__ import annotations

import msgspec

from headland.line.outbox import records
from headland.line.outbox.applying import current_stream
from headland.line.outbox.records import Letter
from headland.line.outbox.runs import Missing, amounts_of, here, identities_of, ranges_of, standing
from headland.line.outbox.settling import stand, write
from headland.line.outbox.state import State, book_out
from headland.line.outbox.stream import BacklogFile, Extent, Gap, Stream
from headland.link.contract import DraftLike, GapRange
from headland.vocabulary import Account, Reason

RANGES_MAX = 64
"""Ranges in one tombstone."""


class Release(msgspec.Struct, frozen=True):
    """What was done.

    Attributes:
        blocks: Blocks that left the stream.
        readings: Readings in them.
        runs: Numbers of the dead letters that are runs in files.
    """

    blocks: int
    readings: int
    runs: tuple[int, ...]


def obstacle(state: State, stream: Stream, *, bury: bool, runs_max: int) -> str:
    """Why a stream cannot be released now, or ""."""
    if not stream.frozen:
        return "it is not stopped"
    if stream.theirs is None:
        return "the parent has not said where it stands since this node started; try when the link is up"
    runs = sum(isinstance(piece, Extent) and piece.last > stream.acked for piece in stream.pieces)
    if runs + len(state.dead_runs) > runs_max:
        return f"{runs} runs in files and {len(state.dead_runs)} listed: more than {runs_max} dead letters"
    count = sum(len(rows) for rows in stream.rows_pieces())
    if bury and count + len(state.dead) > state.settings.dead_max:
        return (
            f"{count} blocks and {len(state.dead)} listed: more than {state.settings.dead_max} dead letters"
        )
    return ""


def release(state: State, stream: Stream, draft: DraftLike, *, bury: bool) -> Release:
    """Let everything unanswered leave a stopped stream, and let the stream go on from the parent's position.

    Args:
        state: The outbox.
        stream: One without an `obstacle`.
        draft: The open commit.
        bury: Whether the blocks become dead letters; else they wait for a place at their lane's tail.
    """
    assert stream.theirs is not None
    letters: list[Letter] = []
    told: list[GapRange] = []
    runs: list[BacklogFile] = []
    back = [0, 0]
    for piece in stream.pieces:
        first = max(piece.first, stream.acked + 1)
        if first > piece.last:
            continue
        if isinstance(piece, Gap):
            told += piece.ranges
        elif isinstance(piece, Extent):
            for low, high in here(stream, first, piece.last):
                runs.append(_part(piece, low, high))
                booked = min(stream.booked, high)
                if low <= booked:
                    _add(back, *amounts_of(piece.info, low, booked))
        else:
            for p in range(first, piece.last + 1):
                if p in stream.elsewhere:
                    continue
                row = piece.row(p)
                letters.append(state.letter(row))
                if p <= stream.booked:
                    _add(back, row.rows, row.size)
    key, priority = stream.key, stream.key.priority
    # What a restored parent has lost again is in the account `committed`, wherever it goes from here.
    book_out(draft, Account.COMMITTED, priority, -back[0], -back[1])
    readings = sum(item.row.rows for item in letters)
    if bury:
        book_out(draft, Account.DEAD, priority, readings, sum(item.row.size for item in letters))
        told += state.ranges((state.own(item) for item in letters), priority, Reason.DEAD_LETTER)
        told += [item for run in runs for item in _named(run, priority)]
    in_runs = sum(run.readings for run in runs)
    book_out(draft, Account.DEAD, priority, in_runs, sum(run.payload_bytes for run in runs))
    number = state.next_number + len(letters)
    write(state, records.Released(key, *stream.theirs, tuple(letters), tuple(runs), bury), draft)
    tell(state, stream, told, draft)
    blocks = len(letters) + sum(run.p_to - run.p_from + 1 for run in runs)
    return Release(blocks, readings + in_runs, tuple(range(number, number + len(runs))))


def tell(state: State, stream: Stream, told: list[GapRange], draft: DraftLike) -> None:
    """Put tombstones at the tail of the lane of a stream."""
    target = current_stream(state, stream.key.priority, stream.key.lane)
    for at in range(0, len(told), RANGES_MAX):
        ranges = tuple(told[at : at + RANGES_MAX])
        stand(target, draft)
        write(state, records.Told(target.key, ranges), draft)
        state.drafted.append((draft.n, target, target.tail))


def held(state: State, priority: int) -> tuple[int, int]:
    """Readings and payload bytes of a class that stand unanswered in streams, or wait for another attempt."""
    amount = [0, 0]
    for stream in state.streams():
        if stream.key.priority != priority:
            continue
        _add(amount, *standing(stream, max(stream.acked, stream.booked) + 1, stream.tail))
    for item in state.waiting.values():
        if item.priority == priority:
            _add(amount, item.letter.row.rows, item.letter.row.size)
    return amount[0], amount[1]


def _part(extent: Extent, low: int, high: int) -> BacklogFile:
    """Positions low to high of a run; where the first of their records is in the file is not known."""
    info = extent.info
    readings, size = amounts_of(info, low, high)
    return msgspec.structs.replace(
        info,
        p_from=low,
        p_to=high,
        skipped=info.skipped + low - info.p_from,
        readings=readings,
        payload_bytes=size,
    )


def _named(run: BacklogFile, priority: int) -> tuple[GapRange, ...]:
    """Blocks of a run, as tombstones name them."""
    every = [
        Missing(p, identity, *amounts_of(run, p, p)) if run.each else Missing(p, identity, 0, 0)
        for p, identity in identities_of(run)
    ]
    return ranges_of(every, priority, Reason.DEAD_LETTER)


def _add(amount: list[int], readings: int, payload_bytes: int) -> None:
    amount[0] += readings
    amount[1] += payload_bytes
