"""Files of sealed blocks, `outbox/<class>/<n>.blk` and `store/<n>.blk`: the backlog, deleted whole.

A file is a sequence of records, integers little-endian:

```
 0  4 s   magic AB 48 4C 62
 4  u32   length of the block's header
 8  u32   length of its body
12  u32   CRC32C over the file's path | bytes 0-11 | header | body
16        header (self-contained form of `blocks.header`), body as it was sealed
```
Laws:

* Appending is: write, sync, then *note* the file's new length in a commit. What no note covers is not there:
  after a crash an unnoted file is deleted, a longer one is cut at its note, and the spill is done again.
* What is known of a file without reading it is its `FileInfo`; it travels in the note and in checkpoints.
* Reading holds a bounded part of a file in memory. A record that does not verify is stepped around, reported.
* Numbers are not used twice in a directory as long as any note of them may be read.

Bounds: 8 MiB a file (a larger block gets a file of its own), 64 KiB a header, 64 MiB a body.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

import google_crc32c
import msgspec

from headland.blocks.header import BlockHeader, decode_alone, encode_alone
from headland.blocks.wire import Reader
from headland.journal.plan import (
    OUTBOX,
    STORE,
    Create,
    DiskOp,
    DiskReader,
    Sync,
    SyncDir,
    Truncate,
    Unlink,
    Write,
)
from headland.journal.read_ahead import Patient, ReadAhead
from headland.vocabulary import NO_TIME, DefectError, PeerError, Priority

FILE_BYTES = 8 << 20
RECORD_HEADER_BYTES = 16
MAX_HEADER_BYTES = 64 << 10
MAX_BODY_BYTES = 64 << 20
MAGIC = b"\xabHLb"
_RECORD = struct.Struct("<4sIII")


class FileInfo(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a file without reading it.

    Attributes:
        number: Its name in its directory.
        bytes: Noted length.
        blocks: Records in it.
        readings: Rows in them.
        payload_bytes: Payload bytes that these stand for in the books.
        ts_min: Smallest event time, ns UTC, or NO_TIME.
        ts_max: Largest event time, or NO_TIME.
        full: Nothing more is appended.
    """

    number: int
    bytes: int = 0
    blocks: int = 0
    readings: int = 0
    payload_bytes: int = 0
    ts_min: int = NO_TIME
    ts_max: int = NO_TIME
    full: bool = False


class BlockRef(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Where a block stands: file, offset and length of its record."""

    number: int
    offset: int
    length: int


class StoredBlock(msgspec.Struct, frozen=True):
    """A block as read back."""

    header: BlockHeader
    body: bytes
    ref: BlockRef


class BadRecord(msgspec.Struct, frozen=True):
    """Bytes of a file in which no record verifies, from `offset` up to `end`."""

    number: int
    offset: int
    end: int


class Spilled(msgspec.Struct, frozen=True):
    """Blocks on their way into files.

    Attributes:
        plan: Operations, ending with everything synced.
        files: Every file that changed, as it is afterwards: what the note has to say.
        refs: One a block, in order.
    """

    plan: list[DiskOp]
    files: list[FileInfo]
    refs: list[BlockRef]


def outbox_directory(priority: Priority) -> str:
    """Where the backlog of a class is."""
    return f"{OUTBOX}/{priority.name.lower()}"


def path_of(directory: str, number: int) -> str:
    """Path of a file of blocks."""
    return f"{directory}/{number:016x}.blk"


def number_of(name: str) -> int | None:
    """The number in a file name, or None for a file that is none of ours."""
    stem, dot, ending = name.partition(".")
    if not dot or ending != "blk" or len(stem) != 16:
        return None
    try:
        return int(stem, 16)
    except ValueError:
        return None


class BlockFiles:
    """The files of one directory, appended to at the end, forgotten whole.

    Its state is `files`, which notes and checkpoints carry; `restore` begins from there.

    Attributes:
        file_bytes: Size at which a file is full; counts for what is appended from now on.
        lost: Files that were missing or shorter than their notes when `reconcile` looked.
    """

    def __init__(self, directory: str = STORE, file_bytes: int = FILE_BYTES) -> None:
        self.directory = directory
        self.file_bytes = file_bytes
        self.lost: list[int] = []
        self._files: dict[int, FileInfo] = {}
        self._next = 1

    def restore(self, files: Iterable[FileInfo], next_number: int = 1) -> None:
        """Take over what notes and checkpoint said."""
        self._files = {info.number: info for info in sorted(files, key=_number)}
        self._next = max(next_number, max(self._files, default=0) + 1)

    @property
    def next_number(self) -> int:
        """The number that the next new file gets."""
        return self._next

    def files(self) -> list[FileInfo]:
        """Every file, oldest first."""
        return list(self._files.values())

    @property
    def used_bytes(self) -> int:
        """Bytes of blocks in all files."""
        return sum(info.bytes for info in self._files.values())

    def append(self, blocks: Sequence[tuple[BlockHeader, bytes]]) -> Spilled:
        """Append sealed blocks; when the plan has been executed, note `files` in a commit.

        Raises:
            DefectError: a block beyond the bounds.
        """
        plan: list[DiskOp] = []
        refs: list[BlockRef] = []
        changed: dict[int, FileInfo] = {}
        pending = bytearray()
        current = next((info for info in reversed(self._files.values()) if not info.full), None)
        begun = current.bytes if current is not None else 0
        if current is not None and blocks:
            plan.append(Create(path_of(self.directory, current.number), self.file_bytes))
        for header, body in blocks:
            parts = _parts(header, body)
            length = RECORD_HEADER_BYTES + sum(map(len, parts))
            if current is not None and current.bytes + length > self.file_bytes and current.blocks:
                changed[current.number] = full = msgspec.structs.replace(current, full=True)
                plan += self._flush(current, begun, pending)
                plan.append(Truncate(path_of(self.directory, full.number), full.bytes))
                current, pending = None, bytearray()
            if current is None:
                current, begun = FileInfo(self._next), 0
                self._next += 1
                path = path_of(self.directory, current.number)
                plan += [Create(path, max(self.file_bytes, length)), SyncDir(self.directory)]
            refs.append(BlockRef(current.number, current.bytes, length))
            pending += _record(path_of(self.directory, current.number), *parts)
            current = _grown(current, header, length)
            changed[current.number] = current
        if current is not None and pending:
            plan += self._flush(current, begun, pending)
        self._files.update(changed)
        return Spilled(plan, list(changed.values()), refs)

    def remove(self, number: int) -> list[DiskOp]:
        """Forget a whole file; its tombstone, where one is due, is durable already."""
        del self._files[number]
        return [Unlink(path_of(self.directory, number))]

    def reconcile(self, disk: DiskReader) -> list[DiskOp]:
        """After a crash: delete files that no note names, cut those that are longer than their note.

        A noted file that is missing or shorter is damage (`lost`): whoever reads it finds out what is gone.
        Nothing more is appended to it.
        """
        plan: list[DiskOp] = []
        there = {
            number: name for name in disk.names(self.directory) if (number := number_of(name)) is not None
        }
        for number in there:
            path = path_of(self.directory, number)
            info = self._files.get(number)
            if info is None:
                plan.append(Unlink(path))
            elif disk.size(path) > info.bytes:
                plan.append(Truncate(path, info.bytes))
        self.lost = [
            number
            for number, info in self._files.items()
            if number not in there or disk.size(path_of(self.directory, number)) < info.bytes
        ]
        for number in self.lost:
            self._files[number] = msgspec.structs.replace(self._files[number], full=True)
        return plan

    def blocks(self, disk: DiskReader, number: int, offset: int = 0) -> Iterator[StoredBlock | BadRecord]:
        """The blocks of a file in order, from a record's offset on, up to its noted length."""
        return read_blocks(disk, path_of(self.directory, number), number, offset, self._files[number].bytes)

    def _flush(self, info: FileInfo, begun: int, pending: bytearray) -> list[DiskOp]:
        path = path_of(self.directory, info.number)
        return [Write(path, begun, bytes(pending)), Sync(path)] if pending else []


def _number(info: FileInfo) -> int:
    return info.number


def read_blocks(
    disk: DiskReader, path: str, number: int, offset: int, end: int
) -> Iterator[StoredBlock | BadRecord]:
    """Blocks of the file at `path` from `offset` up to `end`; memory is one block and a read-ahead.

    Raises:
        OSError: The file is not there, or nothing of it can be read.
    """
    ahead = ReadAhead(Patient(disk), path, end)
    while offset < end:
        block = _record_at(ahead, path, number, offset)
        if block is not None:
            yield block
            offset += block.ref.length
            continue
        following = ahead.next_valid(
            MAGIC, offset + 1, lambda at: _record_at(ahead, path, number, at) is not None
        )
        yield BadRecord(number, offset, end if following is None else following)
        offset = end if following is None else following


def _record_at(ahead: ReadAhead, path: str, number: int, offset: int) -> StoredBlock | None:
    front = ahead.take(offset, RECORD_HEADER_BYTES)
    if len(front) < RECORD_HEADER_BYTES:
        return None
    magic, header_bytes, body_bytes, _ = _RECORD.unpack(front)
    if magic != MAGIC or header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        return None
    data = ahead.take(offset, RECORD_HEADER_BYTES + header_bytes + body_bytes)
    return _parse(path, number, offset, data)


def _parts(header: BlockHeader, body: bytes) -> tuple[bytes, bytes]:
    head = encode_alone(header)
    if len(head) > MAX_HEADER_BYTES or len(body) > MAX_BODY_BYTES:
        raise DefectError(f"a block of {len(head)} + {len(body)} bytes exceeds a record")
    return head, body


def _record(path: str, head: bytes, body: bytes) -> bytes:
    front = MAGIC + struct.pack("<II", len(head), len(body))
    return front + struct.pack("<I", _crc(path, front, head + body)) + head + body


def _crc(path: str, front: bytes, rest: bytes) -> int:
    crc: int = google_crc32c.extend(google_crc32c.value(path.encode("ascii") + front), rest)
    return crc


def _grown(info: FileInfo, header: BlockHeader, length: int) -> FileInfo:
    times = [time for time in (info.ts_min, header.ts_min) if time != NO_TIME]
    return FileInfo(
        number=info.number,
        bytes=info.bytes + length,
        blocks=info.blocks + 1,
        readings=info.readings + header.rows,
        payload_bytes=info.payload_bytes + header.size,
        ts_min=min(times, default=NO_TIME),
        ts_max=max(info.ts_max, header.ts_max),
    )


def _parse(path: str, number: int, offset: int, data: bytes) -> StoredBlock | None:
    """The block that `data` is, from first byte to last."""
    if len(data) < RECORD_HEADER_BYTES:
        return None
    magic, header_bytes, body_bytes, crc = _RECORD.unpack_from(data)
    if magic != MAGIC or len(data) != RECORD_HEADER_BYTES + header_bytes + body_bytes:
        return None
    if crc != _crc(path, data[:12], data[RECORD_HEADER_BYTES:]):
        return None
    reader = Reader(data[RECORD_HEADER_BYTES : RECORD_HEADER_BYTES + header_bytes])
    try:
        header = decode_alone(reader)
        reader.end()
    except PeerError:
        return None
    return StoredBlock(
        header, data[RECORD_HEADER_BYTES + header_bytes :], BlockRef(number, offset, len(data))
    )
