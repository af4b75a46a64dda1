"""Frames and messages of the link: first byte says how the stream is cut, then frames."""

from __future__ import annotations

import msgspec

from fuzz.target import Target, cuts, hold
from headland.blocks.header import BlockHeader, HeaderReader, HeaderWriter, Run
from headland.blocks.wire import Reader
from headland.link import protocol
from headland.link.contract import (
    EpochHello,
    GapRange,
    Later,
    Rejected,
    StreamHello,
    StreamKey,
    StreamWelcome,
    Verdict,
)
from headland.link.frames import Deframer, Kind, put_frame
from headland.link.protocol import Message, Point
from headland.vocabulary import Lane, PeerError, Priority, Reason

E1 = b"1" * 16
MESSAGES: dict[int, type[Message]] = {
    Kind.GAP: protocol.Gap,
    Kind.HELLO: protocol.Hello,
    Kind.WELCOME: protocol.Welcome,
    Kind.EPOCH: EpochHello,
    Kind.OPEN: protocol.Open,
    Kind.DEFINE: protocol.Define,
    Kind.ANSWER: protocol.ExceptionsUpTo,
    Kind.CLOSE: protocol.Closing,
    Kind.HEARD: protocol.Heard,
    Kind.INTENT: protocol.IntentChunk,
    Kind.STATUS: protocol.IntentStatus,
    Kind.CLOCK: protocol.Clock,
    Kind.SETTLED: protocol.Settled,
    Kind.NOTED: protocol.Noted,
}
CHAIN_BYTES = {Kind.TURN: 0, Kind.STORED: 0, Kind.ACK: 8}


def check(data: bytes) -> bytes:
    """Frames are the same however the stream is cut; what parses is what its own encoding parses to."""
    stream = data[1:]
    whole, trouble = _frames([stream])
    pieces, also = _frames(cuts(stream, data[0] if data else 0))
    hold(pieces[: len(whole)] == whole, f"in pieces {pieces!r}, at once {whole!r}")
    hold(trouble == also and (trouble or len(pieces) == len(whole)), "cut otherwise, it is refused otherwise")
    headers, written = HeaderReader(), HeaderWriter()
    for kind, payload in pieces:
        try:
            _message(kind, payload, headers, written)
        except PeerError:
            continue
    return repr(pieces).encode()


def _frames(parts: list[bytes]) -> tuple[list[tuple[int, bytes]], bool]:
    deframer, found = Deframer(1 << 16), []
    for part in parts:
        try:
            found += [(kind, bytes(payload)) for kind, payload in deframer.feed(part)]
        except PeerError:
            return found, True
    return found, False


def _message(kind: int, payload: bytes, headers: HeaderReader, written: HeaderWriter) -> None:
    view = memoryview(payload)
    if kind in MESSAGES:
        message = protocol.parse(view, MESSAGES[kind])
        out = bytearray()
        protocol.put(out, message)
        ((_, again),) = Deframer().feed(bytes(out))
        same = protocol.parse(again, MESSAGES[kind])
        hold(same == message, f"{message!r} came back as {same!r}")
        hold(msgspec.msgpack.encode(same) == bytes(again), "one message, two encodings")
    elif kind in CHAIN_BYTES:
        point = protocol.parse_point(view, CHAIN_BYTES[Kind(kind)])
        out = bytearray()
        protocol.put_point(out, Kind(kind), point)
        ((_, again),) = Deframer().feed(bytes(out))
        hold(protocol.parse_point(again, CHAIN_BYTES[Kind(kind)]) == point, f"{point!r}")
    elif kind == Kind.CREDIT:
        priority, total = protocol.parse_credit(view)
        hold(0 <= priority <= 3 and 0 <= total < 1 << 63, f"credit {priority}, {total}")
    elif kind == Kind.BLOCK:
        header = headers.decode(Reader(view))
        hold(header.rows == sum(run.rows for run in header.runs), f"{header!r}")
        written.encode(header)


GAP_RANGE = GapRange("child", E1, 2, 1, 1, Reason.LOST_BY_RESTORE, 1, 8, 0, 0, ("any",), ((1, 8),))
HELLO = protocol.Hello(
    protocol.MAGIC,
    1,
    1,
    "child",
    E1,
    b"",
    (EpochHello(E1, b"", 0, (StreamHello(2, 0, 1, 0, bytes(16)),)),),
    intents=(("config", 1),),
)
WELCOME = protocol.Welcome(1, "parent", b"S" * 16, (StreamWelcome(StreamKey(E1, 2, 0), 0),), (1 << 20,) * 4)
FROM_CHILD: tuple[Message, ...] = (
    HELLO,
    EpochHello(b"4" * 16),
    protocol.Open(4, 0, 1, bytes(16)),
    protocol.Define("child", E1, ((1, "a", (("room", "b"),)),)),
    protocol.Gap(4, 0, 1, 1, bytes(16), (GAP_RANGE,)),
    protocol.Heard(4, 0, 1),
    protocol.IntentStatus("config", 1, "applied"),
    protocol.Noted(1),
    protocol.Clock(1, True),
    protocol.Closing(1),
)
FROM_PARENT: tuple[Message, ...] = (
    WELCOME,
    protocol.ExceptionsUpTo(4, 0, 1, bytes(8), (Later(1), Rejected(1))),
    protocol.IntentChunk("config", 1, bytes(16), 0, 4, b"body"),
    protocol.Settled(1, (Verdict("child", E1, 2, 1, 1, True),)),
    protocol.Clock(1, True),
    protocol.Closing(1),
)


def framed(message: Message) -> bytes:
    """A message as a frame."""
    out = bytearray()
    protocol.put(out, message)
    return bytes(out)


def seeds() -> dict[str, bytes]:
    """Each message alone, short frames, a block's header, everything cut up."""
    short = bytearray()
    put_frame(short, Kind.HEARTBEAT)
    put_frame(short, Kind.PROBE)
    protocol.put_point(short, Kind.TURN, Point(2, 1, 0, 300))
    protocol.put_point(short, Kind.ACK, Point(0, 0, 1, 5, b"chainval"))
    protocol.put_point(short, Kind.STORED, Point(0, 0, 1, 5))
    protocol.put_credit(short, 3, 1 << 20)
    put_frame(short, 0xFF, b"skipped")
    header = BlockHeader(
        origin="child", epoch=E1, priority=Priority.NORMAL, k=1, lane=Lane.LIVE, rows=3, size=24,
        runs=(Run(5, 10**18, 1), Run(6, 10**18 + 1, 2)), ts_min=10**18, ts_max=10**18 + 5, age_ms=7,
        digest=bytes(16), groups=("any",), backlog_hops=1,
    )  # fmt: skip
    block, writer = bytearray(), HeaderWriter()
    put_frame(block, Kind.BLOCK, writer.encode(header), b"body")
    put_frame(block, Kind.BLOCK, writer.encode(msgspec.structs.replace(header, k=2)), b"body")
    made = {
        f"{type(message).__name__.lower()}-{side}": b"\x40" + framed(message)
        for side, messages in (("child", FROM_CHILD), ("parent", FROM_PARENT))
        for message in messages
    }
    everything = b"".join(map(framed, (*FROM_CHILD, *FROM_PARENT))) + bytes(short) + bytes(block)
    return made | {"short": b"\0" + short, "block": b"\3" + block, "all": b"\x11" + everything}


TARGET = Target(
    name="link_frames",
    law="frames do not depend on how they are cut; a message that parses is what its own encoding parses to",
    check=check,
    seeds=seeds,
    words=(
        bytes((1, 3)),
        b"\xcf" + b"\xff" * 8,
        b"\xd3\x80" + bytes(7),
        b"\xc4\x10",
        b"\xdd\xff\xff\xff\xff",
        b"\xc0",
    ),
    rounds=3_000,
)
