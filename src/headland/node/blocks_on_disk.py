"""Reading blocks back: from their rows in the journal, from the commit that received them, from a file.

Pure but for the reads: an executor calls `read_block` on a thread of its own, the simulator inline.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from headland.blocks import codec
from headland.blocks.block import check_block
from headland.blocks.header import BlockHeader, decode_alone
from headland.blocks.wire import Reader
from headland.journal import DiskReader, SectionRef
from headland.journal.frame import check_section
from headland.journal.outbox_files import StoredBlock, outbox_directory, path_of, read_blocks
from headland.journal.segment import path_of as segment_path
from headland.link import received
from headland.link.contract import Ref
from headland.node.section_index import Places
from headland.vocabulary import Priority, StorageDamage


class OwnBlock(msgspec.Struct, frozen=True, tag=True):
    """A block of this node: its header (a SEALS section) and the rows of its commits."""

    header: SectionRef
    rows: tuple[SectionRef, ...]


class ReceivedBlock(msgspec.Struct, frozen=True, tag=True):
    """A block of a child, whole in one RECEIVED section."""

    section: SectionRef


class FileBlock(msgspec.Struct, frozen=True, tag=True):
    """A record of a file of blocks."""

    path: str
    number: int
    offset: int
    length: int


BlockRef = OwnBlock | ReceivedBlock | FileBlock
Block = tuple[BlockHeader, bytes, frozenset[int]]
"""Header, body, and the series in it."""

IN_FILE = 1 << 62
"""`Ref.space` of a block in a file is this bit, its class from bit 56 on, and the file's number; otherwise
`Ref.space` is a commit and `Ref.at` a section of it."""
NOWHERE = IN_FILE - 1
"""`Ref.space` of a block whose body is lost and whose outcome is not known yet: no commit has that number."""


def block_at(places: Places, ref: Ref, priority: int) -> BlockRef | None:
    """Where the block of an outbox entry is, or None when that is not known (any more)."""
    if ref.space & IN_FILE:
        _, number = file_number(ref.space)
        path = path_of(outbox_directory(Priority(priority)), number)
        return FileBlock(path, number, ref.at, ref.length)
    section = places.received.find(ref.space, ref.at)
    if section is not None:
        return ReceivedBlock(section)
    section = places.seals[priority].find(ref.space, ref.at)
    if section is None:
        return None
    return OwnBlock(section, tuple(places.rows_of(priority, ref.space, ref.at)))


def read_block(disk: DiskReader, ref: BlockRef) -> Block:
    """Header, body and series of a block.

    Raises:
        StorageDamage: What is there is not what was written.
        PeerError: Its body does not decode.
        OSError: It cannot be read.
    """
    match ref:
        case OwnBlock(header_ref, rows):
            return _own(disk, header_ref, rows)
        case ReceivedBlock(section):
            return _opened(*received_body(_section(disk, section)))
        case FileBlock(path, number, offset, length):
            found = next(iter(read_blocks(disk, path, number, offset, offset + length)), None)
            if not isinstance(found, StoredBlock):
                raise StorageDamage(f"{path}: the record at {offset} does not verify")
            return _opened(found.header, found.body)
        case _:
            assert_never(ref)


def _opened(header: BlockHeader, body: bytes) -> Block:
    return header, body, check_block(header, body)


def received_body(data: bytes) -> tuple[BlockHeader, bytes]:
    """Header and body of a RECEIVED section that holds a block."""
    header, at = received.body_offset(data)
    return header, data[at:]


def read_page(
    disk: DiskReader, path: str, number: int, at: int, end: int, count: int, *, around: bool = False
) -> tuple[tuple[Paged, ...], str]:
    """Headers of at most `count` blocks of a file from offset `at` on, and where each block is.

    Returns:
        The headers up to the first damage (or, with `around`, all that verify), and what is damaged.

    Raises:
        OSError: The file is not there, or cannot be read at all.
    """
    out: list[Paged] = []
    damage = ""
    for block in read_blocks(disk, path, number, at, end):
        if isinstance(block, StoredBlock):
            out.append(Paged(block.header, block.ref.offset, block.ref.length))
            if len(out) >= count:
                break
        else:
            damage = damage or f"{path}: bytes {block.offset}-{block.end} do not verify"
            if not around:
                break
    return tuple(out), damage


class Paged(msgspec.Struct, frozen=True):
    """A header read from a file, and the extent of its record."""

    header: BlockHeader
    offset: int
    length: int


def _section(disk: DiskReader, ref: SectionRef) -> bytes:
    return check_section(ref, disk.read(segment_path(ref.segment), ref.offset, ref.length))


def _own(disk: DiskReader, header_ref: SectionRef, rows: tuple[SectionRef, ...]) -> Block:
    header = decode_alone(Reader(_section(disk, header_ref)))
    units = [memoryview(_section(disk, ref))[1:] for ref in rows]  # behind the class
    unit, count, sids = codec.encode_again(units, header.base_ns)
    if count != header.rows:
        raise StorageDamage(f"block {header.k}: {count} rows in the journal, {header.rows} in its header")
    return header, codec.compress(header.priority, unit), sids


def file_number(space: int) -> tuple[int, int]:
    """Class and number of the outbox file that `Ref.space` (or a file of the outbox's list) names."""
    bits = space ^ IN_FILE
    return bits >> 56, bits & (1 << 56) - 1
