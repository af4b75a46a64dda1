"""Frames on the link's byte stream (inside TLS 1.3): `varint length | u8 kind | payload`.

The length counts kind and payload. A kind with bit 7 set may be skipped by whoever does not know it; any
other unknown kind ends the connection. Both sides refuse frames above `MAX_FRAME`.

====  ==========  ===============================================================================
kind  name        payload
====  ==========  ===============================================================================
0x00  BLOCK       header in connection form (`blocks.header`), body; stream and position as by TURN
0x01  GAP         msgpack `Gap`
0x02  TURN        u8 class and lane, varint epoch, varint p: what the next block of that lane is
0x03  HEARTBEAT   nothing
0x04  PROBE       nothing; is answered by a heartbeat at once
0x05  ACK         u8 class and lane, varint epoch, varint p, 8 B of the chain value after p
0x06  CREDIT      u8 class, varint bytes granted since the connection began
0x10  HELLO       msgpack `Hello`, child to parent, first
0x11  WELCOME     msgpack `Welcome`, parent to child, first
0x12  EPOCH       msgpack `EpochHello`: an epoch opened since
0x13  OPEN        msgpack `Open`: opening balance of a stream that the parent has no history of
0x14  DEFINE      msgpack `Define`: series names, before the first block that uses them
0x15  ANSWER      msgpack `ExceptionsUpTo`: an ACK with answers that are not `Committed`
0x16  CLOSE       msgpack `Closing`, last
0x97  HEARD       msgpack `Heard`: exceptions up to p are durable at the child
0x98  INTENT      msgpack `IntentChunk`, parent to child
0x99  STATUS      msgpack `IntentStatus`, child to parent
0x9a  CLOCK       msgpack `Clock`
0x9b  STORED      as TURN: the cloud has applied blocks up to p (a hint)
0x9c  SETTLED     msgpack `Settled`, parent to child: what became of blocks that a restored parent lost
0x9d  NOTED       msgpack `Noted`, child to parent: settled up to a number, durably
====  ==========  ===============================================================================

"class and lane" is class * 2 + lane; "epoch" is an index: epochs count from 0 in the order in which HELLO and
EPOCH name them.
"""

from __future__ import annotations

from enum import IntEnum

from headland.blocks.wire import put_varint
from headland.vocabulary import PeerError

MAX_FRAME = 8 << 20
"""Bytes of a frame; a block's body may be that long less its header."""
SKIPPABLE = 0x80


class Kind(IntEnum):
    """Kinds of frames."""

    BLOCK = 0x00
    GAP = 0x01
    TURN = 0x02
    HEARTBEAT = 0x03
    PROBE = 0x04
    ACK = 0x05
    CREDIT = 0x06
    HELLO = 0x10
    WELCOME = 0x11
    EPOCH = 0x12
    OPEN = 0x13
    DEFINE = 0x14
    ANSWER = 0x15
    CLOSE = 0x16
    HEARD = 0x97
    INTENT = 0x98
    STATUS = 0x99
    CLOCK = 0x9A
    STORED = 0x9B
    SETTLED = 0x9C
    NOTED = 0x9D


def put_frame(out: bytearray, kind: int, *parts: bytes | bytearray) -> None:
    """Append a frame whose payload is `parts`."""
    put_varint(out, 1 + sum(map(len, parts)))
    out.append(kind)
    for part in parts:
        out += part


class Deframer:
    """Cuts a byte stream into frames; holds at most one unfinished frame of at most `limit` bytes."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[tuple[int, memoryview]]:
        """(kind, payload) of every frame that `data` completes; views are valid until the next call.

        Raises:
            PeerError: A frame is empty or too long.
        """
        buffer = self._buffer
        buffer += data
        if len(buffer) < self._needed:
            return []  # nothing is copied before the frame is whole, however small the reads are
        found = []
        at = 0
        while True:
            length, start = self._length(buffer, at)
            if start < 0 or start + length > len(buffer):
                break
            found.append((start, length))
            at = start + length
        self._needed = start + length - at if start >= 0 else 0
        if not found:
            return []
        with memoryview(buffer) as view:
            whole = memoryview(bytes(view[:at]))
        del buffer[:at]
        return [(whole[start], whole[start + 1 : start + length]) for start, length in found]

    def _length(self, data: bytearray, at: int) -> tuple[int, int]:
        """Length of the frame at `at` and where its kind stands; -1 when the length is not complete."""
        length = shift = 0
        while at < len(data):
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                if not 0 < length <= self._limit:
                    raise PeerError(f"a frame of {length} bytes")
                return length, at
            shift += 7
            if shift > 28:
                raise PeerError("the length of a frame has more than 5 bytes")
        return 0, -1
