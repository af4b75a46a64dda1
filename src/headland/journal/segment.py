"""Segment files `journal/<id, 16 hex digits>.seg`: a header, then frames back to back, then nothing of value.

```
 0  8 s   magic "HLsegm1" and a line feed
 8  u64   segment id; a file whose header names another id has been renamed and not yet begun
16  16 s  epoch  of the frame that its first frame continues after (zeros at the very beginning)
32  u64   N      of that frame
40  u32   CRC32C over bytes 0-39
44  20 B  zeros
64        frames
```
Laws:

* Ids are never used twice in one data directory; a higher id is younger.
* A segment has *begun* when a frame in it verifies. The header of a begun segment voids whatever stands after
  the frame (epoch, N) in older segments; a segment that has not begun voids nothing.
* Stale bytes of a recycled file do not verify: the segment id is in every frame and in its CRC.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from headland.journal.frame import HEADER_BYTES as FRAME_HEADER_BYTES
from headland.journal.frame import MAGIC as FRAME_MAGIC
from headland.journal.frame import Frame, crc32c, parse_frame, parse_head
from headland.journal.plan import JOURNAL, DiskReader
from headland.journal.read_ahead import ReadAhead

HEADER_BYTES = 64
NO_EPOCH = bytes(16)
_MAGIC = b"HLsegm1\n"
_HEADER = struct.Struct("<8sQ16sQ")


class Mark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Names one frame: an epoch and its N. (zeros, 0) is before the first frame of all."""

    epoch: bytes = NO_EPOCH
    n: int = 0


class Bad(msgspec.Struct, frozen=True, gc=False):
    """Bytes of a segment, from `offset` to `end`, in which no frame verifies.

    Attributes:
        segment: Which segment.
        offset: First bad byte.
        end: Where the next frame that verifies begins, or 0 when none does.
        looks_begun: Whether they begin like a frame of this segment (a torn write), not like nothing.
    """

    segment: int
    offset: int
    end: int
    looks_begun: bool


def path_of(segment: int) -> str:
    """Path of a segment's file."""
    return f"{JOURNAL}/{segment:016x}.seg"


def id_of(name: str) -> int | None:
    """The id in a file name, or None for a file that is not a segment."""
    stem, dot, ending = name.partition(".")
    if not dot or ending != "seg" or len(stem) != 16:
        return None
    try:
        return int(stem, 16)
    except ValueError:
        return None


def encode_header(segment: int, after: Mark) -> bytes:
    """The first 64 bytes of a segment."""
    head = _HEADER.pack(_MAGIC, segment, after.epoch, after.n)
    return head + struct.pack("<I", crc32c(head)) + bytes(HEADER_BYTES - len(head) - 4)


def parse_header(segment: int, data: bytes) -> Mark | None:
    """What the first frame of this segment continues after; None if the header is not this segment's."""
    if len(data) < HEADER_BYTES:
        return None
    magic, named, epoch, n = _HEADER.unpack_from(data)
    (crc,) = struct.unpack_from("<I", data, _HEADER.size)
    if magic != _MAGIC or named != segment or crc != crc32c(data[: _HEADER.size]):
        return None
    return Mark(epoch, n)


class SegmentReader:
    """Frames of one segment, in memory one at a time beside a bounded read-ahead."""

    def __init__(self, disk: DiskReader, segment: int) -> None:
        self.segment = segment
        self.size = disk.size(path_of(segment))
        self._ahead = ReadAhead(disk, path_of(segment), self.size)
        self.after = parse_header(segment, self._ahead.take(0, HEADER_BYTES))

    def frames(self, offset: int = HEADER_BYTES) -> Iterator[Frame | Bad]:
        """Frames from `offset` on; between them what does not verify, and at last a `Bad` whose end is 0."""
        while True:
            frame = self.frame_at(offset)
            if frame is not None:
                yield frame
                offset += frame.length
                continue
            looks_begun = parse_head(self.segment, self._ahead.take(offset, FRAME_HEADER_BYTES)) is not None
            following = self._next_valid(offset + 1)
            yield Bad(self.segment, offset, following or 0, looks_begun)
            if following is None:
                return
            offset = following

    def frame_at(self, offset: int) -> Frame | None:
        """The frame whose header is at `offset`, if one verifies there."""
        head = parse_head(self.segment, self._ahead.take(offset, FRAME_HEADER_BYTES))
        if head is None or offset + FRAME_HEADER_BYTES + head.body_bytes > self.size:
            return None
        data = self._ahead.take(offset, FRAME_HEADER_BYTES + head.body_bytes)
        return parse_frame(self.segment, offset, data)

    def has_frame(self) -> bool:
        """Whether any frame verifies: the segment has begun."""
        return self.frame_at(HEADER_BYTES) is not None or self._next_valid(HEADER_BYTES + 1) is not None

    def _next_valid(self, offset: int) -> int | None:
        return self._ahead.next_valid(FRAME_MAGIC, offset, lambda at: self.frame_at(at) is not None)
