"""Peers that break the protocol of the link: who they are, what they send, and what may come of it.

Nothing may: a peer that breaks the protocol loses its connection, and nobody else notices.
"""

from __future__ import annotations

import msgspec

from headland.link import protocol
from headland.link.contract import EpochHello, GapRange, StreamHello
from headland.link.frames import Kind, put_frame
from headland.link.protocol import Point
from headland.node import events as ev
from headland.simulation.watching import Watching
from headland.simulation.world import Host, World

NAME = "works/stranger"
EPOCH = b"stranger-epoch-0"
HELLO = protocol.Hello(
    protocol.MAGIC, protocol.VERSION_MIN, protocol.VERSION_MAX, NAME, EPOCH, b"",
    (EpochHello(EPOCH, b"", 0, (StreamHello(2, 0, 5, 3, b"c" * 16, 1, b"f" * 16),)),), 0, False, False,
)  # fmt: skip


def _hello(**changes: object) -> bytes:
    out = bytearray()
    protocol.put(out, msgspec.structs.replace(HELLO, **changes))
    return bytes(out)


def _frame(kind: int, payload: bytes = b"") -> bytes:
    out = bytearray()
    put_frame(out, kind, payload)
    return bytes(out)


def _turn(epoch: int, p: int) -> bytes:
    out = bytearray()
    protocol.put_point(out, Kind.TURN, Point(2, 0, epoch, p, b""))
    return bytes(out)


def _message(message: protocol.Message) -> bytes:
    out = bytearray()
    protocol.put(out, message)
    return bytes(out)


def _gap(p_from: int, p_to: int, k_to: int = 2, epoch: bytes = EPOCH, chain: bytes = b"g" * 16) -> bytes:
    """Tombstones at positions of the stranger's own stream."""
    item = GapRange(NAME, epoch, 2, 1, k_to, 1, 1, 1, 0, 0, ("any",))
    return _message(protocol.Gap(2 << 1, 0, p_from, p_to, chain, (item,)))


def _define(sid: int) -> bytes:
    return _message(protocol.Define(NAME, EPOCH, ((sid, "series", ()),)))


TO_PARENTS: tuple[tuple[str | None, tuple[bytes, ...]], ...] = (
    (NAME, (b"GET / HTTP/1.1\r\n\r\n",)),
    (NAME, (_frame(Kind.BLOCK, b"x"),)),
    (NAME, (_frame(Kind.HELLO, b"\xff"),)),
    (NAME, (_hello(magic="SMTP"),)),
    (NAME, (_hello(epochs=(EpochHello(b"short", b"", 0, ()),)),)),
    ("works/another", (_hello(),)),
    (NAME, (_hello(version_min=900, version_max=901),)),
    (NAME, (_hello(), _turn(0, 9))),
    (NAME, (_hello(), _turn(7, 1))),
    (NAME, (_hello(), _frame(Kind.BLOCK, b"x"))),
    (NAME, (_hello(), _turn(0, 1), _frame(Kind.BLOCK, b"\x00" * 8))),
    (NAME, (_hello(), _define(0))),
    (NAME, (_hello(), _define(3), _gap(2, 1))),
    (NAME, (_hello(), _gap(5, 6))),
    (NAME, (_hello(), _gap(1, 2, k_to=0))),
    (NAME, (_hello(), _gap(1, 2, epoch=b"short"))),
    (NAME, (_hello(), _gap(1, 2, chain=b"short"))),
    (NAME, (_hello(), _message(EpochHello(EPOCH, b"", 0, ())))),
    (NAME, (_hello(), _message(protocol.Open(2 << 1, 0, -1, b"")))),
    (NAME, (_hello(), _frame(0x7E, b"unknown"))),
    (NAME, (_hello(), _frame(0xEE, b"may be skipped"), _frame(Kind.PROBE), _frame(Kind.HEARTBEAT))),
    (NAME, (_hello(), _message(protocol.Closing(0, "bye")))),
    (NAME, (b"",)),
)
"""Name in the certificate, and what is sent; the connection is left open."""

TO_CHILDREN: tuple[bytes, ...] = (
    _frame(0x7E, b"unknown"),
    _frame(0xEE, b"may be skipped"),
    _frame(Kind.PROBE),
    _frame(Kind.WELCOME, b"\xff"),
    _frame(Kind.ACK, b"\x00"),
    _frame(Kind.ACK, b"\x04\x63\x01" + b"c" * 8),
    _frame(Kind.ANSWER, b"\xff"),
    _frame(Kind.CREDIT, b""),
    _message(protocol.Welcome(1, "works/x", b"s" * 16, (), (0, 0, 0, 0), 0, False)),
    _message(protocol.ExceptionsUpTo(4, 0, 1, b"short", ())),
    _message(protocol.IntentChunk("config", 900, b"d" * 16, 0, 1 << 40, b"x")),
    _message(protocol.IntentChunk("unheard of", 1, b"d" * 16, 7, 9, b"x")),
    _message(protocol.Closing(2, "go away")),
    b"\xff" * 40,
)


def knock(world: World, witness: Watching, parent: Host) -> None:
    """A stranger connects to a parent's listener, and says something wrong."""
    peer, says = world.rng.choice(TO_PARENTS)
    connection = parent.number()
    witness.tell(parent.name, "hears a stranger")
    world.count("stranger")
    parent.feed(ev.Opened(connection, "link", "192.0.2.7", tls=True, peer_name=peer))
    for data in says:
        parent.feed(ev.Received(((connection, data),)))
    world.after(world.uniform(1, 8) * 1_000_000_000, lambda: parent.feed(ev.Closed(connection, "gone")))


def confuse(world: World, witness: Watching, parent: Host) -> None:
    """A parent sends to each connected child something that it should not."""
    if parent.node is None:
        return
    for name, connection in parent.node.parts.south.children.connected().items():
        if connection in parent.wires:
            wire, side = parent.wires[connection]
            wire.send(side, world.rng.choice(TO_CHILDREN))
            world.count("confused")
            witness.tell(parent.name, f"says something wrong to {name}")
