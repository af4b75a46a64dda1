"""Reading a file forward with bounded memory, and finding the next thing that verifies after damage."""

from __future__ import annotations

import errno
from collections.abc import Callable

from headland.journal.plan import DiskReader

CHUNK_BYTES = 256 << 10
PAGE_BYTES = 4096
"""What a medium fails to give is at least so much."""
MEDIUM = frozenset((errno.EIO, errno.ENODATA, errno.EBADMSG, errno.EUCLEAN))
"""Errors that say that a medium does not give what is there."""


class Patient:
    """A disk of which single pages cannot be read: they are zeros, which verify as nothing.

    What is read must not be trusted without a checksum.
    """

    def __init__(self, disk: DiskReader) -> None:
        self._disk = disk

    def names(self, directory: str) -> list[str]:
        """See `DiskReader`."""
        return self._disk.names(directory)

    def size(self, path: str) -> int:
        """See `DiskReader`."""
        return self._disk.size(path)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `DiskReader`; a page that fails is zeros.

        Raises:
            OSError: The file is not there, or no page can be read.
        """
        try:
            return self._disk.read(path, offset, length)
        except FileNotFoundError:
            raise
        except OSError as error:
            failure = error
        parts: list[bytes] = []
        good = False
        at, end = offset, offset + length
        while at < end:
            size = min(PAGE_BYTES - at % PAGE_BYTES, end - at)
            try:
                parts.append(self._disk.read(path, at, size))
                good = True
            except OSError:
                parts.append(bytes(size))
            at += size
        if not good:
            raise failure
        return b"".join(parts)


class Worn:
    """A disk whose medium may not give some pages: they are zeros, and it is known which.

    Unlike `Patient` it gives zeros even where nothing can be read: who asks must look at `unread` before it
    believes that nothing is there.

    Attributes:
        unread: Paths and the begins of their pages that could not be read.
    """

    def __init__(self, disk: DiskReader) -> None:
        self._disk = disk
        self.unread: dict[str, set[int]] = {}

    def names(self, directory: str) -> list[str]:
        """See `DiskReader`."""
        return self._disk.names(directory)

    def size(self, path: str) -> int:
        """See `DiskReader`."""
        return self._disk.size(path)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `DiskReader`; a page that the medium does not give is zeros.

        Raises:
            OSError: The file is not there, or may not be read.
        """
        try:
            return self._disk.read(path, offset, length)
        except OSError as error:
            if error.errno not in MEDIUM:
                raise
        parts: list[bytes] = []
        at, end = offset, min(offset + length, self._disk.size(path))
        while at < end:
            size = min(PAGE_BYTES - at % PAGE_BYTES, end - at)
            try:
                parts.append(self._disk.read(path, at, size))
            except OSError as error:
                if error.errno not in MEDIUM:
                    raise
                self.unread.setdefault(path, set()).add(at - at % PAGE_BYTES)
                parts.append(bytes(size))
            at += size
        return b"".join(parts)

    def told(self, path: str) -> str:
        """What could not be read of a file, in words."""
        pages = sorted(self.unread[path])
        return f"{path}: bytes {pages[0]}-{pages[-1] + PAGE_BYTES} cannot be read ({len(pages)} pages)"


class ReadAhead:
    """Any bytes of one file below `end`; holds the larger of the last request and 256 KiB.

    Attributes:
        end: Where the file ends for this reader.
    """

    __slots__ = ("_at", "_chunk", "_disk", "_path", "end")

    def __init__(self, disk: DiskReader, path: str, end: int) -> None:
        self.end = end
        self._disk = disk
        self._path = path
        self._chunk = b""
        self._at = 0

    def take(self, offset: int, length: int) -> bytes:
        """Bytes from `offset` on, fewer at the end."""
        length = min(length, self.end - offset)
        if length <= 0:
            return b""
        start = offset - self._at
        if start < 0 or start + length > len(self._chunk):
            self._chunk = self._disk.read(
                self._path, offset, min(max(length, CHUNK_BYTES), self.end - offset)
            )
            self._at, start = offset, 0
        return self._chunk[start : start + length]

    def next_valid(self, magic: bytes, offset: int, verifies: Callable[[int], bool]) -> int | None:
        """The first offset from `offset` on where `magic` stands and `verifies` agrees; None if nowhere."""
        while offset + len(magic) <= self.end:
            chunk = self._disk.read(self._path, offset, min(CHUNK_BYTES, self.end - offset))
            at = chunk.find(magic)
            while at >= 0:
                if verifies(offset + at):
                    return offset + at
                at = chunk.find(magic, at + 1)
            if len(chunk) < len(magic):
                return None
            offset += len(chunk) - len(magic) + 1
        return None
