"""Section RECEIVED of a commit: one block or tombstone of a child, with the position it came at.

```
u8 flags: bit 0 lane that it came in, bit 1 lane that it goes on in, bit 2 tombstones
varint length, name of the child (UTF-8) | 16 B its epoch | u8 class | varint p (tombstones: first, last)
block:       header in its self-contained form (its lane is that of arrival) | body as it came
tombstones:  16 B chain value after the last | msgpack array of `GapRange`
```
Position and block ride in one section, so that neither exists without the other after a crash.
"""

from __future__ import annotations

import msgspec

from headland.blocks.header import BlockHeader, decode_alone, encode_alone, put_bytes
from headland.blocks.wire import Reader, put_varint
from headland.link.contract import CHAIN_BYTES, GapRange, StreamKey
from headland.vocabulary import Lane, PeerError, StorageDamage

SECTION = 4
_ARRIVED, _GOES, _GAP = 1, 2, 4
_MAX_NAME = 1024
_U63 = (1 << 63) - 1
_ranges = msgspec.msgpack.Decoder(tuple[GapRange, ...])


class ReceivedBlock(msgspec.Struct, frozen=True):
    """A block of a child.

    Attributes:
        child: Its name.
        stream: Its stream there.
        p: Its position there.
        header: As it came, with the digest that was computed here.
        body: As it came.
        lane: The lane that it goes on in.
    """

    child: str
    stream: StreamKey
    p: int
    header: BlockHeader
    body: bytes
    lane: Lane = Lane.BACKLOG


class ReceivedGap(msgspec.Struct, frozen=True):
    """Tombstones of a child at positions p_from to p."""

    child: str
    stream: StreamKey
    p_from: int
    p: int
    chain: bytes
    ranges: tuple[GapRange, ...]
    lane: Lane = Lane.BACKLOG


def encode(item: ReceivedBlock | ReceivedGap) -> bytes:
    """Body of the section."""
    gap = isinstance(item, ReceivedGap)
    out = bytearray((_ARRIVED * item.stream.lane | _GOES * item.lane | _GAP * gap,))
    put_bytes(out, item.child.encode("utf-8"))
    out += item.stream.epoch
    out.append(item.stream.priority)
    if isinstance(item, ReceivedGap):
        put_varint(out, item.p_from)
        put_varint(out, item.p)
        out += item.chain
        out += msgspec.msgpack.encode(item.ranges)
    else:
        put_varint(out, item.p)
        out += encode_alone(item.header)
        out += item.body
    return bytes(out)


def decode(data: bytes) -> ReceivedBlock | ReceivedGap:
    """Inverse of `encode`.

    Raises:
        StorageDamage: It is not such a section.
    """
    try:
        reader = Reader(data)
        flags = reader.byte()
        child = str(reader.take(reader.varint(_MAX_NAME)), "utf-8")
        epoch, priority = reader.take(16), reader.byte()
        stream = StreamKey(epoch, priority, Lane.BACKLOG if flags & _ARRIVED else Lane.LIVE)
        lane = Lane.BACKLOG if flags & _GOES else Lane.LIVE
        p = reader.varint(_U63)
        if flags & _GAP:
            last, chain = reader.varint(_U63), reader.take(CHAIN_BYTES)
            return ReceivedGap(child, stream, p, last, chain, _ranges.decode(reader.take(reader.left)), lane)
        header = decode_alone(reader)
        return ReceivedBlock(child, stream, p, header, reader.take(reader.left), lane)
    except (PeerError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise StorageDamage(f"received section: {error}") from None


def body_offset(data: bytes) -> tuple[BlockHeader, int]:
    """Header of a received block and where its body begins, without copying it.

    Raises:
        StorageDamage: It is not a received block.
    """
    try:
        reader = Reader(data)
        if reader.byte() & _GAP:
            raise StorageDamage("tombstones have no body")
        reader.take(reader.varint(_MAX_NAME))
        reader.take(17)
        reader.varint(_U63)
        return decode_alone(reader), reader.at
    except PeerError as error:
        raise StorageDamage(f"received section: {error}") from None
