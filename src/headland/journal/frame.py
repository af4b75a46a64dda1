"""One commit on disk: a frame.

```
 0  4 s   magic AB 48 4C 66
 4  u32   id of the segment it stands in
 8  u32   length of the body
12  u32   CRC32C over salt | bytes 0-11 | bytes 16-63 | body;  salt = u64 segment id | 16 B epoch
16  u8    format, 1
17  u8    0
18  u16   number of sections, its lower half
20  u32   and the upper 32 bits of it
24  16 s  epoch
40  u64   N
48  i64   node time, ns UTC
56  u64   running time, ms
64        sections: u8 type, u8 version, u32 length, data
```
Integers are little-endian. The CRC covers every byte of header and body, its own four excepted (a flip in
those makes it differ as well). A frame copied to another segment or another epoch does not verify there.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import google_crc32c
import msgspec

from headland.journal.draft import Section
from headland.vocabulary import DefectError, StorageDamage

MAGIC = b"\xabHLf"
HEADER_BYTES = 64
MAX_BODY_BYTES = 256 << 20
FORMAT = 1

_HEADER = struct.Struct("<4sIIIBBHI16sQqQ")
_SECTION = struct.Struct("<BBI")
SECTION_HEADER_BYTES = _SECTION.size
_SALT = struct.Struct("<Q16s")
_CRC_AT = 12
_U32 = 0xFFFFFFFF


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A commit as read back.

    Attributes:
        epoch: 16 bytes.
        n: Commit number within the epoch.
        node_ns: Node time, ns UTC.
        running_ms: Running time of the node so far.
        sections: Its sections in order.
        segment: Where it stands.
        offset: Byte offset of its header there.
        length: Bytes with header.
    """

    epoch: bytes
    n: int
    node_ns: int
    running_ms: int
    sections: tuple[Section, ...]
    segment: int
    offset: int
    length: int


class FrameHead(msgspec.Struct, frozen=True, gc=False):
    """The fixed part of a frame, not yet verified."""

    body_bytes: int
    crc: int
    sections: int
    epoch: bytes
    n: int
    node_ns: int
    running_ms: int


def encode_frame(
    segment: int, epoch: bytes, n: int, node_ns: int, running_ms: int, sections: Sequence[Section]
) -> bytes:
    """The bytes of one commit for one segment.

    Raises:
        DefectError: more than 256 MiB.
    """
    parts: list[bytes] = []
    for section in sections:
        parts += (_SECTION.pack(section.type, section.version, len(section.data)), section.data)
    body_bytes = sum(map(len, parts))
    if body_bytes > MAX_BODY_BYTES or len(epoch) != 16:
        raise DefectError(f"a commit of {len(sections)} sections, {body_bytes} bytes exceeds a frame")
    head = bytearray(
        _HEADER.pack(
            MAGIC,
            segment & _U32,
            body_bytes,
            0,
            FORMAT,
            0,
            len(sections) & 0xFFFF,
            len(sections) >> 16,
            epoch,
            n,
            node_ns,
            running_ms,
        )
    )
    body = b"".join(parts)
    struct.pack_into("<I", head, _CRC_AT, _crc(segment, epoch, bytes(head), body))
    return bytes(head) + body


def parse_head(segment: int, data: bytes) -> FrameHead | None:
    """The fixed part of a frame of this segment, or None when these bytes cannot begin one."""
    if len(data) < HEADER_BYTES:
        return None
    magic, where, body_bytes, crc, version, zero, lower, upper, epoch, n, node_ns, running_ms = (
        _HEADER.unpack_from(data)
    )
    if magic != MAGIC or where != segment & _U32 or body_bytes > MAX_BODY_BYTES:
        return None
    if version != FORMAT or zero:
        return None
    return FrameHead(body_bytes, crc, upper << 16 | lower, epoch, n, node_ns, running_ms)


def parse_frame(segment: int, offset: int, data: bytes) -> Frame | None:
    """The frame that `data` is, from its first byte to its last; None if it does not verify."""
    head = parse_head(segment, data)
    if head is None or HEADER_BYTES + head.body_bytes != len(data):
        return None
    body = memoryview(data)[HEADER_BYTES:]
    if _crc(segment, head.epoch, data[:HEADER_BYTES], body) != head.crc:
        return None
    sections = []
    at = 0
    for _ in range(head.sections):
        if at + _SECTION.size > len(body):
            return None
        kind, version, length = _SECTION.unpack_from(body, at)
        at += _SECTION.size
        if length > len(body) - at:
            return None
        sections.append(Section(kind, bytes(body[at : at + length]), version))
        at += length
    if at != len(body):
        return None
    return Frame(
        head.epoch, head.n, head.node_ns, head.running_ms, tuple(sections), segment, offset, len(data)
    )


class SectionRef(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Where the data of one section is, and its CRC32C, so that it can be read back without its frame."""

    segment: int
    offset: int
    length: int
    crc: int


def section_refs(segment: int, offset: int, sections: Sequence[Section]) -> list[SectionRef]:
    """One reference a section, for a frame whose header is at `offset`."""
    refs = []
    at = offset + HEADER_BYTES
    for section in sections:
        at += _SECTION.size
        refs.append(SectionRef(segment, at, len(section.data), crc32c(section.data)))
        at += len(section.data)
    return refs


def check_section(ref: SectionRef, data: bytes) -> bytes:
    """`data` if it is what `ref` was made for.

    Raises:
        StorageDamage: it is not.
    """
    if len(data) != ref.length or crc32c(data) != ref.crc:
        raise StorageDamage(f"section at {ref.segment:#x}+{ref.offset} ({ref.length} bytes) does not verify")
    return data


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4)."""
    value: int = google_crc32c.value(data)
    return value


def _crc(segment: int, epoch: bytes, head: bytes, body: bytes | memoryview) -> int:
    crc: int = google_crc32c.value(_SALT.pack(segment, epoch) + head[:_CRC_AT] + head[_CRC_AT + 4 :])
    whole: int = google_crc32c.extend(crc, bytes(body))
    return whole
