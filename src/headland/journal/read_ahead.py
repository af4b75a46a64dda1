"""Reading a file forward with bounded memory, and finding the next thing that verifies after damage."""

from __future__ import annotations

from collections.abc import Callable

from headland.journal.plan import DiskReader

CHUNK_BYTES = 256 << 10


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
