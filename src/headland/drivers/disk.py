"""The disk under a data directory: executes plans, reads back, and belongs to one process.

Laws:

* Space runs out in `Create` only, and says so with ENOSPC or EDQUOT; nothing of that operation counts.
* Any other failure to write or sync raises `DiskFailed`, and so does everything after it: what the kernel did
  with the unsynced pages is unknown, so the process must acknowledge nothing more and exit.
* A directory is used by one process, and is refused when a newer format wrote it.
* A directory belongs to one node: whoever has another name is refused. One that names no node is adopted.

Layout: `format` (one line: `headland data <version>`), `owner` (one line: `site/name`), `lock` (locked, and
in it the process id of whoever locked it last), and the directories of `journal.plan`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, assert_never

from headland.journal.plan import (
    DIRECTORIES,
    Create,
    DiskOp,
    DiskReader,
    Rename,
    Sync,
    SyncDir,
    Truncate,
    Unlink,
    Write,
)
from headland.vocabulary import ConfigurationError

FORMAT_VERSION = 1
_FORMAT_FILE = "format"
_OWNER_FILE = "owner"
_LOCK_FILE = "lock"
_FORMAT_WORDS = "headland data"
_OPEN_FILES = 16
"""File descriptors kept open."""
_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class Disk(DiskReader, Protocol):
    """Executes operations and reads files, both by path below one data directory."""

    def apply(self, op: DiskOp, /) -> None:
        """Execute one operation, fully.

        Raises:
            OSError: ENOSPC or EDQUOT from `Create`: nothing was done, try again later.
            DiskFailed: anything else; the disk is not used any more.
        """
        ...


class DiskFailed(OSError):
    """A write or a sync failed; the process acknowledges nothing more and exits."""


class InUse(ConfigurationError):
    """Another process has locked the data directory."""


class RealDisk:
    """A directory of this machine; several threads may use it, one at a time any one file."""

    def __init__(self, root: Path, owner: str = "") -> None:
        """Open the directory, making it if it is not there.

        Args:
            root: The directory.
            owner: Identity of the node that it is for, `site/name`; "" where it does not matter.

        Raises:
            InUse: By another process.
            ConfigurationError: not writable, of another node, or written by a newer version.
        """
        self.root = root
        self._failed: OSError | None = None
        self._files: OrderedDict[str, int] = OrderedDict()
        self._files_lock = threading.Lock()
        self._busy: list[int] = []
        self._lock = -1
        try:
            _make(root)
            self._lock = _lock(root)
            _check_format(root)
            if owner:
                _claim(root, owner)
            for directory in DIRECTORIES:
                _make(root / directory)
        except ConfigurationError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise ConfigurationError(
                f"the data directory cannot be used: {error.strerror}",
                file=str(error.filename or root),
                hint="the node needs to own it and to write in it",
            ) from None

    def apply(self, op: DiskOp, /) -> None:
        """Execute one operation, fully (see `Disk.apply`)."""
        if self._failed is not None:
            raise DiskFailed(errno.EIO, f"after an earlier failure: {self._failed}")
        try:
            self._apply(op)
        except OSError as error:
            if isinstance(op, Create) and error.errno in _SPACE:
                raise
            self._failed = error
            raise DiskFailed(errno.EIO, f"{type(op).__name__}: {error.strerror}", error.filename) from error

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes of a file, fewer at its end."""
        descriptor = os.open(self.root / path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while length > 0:
                part = os.pread(descriptor, length, offset)
                if not part:
                    break
                parts.append(part)
                offset += len(part)
                length -= len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            os.close(descriptor)

    def size(self, path: str) -> int:
        """Length of a file in bytes."""
        return (self.root / path).stat().st_size

    def names(self, directory: str) -> list[str]:
        """Names of the files in a directory, sorted."""
        try:
            with os.scandir(self.root / directory) as entries:
                return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def free_bytes(self) -> int:
        """Bytes that this process may still allocate on the file system."""
        status = os.statvfs(self.root)
        return status.f_bavail * status.f_frsize

    def usable_bytes(self) -> int:
        """Bytes that are free or in files of this directory."""
        return self.free_bytes() + sum(one.stat().st_blocks * 512 for one in self.root.rglob("*"))

    def close(self) -> None:
        """Close files and give the directory free."""
        while self._files:
            os.close(self._files.popitem()[1])
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _apply(self, op: DiskOp) -> None:
        match op:
            case Write():
                with self._file(op.path) as descriptor:
                    _write(descriptor, op.offset, op.data)
            case Sync():
                with self._file(op.path) as descriptor:
                    os.fdatasync(descriptor)
            case Create():
                self._create(op)
            case SyncDir():
                _sync_directory(self.root / op.path)
            case Rename():
                self._forget(op.source)
                self._forget(op.target)
                (self.root / op.source).rename(self.root / op.target)
            case Unlink():
                self._forget(op.path)
                (self.root / op.path).unlink(missing_ok=True)
            case Truncate():
                with self._file(op.path) as descriptor:
                    os.ftruncate(descriptor, op.size)
            case _:
                assert_never(op)

    def _create(self, op: Create) -> None:
        path = self.root / op.path
        fresh = not path.exists()
        self._forget(op.path)
        try:
            with self._file(op.path, os.O_CREAT) as descriptor:
                if os.fstat(descriptor).st_size < op.size:
                    os.posix_fallocate(descriptor, 0, op.size)
        except OSError:
            if fresh:
                self._forget(op.path)
                path.unlink(missing_ok=True)
            raise

    @contextmanager
    def _file(self, path: str, flags: int = 0) -> Iterator[int]:
        """A descriptor of the file, kept open for the next operation unless 16 others are younger."""
        with self._files_lock:
            descriptor = self._files.get(path)
            if descriptor is None:
                descriptor = os.open(self.root / path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
                self._files[path] = descriptor
            self._files.move_to_end(path)
            self._busy.append(descriptor)
        try:
            yield descriptor
        finally:
            with self._files_lock:
                self._busy.remove(descriptor)
                self._evict()

    def _evict(self) -> None:
        """Close the files used least recently; never one that another thread is using."""
        for path in list(self._files)[: max(len(self._files) - _OPEN_FILES, 0)]:
            if self._files[path] not in self._busy:
                os.close(self._files.pop(path))

    def _forget(self, path: str) -> None:
        with self._files_lock:
            descriptor = self._files.pop(path, None)
            if descriptor is not None:
                os.close(descriptor)


def _write(descriptor: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(path: Path) -> None:
    """Make a directory and its parents; each new name is synced."""
    if path.is_dir():
        return
    _make(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    _sync_directory(path.parent)


def _lock(root: Path) -> int:
    descriptor = os.open(root / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        holder, owner = holder_of(root), owner_of(root)
        process = f"process {holder}" if holder else "another process"
        raise InUse(
            f"the data directory is in use by {process}" + (f", {owner}" if owner else ""),
            file=str(root),
            hint="every node needs a data directory of its own",
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    return descriptor


def holder_of(root: Path) -> int:
    """Process id of whoever locked a data directory last; 0 when that is not known."""
    words = _words(root / _LOCK_FILE)
    return int(words) if words.isdigit() else 0


def owner_of(root: Path) -> str:
    """`site/name` of the node that a data directory belongs to; "" for nobody yet."""
    return _words(root / _OWNER_FILE)


def check_owner(root: Path, owner: str) -> None:
    """Raise ConfigurationError if a data directory belongs to another node than `owner`."""
    found = owner_of(root)
    if found and found != owner:
        raise ConfigurationError(
            f"the data directory belongs to {found}, this node is {owner}",
            file=str(root),
            hint=f"run it as {found} until nothing waits in it, or give {owner} a data_dir of its own",
        )


def _claim(root: Path, owner: str) -> None:
    check_owner(root, owner)
    if not owner_of(root):
        _write_line(root / _OWNER_FILE, owner)


def _words(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""


def _check_format(root: Path) -> None:
    path = root / _FORMAT_FILE
    words = _words(path)
    label, _, version = words.rpartition(" ")
    if not words:
        _write_line(path, f"{_FORMAT_WORDS} {FORMAT_VERSION}")
    elif label != _FORMAT_WORDS or not version.isdigit():
        raise ConfigurationError(
            "not a data directory of headland", file=str(path), hint="the node needs a directory of its own"
        )
    elif int(version) > FORMAT_VERSION:
        raise ConfigurationError(
            f"the data directory has format {version}; this program writes format {FORMAT_VERSION}",
            file=str(path),
            hint="a newer headland wrote it: run that one, or restore a backup",
        )


def _write_line(path: Path, words: str) -> None:
    """A file of one line, there whole or not at all.

    Under its own name a power cut could leave it with its length and without its bytes: zeros, which are the
    format and the owner of nobody.
    """
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write(descriptor, 0, f"{words}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.rename(path)
    _sync_directory(path.parent)
