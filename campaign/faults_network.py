"""Faults of the wire between a child and its parent."""

from __future__ import annotations

import asyncio

from campaign import traces
from campaign.load import Blobs
from campaign.scene import Proof, Scene, eventually
from campaign.wire import Wire

DEAD_S = 3.0
"""A parent that is not heard of for so long is given up."""


def _wire(scene: Scene) -> tuple[str, Wire]:
    name = scene.pick("device", "local")
    return name, scene.wires[name]


async def refused(scene: Scene) -> Proof:
    """The parent's port is closed and open connections are reset; calls are refused by the kernel.

    Proof: the child says that its link is down, and readings waited.
    """
    name, wire = _wire(scene)
    async with wire.hands:
        before = wire.counts.dropped
        await wire.refuse()
        await asyncio.sleep(scene.chance.uniform(1.0, 3.0))
        status = await scene.nodes[name].look()
        await wire.heal()
    waiting = status.pending_readings if status is not None else 0
    trouble = status.link_trouble if status is not None else ""
    return Proof(
        "uplink_refused",
        bool(waiting) and bool(trouble),
        f"{name}: {wire.counts.dropped - before} connections reset, {waiting} readings waiting: {trouble!r}",
        {"dropped": wire.counts.dropped - before, "waiting": waiting},
    )


async def blackhole(scene: Scene) -> Proof:
    """What is sent vanishes in both directions, and nobody says so; for longer than a parent is believed in.

    Proof: bytes that vanished, and readings that waited.
    """
    name, wire = _wire(scene)
    async with wire.hands:
        before = wire.counts.swallowed
        wire.hole = True
        await asyncio.sleep(scene.chance.uniform(DEAD_S + 0.5, DEAD_S + 2.0))
        waiting = await scene.pending(name)
        swallowed = wire.counts.swallowed - before
        await wire.heal()
    return Proof(
        "uplink_blackhole",
        bool(swallowed and waiting),
        f"{name}: {swallowed} bytes vanished, {waiting} readings waiting",
        {"swallowed": swallowed, "waiting": waiting},
    )


async def reset(scene: Scene) -> Proof:
    """The connection is reset in the middle of a frame, again and again.

    Proof: resets in the middle of a chunk, and the bytes of it that were thrown away.
    """
    name, wire = _wire(scene)
    async with wire.hands:
        resets, cut, calls = wire.counts.resets, wire.counts.cut, wire.counts.calls
        for _ in range(scene.chance.randint(2, 5)):
            reached = wire.counts.resets
            # Beyond a handshake of some 3 kB, so that blocks are under way.
            wire.reset_after(scene.chance.randint(100, 12_000))
            await eventually(lambda was=reached: _more(wire, was), 2.0)  # type: ignore[misc]
        await wire.heal()
    return Proof(
        "uplink_reset",
        wire.counts.resets > resets,
        f"{name}: {wire.counts.resets - resets} resets in mid-frame cut {wire.counts.cut - cut} bytes, "
        f"{wire.counts.calls - calls} calls",
        {"resets": wire.counts.resets - resets, "bytes_cut": wire.counts.cut - cut},
    )


async def _more(wire: Wire, resets: int) -> bool:
    return wire.counts.resets > resets


async def slow(scene: Scene) -> Proof:
    """The wire keeps to a recorded rate or delay while large readings come, too.

    Proof: chunks that waited, and how long.
    """
    name, wire = _wire(scene)
    text, delay = traces.choose(scene.chance)
    async with wire.hands:
        waits, waited = wire.counts.waits, wire.counts.waited_s
        wire.delay = delay
        blobs = Blobs(scene.site, "slow")
        await blobs.push(20, 50_000, pause_s=0.08)
        await asyncio.sleep(scene.chance.uniform(0.5, 1.5))
        waiting = await scene.pending(name)
        await wire.heal()
    waits, waited = wire.counts.waits - waits, wire.counts.waited_s - waited
    return Proof(
        "uplink_slow",
        waited > 0.2,
        f"{name} at the pace of {text}: {waits} chunks waited {waited:.1f} s, {waiting} readings waiting",
        {"waits": waits, "waited_s": round(waited, 2), "waiting": waiting},
    )


async def lossy(scene: Scene) -> Proof:
    """Chunks are "lost" and come after TCP's timeout, or wait by chance, or have their halves in wrong order.

    The last makes TLS give the connection up. Proof: chunks lost, chunks out of order.
    """
    name, wire = _wire(scene)
    chance = scene.chance
    async with wire.hands:
        stalls, swapped, calls = wire.counts.stalls, wire.counts.swapped, wire.counts.calls
        wire.loss = chance.uniform(0.05, 0.2)
        wire.delay = lambda _size: chance.expovariate(1 / 0.02)
        for _ in range(3):
            wire.swap = 0.3
            await asyncio.sleep(0.4)
            wire.swap = 0.0
            await asyncio.sleep(chance.uniform(0.4, 0.9))
        await wire.heal()
    stalls, swapped = wire.counts.stalls - stalls, wire.counts.swapped - swapped
    return Proof(
        "uplink_lossy",
        bool(stalls or swapped),
        f"{name}: {stalls} chunks came late, {swapped} in wrong order, {wire.counts.calls - calls} calls",
        {"stalls": stalls, "swapped": swapped},
    )
