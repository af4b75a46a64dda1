"""A disk that forgets: what a crash may leave of operations that were not synced.

The model, deliberately weaker than any one file system:

* A write lives in the page cache until its file is synced; at a crash each sector (512 B) of it is kept or
  lost on its own, whatever was written later.
* A name (created, renamed, removed) is durable when its directory is synced; at a crash each change of a name
  is kept or lost on its own. A rename is atomic: both names change or none.
* The length of a file is durable when the file is synced; before that it may still be any earlier one.
* Space is taken in `Create` only; a write beyond what was allocated is a defect of the plan.

A crash returns another disk that holds the durable bytes and the chosen rest; the crashed one stays.
"""

from __future__ import annotations

import errno
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import assert_never

import msgspec

from headland.drivers.disk import DiskFailed
from headland.journal.plan import Create, DiskOp, Rename, Sync, SyncDir, Truncate, Unlink, Write
from headland.vocabulary import DefectError

SECTOR_BYTES = 512
PAGE_BYTES = 4096


class _Change(msgspec.Struct):
    """A change of a file's data that is not synced: bytes at an offset, or (data is None) another length."""

    offset: int
    data: bytes | None


class _Inode:
    """A file: durable bytes, cached bytes, and the changes that lie between them."""

    __slots__ = ("allocated", "bad", "changes", "durable", "durable_size", "live", "size")

    def __init__(self) -> None:
        self.durable = bytearray()
        self.durable_size = 0
        self.live = bytearray()
        self.size = 0
        self.allocated = 0
        self.changes: list[_Change] = []
        self.bad: set[int] = set()

    def write(self, offset: int, data: bytes) -> None:
        _put(self.live, offset, data)
        self.changes.append(_Change(offset, data))
        if self.bad:
            self.bad.difference_update(_pages(offset, len(data)))

    def resize(self, size: int) -> None:
        self.size = size
        self.allocated = size
        del self.live[size:]
        self.changes.append(_Change(size, None))

    def sync(self) -> None:
        if len(self.changes) == 1 and (data := self.changes[0].data) is not None:
            _put(self.durable, self.changes[0].offset, data)
        else:
            self.durable = bytearray(self.live)
        self.durable_size = self.size
        self.changes.clear()

    def after_crash(self, kept: Sequence[Sequence[int]]) -> _Inode:
        """The file with, of each change, these sectors (a change of length has one)."""
        survivor = _Inode()
        survivor.durable = bytearray(self.durable)
        size = self.durable_size
        for change, sectors in zip(self.changes, kept, strict=True):
            if change.data is None:
                if sectors:
                    size = change.offset
                    del survivor.durable[size:]
                continue
            for sector in sectors:
                start, end = _sector(change.offset, len(change.data), sector)
                _put(survivor.durable, change.offset + start, change.data[start:end])
        del survivor.durable[size:]
        survivor.live = bytearray(survivor.durable)
        survivor.size = survivor.durable_size = survivor.allocated = size
        survivor.bad = set(self.bad)
        return survivor


class _NameChange(msgspec.Struct):
    """Changes of names that happen together: path to inode, or to None when the name goes away."""

    names: dict[str, _Inode | None]


class SimulatedDisk:
    """Files in memory, with a page cache that a crash empties.

    Attributes:
        capacity_bytes: What `Create` may allocate in all; may be changed at any time.
        applied: Operations executed so far.
        fail_at: The operation (counted from 0) that fails, after which nothing works; or None.
    """

    def __init__(self, capacity_bytes: int = 1 << 40) -> None:
        self.capacity_bytes = capacity_bytes
        self.applied = 0
        self.fail_at: int | None = None
        self._names: dict[str, _Inode] = {}
        self._durable_names: dict[str, _Inode] = {}
        self._name_changes: list[_NameChange] = []
        self._failed = False

    def apply(self, op: DiskOp, /) -> None:
        """Execute one operation (see `headland.drivers.disk.Disk`).

        Raises:
            OSError: ENOSPC from `Create`.
            DiskFailed: at `fail_at` and ever after.
            DefectError: a write beyond what was allocated, or to a file that is not there.
        """
        if self._failed or self.applied == self.fail_at:
            self._failed = True
            raise DiskFailed(errno.EIO, "simulated failure")
        match op:
            case Write():
                inode = self._inode(op.path)
                if op.offset + len(op.data) > inode.allocated:
                    raise DefectError(f"a write to {op.path} beyond its {inode.allocated} bytes")
                inode.write(op.offset, op.data)
            case Sync():
                self._inode(op.path).sync()
            case Create():
                self._create(op)
            case SyncDir():
                self._sync_directory(op.path)
            case Rename():
                inode = self._inode(op.source)
                del self._names[op.source]
                self._names[op.target] = inode
                self._name_changes.append(_NameChange({op.source: None, op.target: inode}))
            case Unlink():
                if self._names.pop(op.path, None) is not None:
                    self._name_changes.append(_NameChange({op.path: None}))
            case Truncate():
                self._inode(op.path).resize(op.size)
            case _:
                assert_never(op)
        self.applied += 1

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes of a file, fewer at its end.

        Raises:
            OSError: EIO where a page of them cannot be read.
        """
        inode = self._file(path)
        length = max(min(length, inode.size - offset), 0)
        if inode.bad and not inode.bad.isdisjoint(_pages(offset, length)):
            raise OSError(errno.EIO, "a page cannot be read on the simulated disk", path)
        data = bytes(inode.live[offset : offset + length])
        return data + bytes(length - len(data))

    def size(self, path: str) -> int:
        """Length of a file in bytes."""
        return self._file(path).size

    def names(self, directory: str) -> list[str]:
        """Names of the files in a directory, sorted."""
        prefix = f"{directory}/"
        return sorted(
            path[len(prefix) :]
            for path in self._names
            if path.startswith(prefix) and "/" not in path[len(prefix) :]
        )

    def free_bytes(self) -> int:
        """Bytes that may still be allocated."""
        return self.capacity_bytes - sum(inode.allocated for inode in self._names.values())

    def close(self) -> None:
        """Nothing to give back."""

    def settled(self, path: str) -> bool:
        """Whether a power cut now would leave this file, under this name, as it is."""
        inode = self._file(path)
        return not inode.changes and self._durable_names.get(path) is inode

    def flip(self, path: str, offset: int, bit: int = 0) -> None:
        """Media damage: one bit of a durable file changes."""
        inode = self._file(path)
        if offset >= inode.size:
            raise DefectError(f"{path} has {inode.size} bytes")
        for image in (inode.live, inode.durable):
            image += bytes(max(offset + 1 - len(image), 0))
            image[offset] ^= 1 << bit

    def overwrite(self, path: str, offset: int, data: bytes) -> None:
        """Media damage: a stretch of a durable file changes."""
        inode = self._file(path)
        _put(inode.live, offset, data)
        _put(inode.durable, offset, data)

    def wear(self, path: str, offset: int) -> None:
        """Media damage: the page at this offset of a file cannot be read until it is written again."""
        self._file(path).bad.add(offset // PAGE_BYTES)

    def rescue(self) -> None:
        """An operator copies what can be read: pages that could not be are zeros from now on."""
        for inode in self._inodes():
            for page in sorted(inode.bad):
                start = page * PAGE_BYTES
                for image in (inode.live, inode.durable):
                    end = min(start + PAGE_BYTES, len(image))
                    image[start:end] = bytes(max(end - start, 0))
            inode.bad.clear()

    def crash(self, rng: random.Random) -> SimulatedDisk:
        """The disk after a power cut: of everything unsynced, `rng` says what is there.

        A write survives whole, not at all, up to a sector, from a sector on, or in any of its sectors.
        """
        keep_names = [rng.random() < 0.5 for _ in self._name_changes]
        kept: dict[_Inode, list[list[int]]] = {}
        for inode in self._inodes():
            kept[inode] = [_chosen(rng, _sectors(change)) for change in inode.changes]
        return self._after(keep_names, kept)

    def power_cut(self) -> SimulatedDisk:
        """The disk after the plainest power cut: everything unsynced is gone."""
        return self._after(
            [False] * len(self._name_changes),
            {inode: [[] for _ in inode.changes] for inode in self._inodes()},
        )

    def process_kill(self) -> SimulatedDisk:
        """The disk after the process died and the machine did not: the page cache is all there, unsynced."""
        survivor = SimulatedDisk(self.capacity_bytes)
        copies: dict[_Inode, _Inode] = {}
        for inode in self._inodes():
            copy = copies[inode] = _Inode()
            copy.durable, copy.live = bytearray(inode.durable), bytearray(inode.live)
            copy.durable_size, copy.size, copy.allocated = inode.durable_size, inode.size, inode.allocated
            copy.changes = list(inode.changes)
            copy.bad = set(inode.bad)
        survivor._names = {path: copies[inode] for path, inode in self._names.items()}
        survivor._durable_names = {path: copies[inode] for path, inode in self._durable_names.items()}
        survivor._name_changes = [
            _NameChange({path: inode and copies[inode] for path, inode in change.names.items()})
            for change in self._name_changes
        ]
        return survivor

    def crash_points(self, limit: int = 256, seed: int = 0) -> Iterator[SimulatedDisk]:
        """Every state that a crash at this moment may leave, or `limit` of them drawn with `seed`.

        Of each unsynced write: nothing, everything, all but its last sector, all but its first; of a change
        of name or length: nothing, everything.
        """
        inodes = [inode for inode in self._inodes() if inode.changes]
        choices: list[list[list[int]]] = [[[], [0]] for _ in self._name_changes]
        for inode in inodes:
            choices += [_variants(_sectors(change)) for change in inode.changes]
        count = 1
        for options in choices:
            count *= len(options)
        if count <= limit:
            picks: Iterator[tuple[list[int], ...]] = itertools.product(*choices)
        else:
            rng = random.Random(seed)
            picks = (tuple(rng.choice(options) for options in choices) for _ in range(limit))
        names = len(self._name_changes)
        for pick in picks:
            rest = iter(pick[names:])
            kept = {inode: [next(rest) for _ in inode.changes] for inode in inodes}
            yield self._after([bool(item) for item in pick[:names]], kept)

    def _after(self, keep_names: list[bool], kept: dict[_Inode, list[list[int]]]) -> SimulatedDisk:
        names = dict(self._durable_names)
        for change, keep in zip(self._name_changes, keep_names, strict=True):
            if keep:
                for path, inode in change.names.items():
                    if inode is None:
                        names.pop(path, None)
                    else:
                        names[path] = inode
        survivor = SimulatedDisk(self.capacity_bytes)
        copies: dict[_Inode, _Inode] = {}
        for path, inode in names.items():
            copy = copies.get(inode)
            if copy is None:
                copy = copies[inode] = inode.after_crash(kept.get(inode, []))
            survivor._names[path] = survivor._durable_names[path] = copy
        return survivor

    def _create(self, op: Create) -> None:
        inode = self._names.get(op.path)
        more = op.size - (inode.allocated if inode is not None else 0)
        if more > self.free_bytes():
            raise OSError(errno.ENOSPC, "no space left on the simulated disk", op.path)
        if inode is None:
            inode = self._names[op.path] = _Inode()
            self._name_changes.append(_NameChange({op.path: inode}))
        if more > 0:
            inode.resize(op.size)

    def _sync_directory(self, directory: str) -> None:
        """Make durable what happened to the names in it, and only in it."""
        left = []
        for change in self._name_changes:
            here = {
                path: inode for path, inode in change.names.items() if path.rpartition("/")[0] == directory
            }
            if not here:
                left.append(change)
                continue
            for path, inode in change.names.items():
                if inode is None:
                    self._durable_names.pop(path, None)
                else:
                    self._durable_names[path] = inode
        self._name_changes = left

    def _inodes(self) -> list[_Inode]:
        """Every file that a crash may leave, in a repeatable order."""
        seen: dict[_Inode, None] = dict.fromkeys(self._durable_names.values())
        for change in self._name_changes:
            seen.update(dict.fromkeys(inode for inode in change.names.values() if inode is not None))
        return list(seen)

    def _inode(self, path: str) -> _Inode:
        inode = self._names.get(path)
        if inode is None:
            raise DefectError(f"{path} is not there")
        return inode

    def _file(self, path: str) -> _Inode:
        inode = self._names.get(path)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "no such file on the simulated disk", path)
        return inode


def crash_states(
    ops: Sequence[DiskOp], before: SimulatedDisk | None = None, *, limit: int = 256, seed: int = 0
) -> Iterator[tuple[int, SimulatedDisk]]:
    """Every crash state of a short trace: how many operations had been executed, and the disk that is left.

    Args:
        ops: The trace.
        before: The disk that it starts on; an empty one if None. It is not changed.
        limit: States drawn for one prefix when there are more.
        seed: Of the draw.
    """
    disk = before.process_kill() if before is not None else SimulatedDisk()
    for executed in range(len(ops) + 1):
        if executed:
            disk.apply(ops[executed - 1])
        for state in disk.crash_points(limit, seed + executed):
            yield executed, state


def _put(image: bytearray, offset: int, data: bytes) -> None:
    if len(image) < offset:
        image += bytes(offset - len(image))
    image[offset : offset + len(data)] = data


def _pages(offset: int, length: int) -> range:
    """Pages that a stretch of a file touches."""
    return range(offset // PAGE_BYTES, -(-(offset + length) // PAGE_BYTES)) if length else range(0)


def _sector(offset: int, length: int, sector: int) -> tuple[int, int]:
    """Where sector number `sector` of a write begins and ends, counted from the write's own first byte."""
    first = SECTOR_BYTES - offset % SECTOR_BYTES
    start = 0 if sector == 0 else first + (sector - 1) * SECTOR_BYTES
    return start, min(length, first + sector * SECTOR_BYTES)


def _sectors(change: _Change) -> int:
    """How many sectors a change touches (a change of length counts as one)."""
    if change.data is None:
        return 1
    return (change.offset % SECTOR_BYTES + len(change.data) + SECTOR_BYTES - 1) // SECTOR_BYTES


def _variants(sectors: int) -> list[list[int]]:
    everything = list(range(sectors))
    return [[], everything] if sectors < 2 else [[], everything, everything[:-1], everything[1:]]


def _chosen(rng: random.Random, sectors: int) -> list[int]:
    everything = list(range(sectors))
    cut = rng.randrange(sectors + 1)
    match rng.randrange(5):
        case 0:
            return []
        case 1:
            return everything
        case 2:
            return everything[:cut]
        case 3:
            return everything[cut:]
        case _:
            return [sector for sector in everything if rng.random() < 0.5]
