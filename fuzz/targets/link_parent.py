"""The parent's end of a link, given the bytes of a made-up child.

A script: a byte of steps and a chunk each. The step's lower bits say which of two connections the bytes come
by; 0x40 commits before, 0x80 lets time pass before, 0x20 is a new connection.
"""

from __future__ import annotations

from random import Random

from tests.link.world import Clock, ParentNode

from fuzz.target import Script, Target, chunk, hold
from fuzz.targets.link_frames import E1, FROM_CHILD, framed
from headland.blocks.block import seal
from headland.blocks.digest import CHAIN_START, chain, identity_bytes
from headland.blocks.header import HeaderWriter, Run
from headland.link import protocol
from headland.link.contract import EpochHello
from headland.link.frames import Deframer, Kind, put_frame
from headland.link.protocol import Point
from headland.vocabulary import Columns, Lane, Priority

STEPS_MAX = 32


def check(data: bytes) -> bytes:
    """Nothing is raised; what is answered is whole frames; what is committed is found again at a start."""
    script, clock = Script(data), Clock()
    parent = ParentNode(clock, Random(1))
    connections = [0, 1]
    for connection in connections:
        parent.do(parent.children.opened(connection, "child", parent.now))
    for _ in range(STEPS_MAX):
        if script.left <= 0:
            break
        step = script.byte()
        who = step & 1
        if step & 0x40:
            parent.commit()
        if step & 0x80:
            clock.advance(20.0)
            parent.wake()
        if step & 0x20:
            parent.do(parent.children.closed(connections[who], "cut", parent.now))
            connections[who] = max(connections) + 1
            parent.do(parent.children.opened(connections[who], "child", parent.now))
        if connections[who] not in parent.closes:
            parent.do(parent.children.received(connections[who], script.chunk(), parent.now, parent.draft))
        else:
            script.chunk()
    parent.commit()
    parent.commit()
    sent = {}
    for connection, parts in parent.out.items():
        sent[connection] = b"".join(parts)
        deframer = Deframer()
        deframer.feed(sent[connection])
        hold(len(parts) == 0 or not deframer.feed(b""), "what was sent is not whole frames")
    for connection in connections:
        parent.do(parent.children.closed(connection, "cut", parent.now))
    parent.commit()
    again = ParentNode(clock, Random(1), parent.frames)
    before, after = _welcome(parent), _welcome(again)
    hold(before == after, f"it stands at {before!r}, and after a restart at {after!r}")
    hold(len(again.delivered) == len(parent.delivered), "a restart has other blocks")
    return repr((sent, sorted(parent.closes), len(parent.delivered))).encode()


def _welcome(parent: ParentNode) -> bytes:
    """What a child is told that comes now: where the parent stands in each of its streams."""
    connection = 1_000
    parent.out.clear()
    parent.do(parent.children.opened(connection, "child", parent.now))
    parent.do(parent.children.received(connection, framed(FROM_CHILD[0]), parent.now, parent.draft))
    parent.commit()
    return b"".join(parent.out.get(connection, []))


def blocks(writer: HeaderWriter, count: int) -> bytes:
    """A stream of live blocks of normal class, as a child sends them."""
    out = bytearray()
    for k in range(1, count + 1):
        columns = Columns()
        columns.append(1, 10**18 + k, float(k), size=8)
        header, body = seal(
            columns,
            origin="child",
            epoch=E1,
            priority=Priority.NORMAL,
            k=k,
            lane=Lane.LIVE,
            runs=(Run(k, 10**18, 1),),
        )
        if k == 1:
            protocol.put_point(out, Kind.TURN, Point(Priority.NORMAL, Lane.LIVE, 0, 1))
        put_frame(out, Kind.BLOCK, writer.encode(header), body)
    return bytes(out)


def seeds() -> dict[str, bytes]:
    """A child's beginning, its blocks, its gaps; two connections of one child."""
    hello, *others = map(framed, FROM_CHILD)
    opened = framed(protocol.Hello(protocol.MAGIC, 1, 1, "child", E1, b"", (EpochHello(E1),)))
    define = framed(FROM_CHILD[3])
    stream = blocks(HeaderWriter(), 3)
    value = chain(CHAIN_START, identity_bytes("child", E1, 2, 1), bytes(16))
    gap = framed(
        protocol.Gap(
            4, 0, 1, 1, value, FROM_CHILD[4].ranges if isinstance(FROM_CHILD[4], protocol.Gap) else ()
        )
    )
    made = {
        "blocks": b"\0" + chunk(opened + define + stream) + b"\x40" + chunk(framed(FROM_CHILD[5])),
        "gap": b"\0" + chunk(opened + define + gap) + b"\x40" + chunk(b""),
        "twice": b"\0" + chunk(opened) + b"\1" + chunk(hello) + b"\x41" + chunk(define + stream),
        "again": b"\0"
        + chunk(opened + define + stream)
        + b"\x60"
        + chunk(opened + stream)
        + b"\xa0"
        + chunk(hello),
        "late": b"\0" + chunk(opened) + b"\x80" + chunk(b"\1\4") + b"\xc0" + chunk(b"\1\3"),
    }
    for message, data in zip(FROM_CHILD[1:], others, strict=True):
        made[type(message).__name__.lower()] = b"\0" + chunk(hello + data * 2) + b"\x40" + chunk(data)
    return made


TARGET = Target(
    name="link_parent",
    law="no bytes of a child raise or write what the parent's next start does not read as it stood",
    check=check,
    seeds=seeds,
    words=(b"\x40", b"\x60", bytes((1, 3)), bytes((1, 4)), b"\xcf" + b"\xff" * 8, b"\xc4\x10" + E1),
    rounds=1_000,
)
