"""How each durable record changes the outbox: one function, when it is written and when it is replayed."""

from __future__ import annotations

from typing import assert_never

import msgspec

from headland.blocks.digest import chain, identity_bytes
from headland.line.outbox import records
from headland.line.outbox.records import Letter, Record
from headland.line.outbox.rows import Row, Rows, known_row
from headland.line.outbox.runs import blocks_of
from headland.line.outbox.state import Epoch, State, Waiting
from headland.line.outbox.stream import Extent, Gap, Stream
from headland.link.contract import GapRange, Later, LaterReason, ParentName, StreamKey
from headland.vocabulary import DefectError, Reason


def must_find(state: State, key: StreamKey) -> Stream:
    """A stream that has to exist.

    Raises:
        DefectError: It does not.
    """
    stream = state.find(key)
    if stream is None:
        raise DefectError(f"stream {key} is unknown")
    return stream


def current_stream(state: State, priority: int, lane: int) -> Stream:
    """The stream of the current epoch.

    Raises:
        DefectError: No epoch has been opened.
    """
    if state.current is None:
        raise DefectError("the outbox has no epoch yet")
    return state.open_stream(state.current, priority, lane)


def apply(state: State, record: Record) -> None:
    """Change the outbox as `record` says.

    Raises:
        DefectError: It speaks of something that is not there.
    """
    match record:
        case records.EpochOpened():
            state.epochs.append(Epoch(record.epoch, record.predecessor, record.predecessor_n, {}))
            state.k.clear()
            state.forget_drained()
            state.version += 1
        case records.ParentIs():
            _parent_is(state, record)
        case records.AckedTo():
            _acked(state, record)
        case records.Rewound():
            _rewound(state, record)
        case records.HorizonAt():
            must_find(state, record.stream).horizon = record.p
        case records.Touchable():
            must_find(state, record.stream).uncertain = record.p
        case records.Frozen():
            stream = must_find(state, record.stream)
            stream.frozen, stream.frozen_why = True, record.why
        case records.Released():
            _released(state, record)
        case records.Stands():
            stream = must_find_or_open(state, record.stream)
            if stream.tail < record.p:
                stream.hole(record.p, record.chain)
        case records.Told():
            state.lost = [item for item in state.lost if item not in record.ranges]
            append_tombstone(state, must_find_or_open(state, record.stream), record.ranges)
        case records.Reentered():
            item = state.waiting.pop(record.number)
            append_row(state, must_find_or_open(state, record.stream), state.own(item.letter))
        case records.Resent():
            item = state.dead.pop(record.number)
            row = state.own(item.letter)
            row = msgspec.structs.replace(row, tries=0, born_ms=record.born_ms or row.born_ms)
            append_row(state, must_find_or_open(state, record.stream), row)
        case records.Buried():
            _buried(state, record)
        case records.Parked():
            _parked(state, record)
        case records.Forgotten():
            state.forget_to(must_find(state, record.stream), record.p)
        case records.Moved():
            state.move_letter(record.number, record.ref)
        case records.Evicted():
            state.unlist(record.number)
        case records.RunResent():
            stream = must_find_or_open(state, record.stream)
            for letter in record.letters:
                append_row(state, stream, state.own(letter))
            left = state.dead_runs.pop(record.number).behind(record)
            if left is not None:
                state.dead_runs[record.number] = left
        case _:
            assert_never(record)


def must_find_or_open(state: State, key: StreamKey) -> Stream:
    """A stream of the current epoch, made now if need be, or an older one that has to exist."""
    if state.current is not None and state.current.epoch == key.epoch:
        return state.open_stream(state.current, key.priority, key.lane)
    return must_find(state, key)


def append_row(state: State, stream: Stream, row: Row) -> int:
    """Place a block at a stream's tail; its position."""
    return stream.append(row, *state.idents[row.ident])


def entomb(state: State, record: records.Tombstone) -> None:
    """Let a tombstone stand where blocks stood."""
    stream = must_find(state, record.stream)
    gap = Gap(record.first, record.last, record.chain, record.ranges)
    if record.first == stream.tail + 1:
        stream.pieces.append(gap)
        stream.tail, stream.tail_chain = record.last, record.chain
    else:
        stream.replace(record.first, record.last, gap, record.cut)
    reason = record.ranges[0].reason if record.ranges else 0
    if record.run is not None:
        state.bury_run(stream.key, reason, record.run)
    for letter in record.waits:
        state.set_waiting(_waiting(state, letter, stream.key, 0))
    for letter in record.letters:
        if reason in (Reason.EXPIRED, Reason.DEAD_LETTER, Reason.REJECTED):
            state.bury(_waiting(state, letter, stream.key, reason))


def spill(state: State, record: records.Spilled) -> None:
    """Let blocks that stood in the journal stand in an outbox file."""
    stream, info = must_find(state, record.stream), record.info
    extent = Extent(info)
    rows = stream.piece_at(info.p_from)
    in_flight = stream.claimed >= info.p_from and stream.acked < info.p_to
    kept: Rows | None = None
    if in_flight and isinstance(rows, Rows):
        kept = Rows(info.p_from)
        for row in rows.rows_between(info.p_from, info.p_to):
            kept.append(row)
    stream.replace(info.p_from, info.p_to, extent)
    if kept is not None:
        extent.hold(kept, info.at + info.length)


def append_tombstone(state: State, stream: Stream, ranges: tuple[GapRange, ...]) -> Gap:
    """Place a child's tombstones at a stream's tail."""
    body = msgspec.msgpack.encode(ranges)
    first = ranges[0]
    identity = identity_bytes(first.origin, first.epoch, first.priority, first.k_from)
    return stream.append_gap(chain(stream.tail_chain, identity, tombstone_digest(body)), ranges)


def tombstone_digest(body: bytes) -> bytes:
    """The 16 bytes that stand for a relayed tombstone in a chain."""
    return chain(b"tombstone", b"", body)


def _waiting(state: State, letter: Letter, key: StreamKey, reason: int, due_ns: int = 0) -> Waiting:
    return Waiting(state.take_number(), letter, key.priority, key.lane, reason, due_ns)


def _released(state: State, record: records.Released) -> None:
    stream = must_find(state, record.stream)
    for letter in record.letters:
        if record.buried:
            state.bury(_waiting(state, letter, stream.key, Reason.DEAD_LETTER))
        else:
            state.set_waiting(_waiting(state, letter, stream.key, 0))
    for run in record.runs:
        state.bury_run(stream.key, Reason.DEAD_LETTER, run)
    stream.begin_at(record.p, record.chain)
    state.history.pop(stream.key, None)
    for moved in (state.drafted, state.acks):
        moved[:] = [item for item in moved if item[1] is not stream]
    state.held = [item for item in state.held if item is not stream]
    state.version += 1


def _parent_is(state: State, record: records.ParentIs) -> None:
    if record.gone:
        state.foreign_parent = None
        for stream in state.streams():
            stream.foreign = 0
            if not record.name:
                stream.uncertain = 0
        return
    parent = ParentName(record.name, record.store)
    if state.parent is not None and state.parent != parent:
        for stream in state.streams():
            if state.parent.name != parent.name:
                stream.base, stream.base_chain = stream.acked, stream.acked_chain
            if stream.uncertain > stream.acked:
                stream.foreign = max(stream.foreign, stream.uncertain)
                state.foreign_parent = state.foreign_parent or state.parent
    state.parent = parent


def _acked(state: State, record: records.AckedTo) -> None:
    stream = must_find(state, record.stream)
    if record.p > stream.tail:
        stream.hole(record.p, record.chain)
    state.next_number = max(state.next_number, record.number)
    stream.elsewhere.update(answer.p for answer in record.exceptions)
    stream.elsewhere.update(record.lost)
    for p in range(stream.acked + 1, record.p + 1):
        rows = stream.rows_at(p)
        if rows is not None:
            state.remember(stream, p, rows.row(p))
        else:
            _remember_unread(state, stream, p, record.p)
    letters = dict(zip((answer.p for answer in record.exceptions), record.letters, strict=True))
    for answer in record.exceptions:
        letter = letters[answer.p]
        if isinstance(answer, Later) and answer.spends:
            spent = min(letter.row.tries + 1, 255)
            letter = msgspec.structs.replace(letter, row=msgspec.structs.replace(letter.row, tries=spent))
        state.set_waiting(_waiting(state, letter, stream.key, answer.reason))
    stream.acked_to(record.p, record.chain)


def _remember_unread(state: State, stream: Stream, p: int, p_to: int) -> None:
    """At p, which is answered with others up to p_to, a run in a file begins of which no header is in memory.

    A replay reads no files, and has to know as much of what was answered as the process that it repeats.
    """
    piece = stream.piece_at(p)
    if isinstance(piece, Extent) and piece.rows is None and p == max(piece.first, stream.acked + 1):
        for item in blocks_of(piece.info):
            if p <= item.p <= p_to:
                origin, epoch, k = item.identity
                state.remember(stream, item.p, known_row(state.ident(origin, epoch), k, item.rows, item.size))


def _rewound(state: State, record: records.Rewound) -> None:
    stream = must_find(state, record.stream)
    history = state.history.get(stream.key)
    if record.gap_to > record.p:
        stream.pieces.insert(0, Gap(record.p + 1, record.gap_to, stream.floor_chain, record.ranges))
        stream.floor, stream.floor_chain = record.p, record.chain
        stream.told = [_up_to(gap, record) for gap in stream.told if gap.first <= record.p]
    if history is not None:
        history.cut_after(record.p)
    if record.p < stream.base:
        stream.base, stream.base_chain = record.p, record.chain
    stream.acked, stream.acked_chain = record.p, record.chain
    stream.booked = max(stream.booked, record.booked)
    stream.claimed = stream.sent = record.p
    stream.live.clear()
    stream.live_bytes = 0
    for piece in stream.pieces:
        if isinstance(piece, Extent):
            piece.rewind()
    state.version += 1


def _up_to(gap: Gap, record: records.Rewound) -> Gap:
    """What is still answered of a run that is gone, or of tombstones."""
    return gap if gap.last <= record.p else msgspec.structs.replace(gap, last=record.p, chain=record.chain)


def _buried(state: State, record: records.Buried) -> None:
    item = state.waiting.pop(record.number)
    stream = must_find_or_open(state, record.stream)
    row = state.own(item.letter)
    identity = identity_bytes(*state.idents[row.ident], item.priority, row.k)
    stream.append_gap(chain(stream.tail_chain, identity, row.digest), (record.range,))
    item.reason = record.reason
    state.bury(item)


def _parked(state: State, record: records.Parked) -> None:
    stream = must_find(state, record.stream)
    for letter in record.letters:
        state.set_waiting(_waiting(state, letter, stream.key, LaterReason.NOT_AUTHORISED))
    stream.replace(record.first, record.last, Gap(record.first, record.last, record.chain, ()), record.cut)
