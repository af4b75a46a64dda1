"""One growing file, read line by line, through truncation and after its renaming.

Laws:
    1. A line is given once it has its end, or when the file was replaced and will not grow again.
    2. A line has at most `max_line_bytes`; what is beyond is skipped up to its end, and counted.
    3. Memory is bounded by `max_line_bytes` and one chunk of 64 KiB.
    4. A file that is shorter than what was read of it, or begins otherwise than it did, was truncated: it is
       read from its start again.
"""

from __future__ import annotations

import os
import zlib
from typing import Final

import msgspec

CHUNK: Final = 64 << 10
HEAD: Final = 64
"""Bytes at the start of a file that tell it from another one with the same inode number."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """How far a file has been read.

    Attributes:
        path: Where it was found.
        device: Device number.
        inode: Inode number.
        offset: Bytes from its start.
        head_bytes: How many first bytes `head` is of.
        head: CRC-32 of them.
    """

    path: str
    device: int
    inode: int
    offset: int = 0
    head_bytes: int = 0
    head: int = 0


class Line(msgspec.Struct, gc=False):
    """A line without its end, the offset after it, its size with its end, and whether it was cut."""

    raw: bytes
    after: int
    size: int
    cut: bool


class Tail:
    """A file that is followed.

    Attributes:
        path: Where it was found.
        replaced: Whether another file is at its path now: it will not grow again.
        ended: Whether the last look found nothing more.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(
        self, path: str, open_at: str, place: Place | None, max_line_bytes: int, *, at_end: bool
    ) -> None:
        self.path = path
        self.replaced = False
        self.ended = False
        self._fd = os.open(open_at, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._fd)
        self.device, self.inode = status.st_dev, status.st_ino
        self._max = max_line_bytes
        self._head_bytes, self._head = 0, 0
        self._read_at = self._line_start = self._skipped = 0
        self._buffer = bytearray()
        start = 0
        if place is not None and place.offset <= status.st_size and self._begins_like(place):
            start, self._head_bytes, self._head = place.offset, place.head_bytes, place.head
        elif at_end:
            start = status.st_size
        self._restart(start)
        self._remember_head()

    def replace(self) -> None:
        """Another file is at its path now: what is left of this one is all there will be."""
        if not self.replaced:
            self.replaced = True
            self.ended = False

    def truncated(self) -> bool:
        """Look whether the file was truncated; if so, it is read from its start again."""
        size = os.fstat(self._fd).st_size
        if size >= self._read_at and self._head == self._crc(self._head_bytes):
            self._remember_head()
            return False
        self._head_bytes = self._head = 0
        self._restart(0)
        self._remember_head()
        return True

    def line(self) -> Line | None:
        """The next line, or None when there is none yet."""
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                return self._take(end, 1)
            if len(self._buffer) > self._max:
                self._skipped += len(self._buffer) - self._max
                del self._buffer[self._max :]
            chunk = os.pread(self._fd, CHUNK, self._read_at)
            self._read_at += len(chunk)
            if not chunk:
                self.ended = True
                if self.replaced and (self._buffer or self._skipped):
                    return self._take(len(self._buffer), 0)
                return None
            self.ended = False
            if self._skipped:
                end = chunk.find(b"\n")
                if end < 0:
                    self._skipped += len(chunk)
                    continue
                self._skipped += end
                chunk = chunk[end:]
            self._buffer += chunk

    def place(self, offset: int) -> Place:
        """The place at an offset."""
        return Place(self.path, self.device, self.inode, offset, self._head_bytes, self._head)

    @property
    def line_start(self) -> int:
        """Offset of the line that comes next."""
        return self._line_start

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _take(self, length: int, ending: int) -> Line:
        raw = bytes(self._buffer[: min(length, self._max)])
        size = length + self._skipped + ending
        cut = self._skipped > 0 or length > self._max
        del self._buffer[: length + ending]
        self._skipped = 0
        self._line_start += size
        return Line(raw.removesuffix(b"\r"), self._line_start, size, cut)

    def _restart(self, offset: int) -> None:
        self._read_at = self._line_start = offset
        self._buffer = bytearray()
        self._skipped = 0

    def _remember_head(self) -> None:
        if self._head_bytes < HEAD:
            head = os.pread(self._fd, HEAD, 0)
            self._head_bytes, self._head = len(head), zlib.crc32(head)

    def _begins_like(self, place: Place) -> bool:
        return self._crc(place.head_bytes) == place.head

    def _crc(self, length: int) -> int:
        return zlib.crc32(os.pread(self._fd, length, 0)) if length else 0
