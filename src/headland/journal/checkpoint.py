"""Checkpoints `checkpoint/<seq, 16 hex digits>.ckp`: the state after one commit, in a file of its own.

```
 0  8 s   magic "HLckpt1" and a line feed
 8  u64   seq
16  16 s  epoch of the commit
32  u64   N of the commit
40  u64   segment in which the log goes on
48  u64   offset in it
56  u64   bytes of the snapshot
64  u64   bytes that follow this header
72  16 s  BLAKE2b-128 over bytes 0-71 and what follows
88        the snapshot, one Zstandard frame
```
Laws:

* A checkpoint is written under another name, synced, renamed, and its directory synced, before it counts.
* The newest two stay. Recovery takes the newest that verifies; the log is kept from the older one on.
"""

from __future__ import annotations

import hashlib
import struct

import msgspec
import zstandard

from headland.journal.plan import CHECKPOINT, Create, DiskOp, DiskReader, Rename, Sync, SyncDir, Unlink, Write
from headland.journal.segment import Mark
from headland.vocabulary import DefectError, StorageDamage

MAX_SNAPSHOT_BYTES = 1 << 30
KEPT = 2
_MAGIC = b"HLckpt1\n"
_HEADER = struct.Struct("<8sQ16sQQQQQ")
_DIGEST = 16
HEADER_BYTES = _HEADER.size + _DIGEST


class Place(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A byte of the log: segment and offset."""

    segment: int
    offset: int


class CheckpointInfo(msgspec.Struct, frozen=True):
    """A checkpoint, without its snapshot.

    Attributes:
        seq: 1, 2, 3 ... in this data directory.
        mark: The commit whose state it holds.
        place: Where the log goes on after that commit.
        bytes: Length of its file.
    """

    seq: int
    mark: Mark
    place: Place
    bytes: int = 0


def path_of(seq: int) -> str:
    """Path of a checkpoint's file."""
    return f"{CHECKPOINT}/{seq:016x}.ckp"


def encode_file(info: CheckpointInfo, snapshot: bytes) -> bytes:
    """The bytes of a checkpoint file; takes a while for a large snapshot and may run in any thread.

    Raises:
        DefectError: a snapshot above 1 GiB.
    """
    if len(snapshot) > MAX_SNAPSHOT_BYTES:
        raise DefectError(f"a snapshot of {len(snapshot)} bytes")
    packed = zstandard.ZstdCompressor(level=3).compress(snapshot)
    mark, place = info.mark, info.place
    head = _HEADER.pack(
        _MAGIC, info.seq, mark.epoch, mark.n, place.segment, place.offset, len(snapshot), len(packed)
    )
    return head + _digest(head, packed) + packed


def write_ops(info: CheckpointInfo, data: bytes, superseded: list[int]) -> list[DiskOp]:
    """Operations that make a checkpoint count and remove the `superseded` ones."""
    temporary = f"{CHECKPOINT}/{info.seq:016x}.tmp"
    ops: list[DiskOp] = [
        Create(temporary, len(data)),
        Write(temporary, 0, data),
        Sync(temporary),
        Rename(temporary, path_of(info.seq)),
        SyncDir(CHECKPOINT),
    ]
    ops += [Unlink(path_of(seq)) for seq in superseded]
    return ops


def seqs(disk: DiskReader) -> tuple[list[int], list[str]]:
    """Numbers of the checkpoint files, newest first, and paths of leftovers that never counted."""
    numbers, leftovers = [], []
    for name in disk.names(CHECKPOINT):
        stem, _, ending = name.partition(".")
        try:
            number = int(stem, 16)
        except ValueError:
            continue
        if ending == "ckp":
            numbers.append(number)
        elif ending == "tmp":
            leftovers.append(f"{CHECKPOINT}/{name}")
    return sorted(numbers, reverse=True), leftovers


def load(disk: DiskReader, seq: int) -> tuple[CheckpointInfo, bytes]:
    """A checkpoint and its snapshot.

    Raises:
        StorageDamage: it does not verify.
    """
    path = path_of(seq)
    size = disk.size(path)
    head = disk.read(path, 0, HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        raise StorageDamage(f"{path}: cut short")
    magic, named, epoch, n, segment, offset, length, packed_bytes = _HEADER.unpack_from(head)
    if magic != _MAGIC or named != seq or length > MAX_SNAPSHOT_BYTES or packed_bytes > size - HEADER_BYTES:
        raise StorageDamage(f"{path}: not a checkpoint")
    packed = disk.read(path, HEADER_BYTES, packed_bytes)
    if _digest(head[: _HEADER.size], packed) != head[_HEADER.size :]:
        raise StorageDamage(f"{path}: its digest does not hold")
    try:
        snapshot = zstandard.ZstdDecompressor().decompress(packed, max_output_size=length)
    except zstandard.ZstdError as error:
        raise StorageDamage(f"{path}: {error}") from None
    return CheckpointInfo(seq, Mark(epoch, n), Place(segment, offset), size), snapshot


def _digest(head: bytes, packed: bytes) -> bytes:
    state = hashlib.blake2b(head, digest_size=_DIGEST)
    state.update(packed)
    return state.digest()
