"""Snapshot, restore and replay of an outbox, and pages of its files."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headland.blocks.digest import chain, identity_bytes
from headland.blocks.header import BlockHeader, decode_alone
from headland.blocks.wire import Reader
from headland.line.outbox import records
from headland.line.outbox.applying import (
    append_row,
    append_tombstone,
    apply,
    current_stream,
    entomb,
    must_find,
    spill,
)
from headland.line.outbox.rows import Rows
from headland.line.outbox.state import Epoch, History, State, Waiting
from headland.line.outbox.stream import BacklogFile, Extent, Gap, Piece, Stream
from headland.line.outbox.values import PagedHeader
from headland.link import received
from headland.link.contract import START, GapRange, ParentName, StreamKey
from headland.vocabulary import NO_TIME, Lane, Reason, StorageDamage

VERSION = 1
_Dumped = tuple[int, list[bytes], bytes, bytes]


class _Stream(msgspec.Struct, array_like=True):
    key: StreamKey
    numbers: list[int]
    chains: list[bytes]
    frozen: bool
    told: list[Gap]
    pieces: list[list[msgspec.Raw]]
    elsewhere: list[int] = []
    frozen_why: str = ""
    base: int = 0
    base_chain: bytes = START


class _Epoch(msgspec.Struct, array_like=True):
    epoch: bytes
    predecessor: bytes
    predecessor_n: int
    streams: list[_Stream]


class _Snapshot(msgspec.Struct, array_like=True):
    version: int
    epochs: list[_Epoch]
    idents: list[tuple[str, bytes]]
    groups: list[tuple[str, ...]]
    waiting: list[Waiting]
    dead: list[Waiting]
    parent: ParentName | None
    foreign_parent: ParentName | None
    history: list[tuple[StreamKey, int, list[bytes], bytes]]
    next_number: int
    k: dict[str, int]
    files: list[int] = []
    dead_runs: list[records.DeadRun] = []
    unlisted: int = 0


_NUMBERS = ("tail", "durable", "acked", "floor", "horizon", "uncertain", "foreign", "released", "booked")
_CHAINS = ("tail_chain", "acked_chain", "floor_chain")


def snapshot(state: State) -> bytes:
    """Everything, msgpack; columns are copied as they are."""
    state.free_idents()
    out = _Snapshot(
        version=VERSION,
        epochs=[
            _Epoch(
                epoch.epoch, epoch.predecessor, epoch.predecessor_n, list(map(_dump, epoch.streams.values()))
            )
            for epoch in state.epochs
        ],
        idents=state.idents,
        groups=state.groups,
        waiting=list(state.waiting.values()),
        dead=list(state.dead.values()),
        parent=state.parent,
        foreign_parent=state.foreign_parent,
        history=[
            (key, item.first, [column.tobytes() for column in item.columns], bytes(item.chains))
            for key, item in state.history.items()
        ],
        next_number=state.next_number,
        k={str(priority): k for priority, k in state.k.items()},
        files=sorted(state.files_known),
        dead_runs=list(state.dead_runs.values()),
        unlisted=state.unlisted,
    )
    return msgspec.msgpack.encode(out)


def _dump(stream: Stream) -> _Stream:
    pieces: list[list[msgspec.Raw]] = []
    for piece in stream.pieces:
        match piece:
            case Rows():
                kind, body = 0, msgspec.msgpack.encode(piece.dump())
            case Extent():
                kind, body = (1 if piece.whole else 2), msgspec.msgpack.encode(piece.info)
            case _:
                kind, body = 3, msgspec.msgpack.encode(piece)
        pieces.append([msgspec.Raw(msgspec.msgpack.encode(kind)), msgspec.Raw(body)])
    return _Stream(
        stream.key,
        [getattr(stream, name) for name in _NUMBERS],
        [getattr(stream, name) for name in _CHAINS],
        stream.frozen,
        stream.told,
        pieces,
        sorted(stream.elsewhere),
        stream.frozen_why,
        stream.base,
        stream.base_chain,
    )


def restore(state: State, data: bytes) -> None:
    """Replace everything by a snapshot.

    Raises:
        StorageDamage: It is not one, or a newer version's.
    """
    try:
        dumped = msgspec.msgpack.decode(data, type=_Snapshot)
        if dumped.version > VERSION:
            raise StorageDamage(f"the outbox was written by a newer version ({dumped.version})")
        state.clear()
        state.number_as(dumped.idents, dumped.groups)
        for item in dumped.epochs:
            epoch = Epoch(item.epoch, item.predecessor, item.predecessor_n, {})
            state.epochs.append(epoch)
            for stream in map(_load, item.streams):
                epoch.streams[(stream.key.priority, stream.key.lane)] = stream
        for key, first, columns, chains in dumped.history:
            history = state.history[key] = History(first)
            for column, body in zip(history.columns, columns, strict=True):
                column.frombytes(body)
            history.chains += chains
            found = state.find(key)
            if found is not None:  # what a version that kept fewer of them has not told
                found.elsewhere.update(history.elsewhere())
    except (msgspec.MsgspecError, ValueError) as error:
        raise StorageDamage(f"snapshot of the outbox: {error}") from None
    state.parent, state.foreign_parent = dumped.parent, dumped.foreign_parent
    state.next_number, state.unlisted = dumped.next_number, dumped.unlisted
    state.k = {int(priority): k for priority, k in dumped.k.items()}
    state.dead = {item.number: item for item in dumped.dead}
    state.dead_runs = {item.number: item for item in dumped.dead_runs}
    for waiting in dumped.waiting:
        waiting.due_ns = 0
        state.set_waiting(waiting)
    state.files_known = set(dumped.files)
    state.files_known = set(files(state))
    state.version += 1


def _load(dumped: _Stream) -> Stream:
    stream = Stream(dumped.key)
    for name, number in zip(_NUMBERS, dumped.numbers, strict=True):
        setattr(stream, name, number)
    for name, value in zip(_CHAINS, dumped.chains, strict=True):
        setattr(stream, name, value)
    stream.frozen, stream.frozen_why = dumped.frozen, dumped.frozen_why
    stream.told = dumped.told
    stream.elsewhere = set(dumped.elsewhere)
    stream.base, stream.base_chain = dumped.base, dumped.base_chain
    for kind_raw, body in dumped.pieces:
        kind = msgspec.msgpack.decode(kind_raw, type=int)
        piece: Piece
        if kind == 0:
            stream.pieces += Rows.load(msgspec.msgpack.decode(body, type=_Dumped)).parts()
            continue
        if kind in (1, 2):
            piece = Extent(msgspec.msgpack.decode(body, type=BacklogFile), whole=kind == 1)
        else:
            piece = msgspec.msgpack.decode(body, type=Gap)
        stream.pieces.append(piece)
    stream.claimed = stream.sent = stream.acked
    return stream


def replay(state: State, kind: int, data: bytes, n: int, index: int, running_ms: int) -> None:
    """One section of a frame, at recovery.

    Raises:
        StorageDamage: It does not decode.
    """
    match kind:
        case records.SEALS:
            header = decode_alone(Reader(data))
            stream = current_stream(state, header.priority, header.lane)
            if header.epoch == stream.key.epoch:
                _missing_before(state, header)
                state.k[header.priority] = header.k
            row = state.row_of(header, running_ms - header.age_ms, n, index, 0)
            append_row(state, stream, row)
        case records.RECEIVED:
            item = received.decode(data)
            if isinstance(item, received.ReceivedGap):
                append_tombstone(
                    state, current_stream(state, item.ranges[0].priority, item.lane), item.ranges
                )
                return
            header = item.header
            row = state.row_of(header, running_ms - header.age_ms, n, index, len(data))
            append_row(state, current_stream(state, header.priority, item.lane), row)
        case records.OUTBOX:
            apply(state, records.decode_record(data))
        case records.TOMBSTONE:
            entomb(state, records.decode_tombstone(data))
        case records.SPILL:
            record = records.decode_spill(data)
            state.files_known.add(record.info.file)
            spill(state, record)
            piece = must_find(state, record.stream).piece_at(record.info.p_from)
            if isinstance(piece, Extent):
                piece.rewind()  # what it kept of rows under way names places in a segment that is gone
        case _:
            pass


def _missing_before(state: State, header: BlockHeader) -> None:
    """Own blocks between the last that was replayed and this one were sealed in commits that are missing."""
    low = state.k.get(header.priority, 0) + 1
    if low < header.k:
        state.lost.append(
            GapRange(
                header.origin, header.epoch, header.priority, low, header.k - 1, Reason.CORRUPT, 0, 0,
                NO_TIME, NO_TIME,
            )
        )  # fmt: skip


def presume_sent(stream: Stream) -> None:
    """After a restart nobody knows what had been sent: all of a live lane, backlog up to its horizon."""
    stream.durable = stream.tail
    stream.acked_durable = stream.acked
    stream.claimed = stream.sent = stream.acked
    limit = stream.tail if stream.key.lane == Lane.LIVE else min(stream.tail, stream.horizon)
    stream.uncertain = max(stream.uncertain, limit)


def page(
    state: State, stream: Stream, extent: Extent, p: int, headers: Sequence[PagedHeader], next_at: int
) -> None:
    """Take headers of an outbox file: the blocks at p, p + 1 ... of an extent.

    Raises:
        StorageDamage: Their chain does not end where it did when they were written.
    """
    if p + len(headers) - 1 > extent.last or not headers:
        extent.rewind()
        return
    rows = extent.rows
    if rows is None or not len(rows):
        rows = extent.rows = Rows(p)
    value = extent.tip
    for item in headers:
        header, ref = item.header, item.ref
        row = state.row_of(header, extent.info.stamped_ms - header.age_ms, ref.space, ref.at, ref.length)
        identity = identity_bytes(header.origin, header.epoch, header.priority, header.k)
        value = chain(value, identity, header.digest)
        rows.append(msgspec.structs.replace(row, chain=value))
    extent.next_at, extent.next_p, extent.tip = next_at, p + len(headers), value
    if extent.next_p > extent.last and value != extent.info.chain_to:
        extent.rewind()
        raise StorageDamage(f"outbox file {extent.info.file}: its headers are not those that were written")
    rows.drop_to(stream.acked)


def unused(state: State) -> list[int]:
    """Files that shedding or expiry has emptied: no extent refers to them any more."""
    used = files(state)
    gone = [number for number in state.files_known if number not in used]
    state.files_known.difference_update(gone)
    return sorted(gone)


def files_of(rows: Rows, files: set[int]) -> set[int]:
    """Of these files those in which bodies of `rows` are; every file has a larger number than any commit."""
    if not files or not len(rows) or rows.newest_space < min(files):
        return set()
    return files.intersection(rows.spaces(rows.first, rows.last))


def files(state: State) -> dict[int, bool]:
    """Files in use: whether everything in them is answered or given up.

    By number; those of which the cloud has applied everything come first.
    """
    out: dict[int, bool] = {}
    not_stored: set[int] = set()
    for stream in state.streams():
        stored = state.stored.get(stream.key, 0)
        for piece in stream.pieces:
            if isinstance(piece, Extent) and piece.last > stored:
                not_stored.add(piece.info.file)
            if isinstance(piece, Extent):
                number = piece.info.file
                out[number] = out.get(number, True) and piece.last <= stream.acked
            elif isinstance(piece, Rows):
                for number in files_of(piece, state.files_known):
                    out[number] = out.get(number, True) and piece.last <= stream.acked
                    if piece.last > stored:
                        not_stored.add(number)
    for letters, given_up in ((state.waiting, False), (state.dead, True)):
        for item in letters.values():
            if item.letter.row.space in state.files_known:
                out[item.letter.row.space] = out.get(item.letter.row.space, True) and given_up
                not_stored.add(item.letter.row.space)
    for run in state.dead_runs.values():
        out.setdefault(run.info.file, True)
        not_stored.add(run.info.file)
    return dict(sorted(out.items(), key=lambda item: (item[0] in not_stored, item[0])))
