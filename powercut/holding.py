"""What a recovered node holds, read back from its disk block by block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import msgspec

from headland.blocks.block import open_block
from headland.blocks.header import BlockHeader
from headland.journal import DiskReader
from headland.journal.outbox_files import StoredBlock, path_of, read_blocks
from headland.line.outbox.stream import Extent, Gap, Stream
from headland.link.contract import Ref
from headland.node.blocks_on_disk import block_at, file_number, read_block
from headland.node.core import Node
from headland.node.kept_files import STORE
from headland.node.sealing import NORTH
from headland.node.shelf import Stored
from headland.simulation.readings import Identity, label
from headland.vocabulary import Columns, HeadlandError, Priority, RowKind, Value
from powercut.summary import given_up


class Row(msgspec.Struct, frozen=True):
    """A reading as it stands in a block (or, unsealed, in none)."""

    series: str
    seq: int
    ts: int
    value: Value


class Holding(msgspec.Struct):
    """Everything on the disk that a node would still send, or (a root) show.

    Attributes:
        blocks: In the order found.
        rows: Readings with a sequence number, own unsealed ones last.
        given_up: Blocks in whose place a tombstone stands.
    """

    blocks: list[Identity] = []
    rows: list[Row] = []
    given_up: set[Identity] = set()


def holding(node: Node, disk: DiskReader) -> Holding:
    """Read everything.

    Raises:
        HeadlandError: Something cannot be read, or is not what its header says.
        OSError: The same.
    """
    found = Holding(given_up=set(given_up(node)))
    outbox, parts = node.parts.north.outbox, node.parts
    if outbox is None:
        for header, body, names in _stored(node, disk):
            _add(found, header, body, names)
    else:
        own = parts.names
        for stream in outbox.state.streams():
            for header, body in _waiting(node, disk, stream, found):
                sids = {sid for sid, *_ in _opened(header, body)}
                names = {sid: own.key(header.origin, header.epoch, sid).name for sid in sids}
                _add(found, header, body, names)
    for cls in NORTH:
        for sid, seq, ts, value in _readings(parts.sealing.open[cls].columns):
            found.rows.append(Row(parts.names.table.key(sid).name, seq, ts, value))
    return found


def _waiting(
    node: Node, disk: DiskReader, stream: Stream, found: Holding
) -> Iterator[tuple[BlockHeader, bytes]]:
    """Blocks of a stream that its parent has not answered, in order of their positions."""
    assert node.parts.north.outbox is not None
    state, priority = node.parts.north.outbox.state, stream.key.priority
    for piece in stream.pieces:
        if piece.last <= stream.acked:
            continue
        if isinstance(piece, Extent):
            path, end = _file(node, piece.info.file)
            _, number = file_number(piece.info.file)
            blocks = read_blocks(disk, path, number, piece.info.at, end)
            for p, block in zip(range(piece.first, piece.last + 1), blocks, strict=False):
                if not isinstance(block, StoredBlock):
                    raise HeadlandError(f"{path}: bytes {block.offset}-{block.end} do not verify")
                if p > stream.acked:
                    yield block.header, block.body
            continue
        if isinstance(piece, Gap):
            continue
        rows = piece
        for p in range(max(piece.first, stream.acked + 1), piece.last + 1):
            row = rows.row(p)
            identity = (*state.idents[row.ident], priority, row.k)
            place = block_at(node.parts.places, row.ref, priority)
            if place is None:
                raise HeadlandError(f"{label(identity)} is nowhere")
            header, body, _ = read_block(disk, place)
            yield header, body


def _file(node: Node, file: int) -> tuple[str, int]:
    priority, number = file_number(file)
    directory = f"outbox/{Priority(priority).name.lower()}"
    return path_of(directory, number), node.parts.shelving.files.end(priority, number)


def _stored(node: Node, disk: DiskReader) -> Iterator[tuple[BlockHeader, bytes, dict[int, str]]]:
    """Blocks of a root, in order of arrival."""
    parts, shelving = node.parts, node.parts.shelving
    for info in shelving.files.by_directory[STORE].files():
        path = path_of(STORE, info.number)
        for block in read_blocks(disk, path, info.number, 0, info.bytes):
            if not isinstance(block, StoredBlock):
                raise HeadlandError(f"{path}: bytes {block.offset}-{block.end} do not verify")
            stored = msgspec.msgpack.decode(block.body, type=Stored)
            yield block.header, stored.body, {sid: name for sid, name, _ in stored.names}
    for resting in shelving.shelf.resting:
        place = block_at(parts.places, Ref(resting.n, resting.index), resting.priority)
        if place is None:
            raise HeadlandError(f"a block of commit {resting.n} is nowhere")
        header, body, sids = read_block(disk, place)
        yield header, body, {sid: parts.names.key(header.origin, header.epoch, sid).name for sid in sids}


def _add(found: Holding, header: BlockHeader, body: bytes, names: dict[int, str]) -> None:
    found.blocks.append((header.origin, header.epoch, int(header.priority), header.k))
    found.rows += [Row(names[sid], seq, ts, value) for sid, seq, ts, value in _opened(header, body)]


@lru_cache(maxsize=20_000)
def _opened(header: BlockHeader, body: bytes) -> tuple[tuple[int, int, int, Value], ...]:
    """Readings of a block, which is what its header says; the same bytes in many states are opened once."""
    return _readings(open_block(header, body)[0])


def _readings(columns: Columns) -> tuple[tuple[int, int, int, Value], ...]:
    count = len(columns)
    seqs, kinds = columns.seq or [-1] * count, columns.kind or [0] * count
    rows = zip(columns.sid, seqs, columns.ts, columns.value, kinds, strict=True)
    return tuple(
        (sid, seq, ts, value) for sid, seq, ts, value, kind in rows if kind == RowKind.READING and seq >= 0
    )
