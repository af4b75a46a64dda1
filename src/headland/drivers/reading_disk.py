"""A data directory that is only looked at: nothing is made, locked for long, or written.

What a recovery would write is kept in memory over what is read, so that a node can be opened from it as it
would be at its next start.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import assert_never

from headland.drivers.disk import FORMAT_VERSION
from headland.journal import DiskOp
from headland.journal.plan import Create, Rename, Sync, SyncDir, Truncate, Unlink, Write
from headland.vocabulary import ConfigurationError, HeadlandError

FORMAT = f"headland data {FORMAT_VERSION}"


class InUse(HeadlandError):
    """A node runs on this data directory."""


class _Changed:
    """A file as it would be: parts written over another file (or over nothing)."""

    def __init__(self, below: str | None, size: int) -> None:
        self.below = below
        self.size = size
        self.parts: list[tuple[int, bytes]] = []


class ReadingDisk:
    """See the module; `headland.journal.DiskReader` with `apply` in memory."""

    def __init__(self, root: Path) -> None:
        """Look at a directory.

        Raises:
            ConfigurationError: It is none of this version.
            InUse: A node runs on it.
        """
        self.root = root
        self._changed: dict[str, _Changed | None] = {}
        try:
            words = (root / "format").read_text("ascii", errors="replace").strip()
        except OSError as error:
            raise ConfigurationError(
                f"no data directory that could be read: {error.strerror}",
                file=str(root),
                hint="headland run makes it",
            ) from None
        if words != FORMAT:
            raise ConfigurationError(f"the data directory says {words!r}, not {FORMAT!r}", file=str(root))
        self.still_free()

    def still_free(self) -> None:
        """Raise `InUse` when a node runs on the directory: what was read may then be half old, half new."""
        try:
            descriptor = os.open(self.root / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(
                f"{self.root}: a node runs on this data directory", hint="ask it, without --offline"
            ) from None
        finally:
            os.close(descriptor)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes of a file, fewer at its end."""
        if path not in self._changed:
            return self._read(path, offset, length)
        changed = self._found(path)
        length = max(0, min(length, changed.size - offset))
        below = self._read(changed.below, offset, length) if changed.below is not None else b""
        out = bytearray(below.ljust(length, b"\0"))
        for at, data in changed.parts:
            first, last = max(at, offset), min(at + len(data), offset + length)
            if first < last:
                out[first - offset : last - offset] = data[first - at : last - at]
        return bytes(out)

    def size(self, path: str) -> int:
        """Length of a file in bytes."""
        return self._found(path).size if path in self._changed else (self.root / path).stat().st_size

    def names(self, directory: str) -> list[str]:
        """Names of the files in a directory, sorted."""
        found: set[str] = set()
        if (self.root / directory).is_dir():
            with os.scandir(self.root / directory) as entries:
                found = {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
        for path, changed in self._changed.items():
            inside, _, name = path.rpartition("/")
            if inside == directory:
                found = found - {name} if changed is None else found | {name}
        return sorted(found)

    def apply(self, op: DiskOp, /) -> None:
        """Remember what an operation would do."""
        match op:
            case Create(path, size):
                changed = self._change(path)
                changed.size = max(changed.size, size)
            case Write(path, offset, data):
                changed = self._change(path)
                changed.parts.append((offset, data))
                changed.size = max(changed.size, offset + len(data))
            case Truncate(path, size):
                changed = self._change(path)
                changed.parts = [(at, data[: max(0, size - at)]) for at, data in changed.parts]
                changed.size = min(changed.size, size)
            case Rename(source, target):
                self._changed[target] = self._change(source)
                self._changed[source] = None
            case Unlink(path):
                self._changed[path] = None
            case Sync() | SyncDir():
                pass
            case _:
                assert_never(op)

    def _change(self, path: str) -> _Changed:
        if path in self._changed:
            changed = self._changed[path]
        elif (self.root / path).is_file():
            changed = _Changed(path, (self.root / path).stat().st_size)
        else:
            changed = None
        if changed is None:
            changed = _Changed(None, 0)
        self._changed[path] = changed
        return changed

    def _found(self, path: str) -> _Changed:
        changed = self._changed[path]
        if changed is None:
            raise FileNotFoundError(path)
        return changed

    def _read(self, path: str, offset: int, length: int) -> bytes:
        with (self.root / path).open("rb") as file:
            file.seek(offset)
            return file.read(length)
