"""Parents that do not do as they should: that spend a child's attempts, and that lie in their answers.

What a lie says is written with the link's own encoder and put into the connection between two frames of the
parent; the parent itself knows nothing of it.
"""

from __future__ import annotations

from headland.line.outbox.stream import Stream
from headland.link import protocol
from headland.link.children import Children
from headland.link.contract import Later, LaterReason, Rejected, RejectReason
from headland.link.downlink import ChildLink, Phase, Taken, not_authorised
from headland.link.frames import Kind
from headland.link.protocol import Point
from headland.link.received import ReceivedBlock
from headland.simulation.watching import Watching
from headland.simulation.world import Host, World

MS = 1_000_000
S = 1_000_000_000
SHARE = 0.5
REFUSED_FOR_GOOD = 0.05
TRIES = 400
"""So often a liar waits 5 ms for something to lie about."""


def refuse_for_a_while(world: World, witness: Watching, host: Host) -> None:
    """For up to 3 s half of the blocks are answered `Later`, and each of these answers spends an attempt."""
    if host.node is None or "_take" in vars(host.node.parts.south.children):
        return
    children, life = host.node.parts.south.children, host.life
    take = children._take  # noqa: SLF001 - the product has no such parent

    def refusing(link: ChildLink, taken: Taken | None, draft: object) -> object:
        item = taken.item if taken is not None else None
        if taken is not None and isinstance(item, ReceivedBlock) and world.chance(SHARE):
            header = item.header
            identity = (header.origin, header.epoch, int(header.priority), header.k)
            witness.attempt_spent(item.child, identity)
            world.count("attempt_spent")
            answer = Later(taken.p, LaterReason.FULL, spends=True)
            taken = Taken(taken.stream, None, taken.p, taken.chain, exception=answer)
        return take(link, taken, draft)  # type: ignore[arg-type]

    children._take = refusing  # type: ignore[assignment, method-assign]  # noqa: SLF001
    witness.tell(host.name, "spends attempts of its children")
    world.after(
        world.uniform(200 * MS, 3 * S), lambda: accept_again(world, host) if host.life == life else None
    )


def forbid_for_a_while(world: World, witness: Watching, host: Host) -> None:
    """For up to 3 s half of the origins are not authorised, and some blocks are refused for good."""
    if host.node is None or "_take" in vars(host.node.parts.south.children):
        return
    children, life = host.node.parts.south.children, host.life
    take = children._take  # noqa: SLF001 - the product has no such parent
    forbidden = {one.name for one in world.hosts.values() if world.chance(SHARE)}

    def forbidding(link: ChildLink, taken: Taken | None, draft: object) -> object:
        item = taken.item if taken is not None else None
        if taken is not None and isinstance(item, ReceivedBlock):
            answer: Later | Rejected | None = None
            if item.header.origin in forbidden:
                answer = not_authorised(taken.p)
            elif world.chance(REFUSED_FOR_GOOD):
                answer = Rejected(taken.p, RejectReason.MALFORMED)
            if answer is not None:
                world.count("forbidden")
                taken = Taken(taken.stream, None, taken.p, taken.chain, exception=answer)
        return take(link, taken, draft)  # type: ignore[arg-type]

    children._take = forbidding  # type: ignore[assignment, method-assign]  # noqa: SLF001
    witness.tell(host.name, f"takes nothing of {sorted(forbidden)}")
    world.after(
        world.uniform(200 * MS, 3 * S), lambda: accept_again(world, host) if host.life == life else None
    )


def accept_again(world: World, host: Host) -> None:
    """It answers as it should; a new handshake says so to those whose origins were not authorised."""
    if host.node is not None and vars(host.node.parts.south.children).pop("_take", None) is not None:
        for name in host.node.parts.south.children.connected():
            world.reset(name, host.name)


def lie(world: World, witness: Watching, host: Host, tries: int = TRIES) -> None:
    """Acknowledge to a child what it never sent, or what it did send with another chain value."""
    told = host.node is not None and any(
        _lie_to(world, witness, host, link) for link in _connected(host.node.parts.south.children)
    )
    if not told and tries:
        world.after(5 * MS, lambda: lie(world, witness, host, tries - 1))


def _connected(children: Children) -> list[ChildLink]:
    return [link for link in children._links.values() if link.phase is Phase.UP]  # noqa: SLF001


def _lie_to(world: World, witness: Watching, parent: Host, link: ChildLink) -> bool:
    name = link.child.name if link.child is not None else ""
    child = world.hosts.get(name)
    if (
        child is None
        or child.node is None
        or child.parent != parent.name
        or link.connection not in parent.wires
    ):
        return False
    outbox = child.node.parts.north.outbox
    assert outbox is not None
    streams = [stream for stream in outbox.state.streams() if link.index(stream.key) >= 0]
    for stream in sorted(streams, key=lambda one: one.key, reverse=True):
        lies = _lies(stream, world)
        if lies:
            p, chain = world.rng.choice(lies)
            key, out = stream.key, bytearray()
            point = Point(key.priority, key.lane, link.index(key), p, chain)
            protocol.put_point(out, Kind.ACK, point)
            wire, side = parent.wires[link.connection]
            wire.send(side, bytes(out))
            world.count("lied_beyond" if p > stream.sent else "lied_about_chain")
            witness.tell(parent.name, f"lies to {name}: {key} acknowledged up to {p}, sent {stream.sent}")
            return True
    return False


def _lies(stream: Stream, world: World) -> list[tuple[int, bytes]]:
    """(position, chain value) that would be wrong to believe; none while everything is answered.

    The chain value is always another one: a true one, of a block that leaves just now, could be believed.
    """
    positions = [p for p in (stream.sent, stream.tail) if p > stream.acked]
    return [(p, world.rng.randbytes(16)) for p in dict.fromkeys(positions)]
