"""The child's end of a link, given the bytes of a made-up parent: a byte of what happens before, a chunk.

Before the bytes, 0x40 commits, 0x80 lets time pass, 0x20 cuts the connection and dials again, 0x10 keeps and
seals another block.
"""

from __future__ import annotations

from tests.link.world import Pair

from fuzz.target import Script, Target, chunk, hold
from fuzz.targets.link_frames import FROM_PARENT, WELCOME, framed
from headland.link import protocol
from headland.link.contract import Later, Rejected, StreamKey, StreamWelcome
from headland.link.frames import Kind
from headland.link.protocol import Point

STEPS_MAX = 32


def check(data: bytes) -> bytes:
    """Nothing is raised, the books balance, what is sent is whole frames, and a restart finds it all."""
    script, pair = Script(data), Pair()
    child = pair.child
    pair.gather()
    for _ in range(2):
        child.keep()
        child.commit()
    sent = bytearray()
    for _ in range(STEPS_MAX):
        if script.left <= 0:
            break
        step = script.byte()
        if step & 0x10:
            child.keep()
        if step & 0x40:
            child.commit()
        if step & 0x80:
            pair.clock.advance(30.0)
            child.wake()
        if step & 0x20 or child.close:
            child.close = False
            child.to_send.clear()
            pair.cut()
            pair.clock.advance(60.0)
            child.wake()
            pair.gather()
        if pair.connection >= 0:
            received = child.uplink.received(pair.connection, script.chunk(), pair.clock.now, child.draft)
            child.do(received)
        else:
            script.chunk()
        sent += b"".join(one.data for one in child.to_send if one.connection == pair.connection)
        child.to_send.clear()
        child.wake()
    child.commit()
    child.commit()
    _balanced(pair)
    pair.restart_child()
    _balanced(pair)
    return repr((bytes(sent), child.ups, child.downs, len(child.intents), child.n)).encode()


def _balanced(pair: Pair) -> None:
    """What was kept is pending, delivered or said to be lost, and nothing is pending twice."""
    books = pair.child.ledger
    hold(not books.check(), f"the books do not balance: {books.check()}")


def seeds() -> dict[str, bytes]:
    """A parent's beginning, its answers, its verdicts."""
    pair = Pair()
    epoch = pair.child.epoch
    welcome = framed(
        protocol.Welcome(1, "parent", b"S" * 16, (StreamWelcome(StreamKey(epoch, 2, 0), 0),), (1 << 20,) * 4)
    )
    ack, stored, credit = bytearray(), bytearray(), bytearray()
    protocol.put_point(ack, Kind.ACK, Point(2, 0, 0, 1, bytes(8)))
    protocol.put_point(stored, Kind.STORED, Point(2, 0, 0, 1))
    protocol.put_credit(credit, 2, 1 << 21)
    begin = b"\0" + chunk(welcome)
    made = {
        "ack": begin + b"\x40" + chunk(bytes(ack)) + b"\x40" + chunk(bytes(stored + credit)),
        "twice": begin + b"\x50" + chunk(bytes(ack)) + b"\x60" + chunk(welcome) + b"\x40" + chunk(bytes(ack)),
        "late": begin + b"\x90" + chunk(b"\1\4") + b"\xc0" + chunk(b"\1\3"),
        "later": begin
        + b"\0"
        + chunk(framed(protocol.ExceptionsUpTo(4, 0, 1, bytes(8), (Later(1), Rejected(2))))),
        "other": b"\0" + chunk(framed(WELCOME)),
    }
    for message in FROM_PARENT[1:]:
        made[type(message).__name__.lower()] = (
            begin + b"\x50" + chunk(framed(message) * 2) + b"\x40" + chunk(b"")
        )
    return made


TARGET = Target(
    name="link_child",
    law="no bytes of a parent raise or leave books that do not balance, now or at the next start",
    check=check,
    seeds=seeds,
    words=(b"\x40", b"\x60", bytes((1, 3)), bytes((1, 4)), b"\xcf" + b"\xff" * 8, b"\x05\x05\x04\x00\x01"),
    rounds=300,
)
