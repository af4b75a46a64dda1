"""Messages of the link and their payloads. Version 1.

Control messages are msgpack arrays: a newer peer may append fields, an older one ignores what it does not
know, and fields after the first release have defaults.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeVar

import msgspec

from headland.blocks.wire import Reader, put_varint
from headland.link import bounds
from headland.link.bounds import MAX_EPOCHS
from headland.link.contract import (
    CHAIN_SHOWN,
    EpochHello,
    ExceptionAnswer,
    GapRange,
    StreamWelcome,
    Verdict,
)
from headland.link.frames import Kind, put_frame
from headland.vocabulary import PeerError

MAGIC = "headland-link"
VERSION_MIN = 1
VERSION_MAX = 1
MAX_SERIES_NAME = 1024
MAX_LABELS = 64


class CloseReason(IntEnum):
    """Why a connection ends."""

    GOING = 1
    TAKEN_OVER = 2
    CLONE = 3
    PROTOCOL = 4
    VERSION = 5
    NAME = 6
    WITH_DIGESTS = 7
    SILENT = 8
    FULL = 9


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """First message of a child.

    Attributes:
        magic: `MAGIC`.
        version_min: Lowest version that it speaks.
        version_max: Highest.
        node: Its name, as in its certificate.
        epoch: Epoch of this process, 16 bytes, whether or not a block was sealed in it.
        predecessor: The last epoch before it that sealed a block, or b"".
        epochs: Its current and undrained epochs and those whose chain values it still has, oldest first.
        wall_ns: Its clock, ns UTC.
        trusted: Whether that is confirmed.
        metered: Whether bytes are dear.
        intents: (kind, version) of the intents that it has applied.
        partial: There are more epochs, to be named on a later connection.
    """

    magic: str
    version_min: bounds.Code
    version_max: bounds.Code
    node: str
    epoch: bytes
    predecessor: bytes = b""
    epochs: tuple[EpochHello, ...] = ()
    wall_ns: bounds.TimeNs = 0
    trusted: bool = False
    metered: bool = False
    intents: tuple[tuple[str, bounds.Number], ...] = ()
    partial: bool = False


class Welcome(msgspec.Struct, frozen=True, array_like=True):
    """First message of a parent.

    Attributes:
        version: The version that both will speak.
        node: Its name.
        store: 16 bytes made with its data directory.
        positions: Where it stands in each stream that the hello named.
        credit: Bytes that may be sent, per class.
        wall_ns: Its clock, ns UTC.
        trusted: Whether that is confirmed.
    """

    version: bounds.Code
    node: str
    store: bytes
    positions: tuple[StreamWelcome, ...]
    credit: tuple[bounds.Number, bounds.Number, bounds.Number, bounds.Number]
    wall_ns: bounds.TimeNs = 0
    trusted: bool = False


class Gap(msgspec.Struct, frozen=True, array_like=True):
    """Tombstones at positions p_from to p_to of a stream; `chain` is the value after them."""

    lane: bounds.LaneCode
    epoch: bounds.EpochNumber
    p_from: bounds.Number
    p_to: bounds.Number
    chain: bytes
    ranges: tuple[GapRange, ...]


class Open(msgspec.Struct, frozen=True, array_like=True):
    """A stream begins at p + 1 for this parent."""

    lane: bounds.LaneCode
    epoch: bounds.EpochNumber
    p: bounds.Number
    chain: bytes


class Define(msgspec.Struct, frozen=True, array_like=True):
    """Names of series of one (origin, epoch): (sid, name, labels as pairs)."""

    origin: str
    epoch: bytes
    series: tuple[tuple[bounds.SeriesNumber, str, tuple[tuple[str, str], ...]], ...]


class ExceptionsUpTo(msgspec.Struct, frozen=True, array_like=True):
    """An ack with exceptions; `chain` is the first 8 bytes of the value after p."""

    lane: bounds.LaneCode
    epoch: bounds.EpochNumber
    p: bounds.Number
    chain: bytes
    exceptions: tuple[ExceptionAnswer, ...]


class Heard(msgspec.Struct, frozen=True, array_like=True):
    """Answers up to p are durable at the child."""

    lane: bounds.LaneCode
    epoch: bounds.EpochNumber
    p: bounds.Number


class Closing(msgspec.Struct, frozen=True, array_like=True):
    """The sender ends the connection."""

    reason: bounds.Code
    detail: str = ""


class IntentChunk(msgspec.Struct, frozen=True, array_like=True):
    """Part of an intent's body.

    Attributes:
        kind: What it is about, e.g. "config".
        version: The newest wins.
        digest: BLAKE2b-128 of the whole body.
        at: Offset of this part.
        total: Length of the whole body.
        body: This part.
        signature: Over the digest; reserved.
    """

    kind: str
    version: bounds.Number
    digest: bytes
    at: bounds.Number
    total: bounds.Number
    body: bytes
    signature: bytes = b""


class IntentStatus(msgspec.Struct, frozen=True, array_like=True):
    """What became of an intent.

    Attributes:
        kind: As in the intent.
        version: As in the intent.
        state: "applied", "refused", "pending", or "superseded" by a change of the node's own file.
        detail: One sentence.
    """

    kind: str
    version: bounds.Number
    state: str
    detail: str = ""


class Settled(msgspec.Struct, frozen=True, array_like=True):
    """Verdicts on blocks that a restored parent lost; `number` counts messages to this child, from 1."""

    number: bounds.Number
    verdicts: tuple[Verdict, ...]


class Noted(msgspec.Struct, frozen=True, array_like=True):
    """Verdicts up to `number` are durable at the child."""

    number: bounds.Number


class Clock(msgspec.Struct, frozen=True, array_like=True):
    """The sender's clock, ns UTC, and whether it is confirmed."""

    wall_ns: bounds.TimeNs
    trusted: bool


Message = (
    Hello
    | Welcome
    | EpochHello
    | Open
    | Define
    | Gap
    | ExceptionsUpTo
    | Closing
    | Heard
    | IntentChunk
    | IntentStatus
    | Settled
    | Noted
    | Clock
)
_KINDS: dict[type, Kind] = {
    Hello: Kind.HELLO,
    Welcome: Kind.WELCOME,
    EpochHello: Kind.EPOCH,
    Open: Kind.OPEN,
    Define: Kind.DEFINE,
    Gap: Kind.GAP,
    ExceptionsUpTo: Kind.ANSWER,
    Closing: Kind.CLOSE,
    Heard: Kind.HEARD,
    IntentChunk: Kind.INTENT,
    IntentStatus: Kind.STATUS,
    Settled: Kind.SETTLED,
    Noted: Kind.NOTED,
    Clock: Kind.CLOCK,
}
_encoder = msgspec.msgpack.Encoder()
_M = TypeVar("_M")
_decoders: dict[type, msgspec.msgpack.Decoder[object]] = {}


def put(out: bytearray, message: Message) -> None:
    """Append a control message as a frame."""
    put_frame(out, _KINDS[type(message)], _encoder.encode(message))


def parse(payload: memoryview, kind: type[_M]) -> _M:
    """The message in a payload.

    Raises:
        PeerError: It is not one; the message says where.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        return decoder.decode(payload)  # type: ignore[return-value]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PeerError(f"{kind.__name__}: {error}") from None


class Point(msgspec.Struct, frozen=True):
    """Payload of TURN, ACK and STORED: a position in a stream, by index of its epoch."""

    priority: int
    lane: int
    epoch: int
    p: int
    chain: bytes = b""


def put_point(out: bytearray, kind: Kind, point: Point) -> None:
    """Append a TURN, ACK or STORED frame."""
    body = bytearray((point.priority << 1 | point.lane,))
    put_varint(body, point.epoch)
    put_varint(body, point.p)
    body += point.chain[:CHAIN_SHOWN]
    put_frame(out, kind, body)


def parse_point(payload: memoryview, chain_bytes: int) -> Point:
    """Inverse of `put_point`; `chain_bytes` is 0 for TURN and STORED.

    Raises:
        PeerError: Malformed.
    """
    reader = Reader(payload)
    priority, lane = split_lane(reader.byte())
    epoch, p = reader.varint(MAX_EPOCHS), reader.varint((1 << 63) - 1)
    chain = reader.take(chain_bytes)
    reader.end()
    return Point(priority, lane, epoch, p, chain)


def split_lane(code: int) -> tuple[int, int]:
    """Class and lane from their common number.

    Raises:
        PeerError: It is above 7.
    """
    if not 0 <= code < 8:
        raise PeerError(f"class and lane {code}")
    return code >> 1, code & 1


def put_credit(out: bytearray, priority: int, total: int) -> None:
    """Append a CREDIT frame."""
    body = bytearray((priority,))
    put_varint(body, total)
    put_frame(out, Kind.CREDIT, body)


def parse_credit(payload: memoryview) -> tuple[int, int]:
    """Class and bytes granted since the connection began.

    Raises:
        PeerError: Malformed.
    """
    reader = Reader(payload)
    priority, total = reader.byte(), reader.varint((1 << 63) - 1)
    reader.end()
    if priority > 3:
        raise PeerError(f"credit for class {priority}")
    return priority, total
