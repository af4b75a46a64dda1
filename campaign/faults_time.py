"""Faults of clocks and of certificates, which end by the clock."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
import struct
from pathlib import Path

from campaign.chain import PLANS, SITE
from campaign.disks import run
from campaign.judging import BY_ARRIVAL, QUERY_S
from campaign.scene import Proof, Scene, eventually
from headland.trust.authority import Authority
from headland.trust.identity import Identity

HOUR_S = 3600
SOURCE = Path(__file__).with_name("stepped_clock.c")
CERTIFIED_S = 6.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")


async def steppable(scene: Scene) -> None:
    """A node, by chance, gets a wall clock that can be stepped."""
    name = scene.pick("device", "local", "cloud")
    library, offset = scene.site.root / "stepped_clock.so", scene.site.root / "clock"
    await run("cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl")
    offset.write_bytes(struct.pack("=q", 0))
    scene.nodes[name].environment |= {"LD_PRELOAD": str(library), "HEADLAND_CAMPAIGN_CLOCK": str(offset)}
    scene.stepped = name, offset


def _step(offset: Path, seconds: int) -> None:
    with offset.open("r+b") as file:
        file.write(struct.pack("=q", seconds))


async def clock_step(scene: Scene) -> Proof:
    """The wall clock of a node goes an hour forward and, a second or two later, back.

    Proof: rows at the cloud whose node time (or arrival, where it is the cloud's clock) is an hour ahead.
    """
    name, offset = scene.stepped
    _step(offset, HOUR_S)
    await asyncio.sleep(scene.chance.uniform(1.0, 2.0))
    _step(offset, 0)
    await asyncio.sleep(0.8)
    answer = await scene.nodes["cloud"].ask(BY_ARRIVAL, QUERY_S)
    ahead_ns = int((dt.datetime.now(dt.UTC).timestamp() + HOUR_S / 2) * 1e9)
    field = "_arrived_ns" if name == "cloud" else "_node_ns"
    origin = None if name == "cloud" else PLANS[name].origin
    ahead = sum(
        1
        for row in answer["rows"]
        if (origin is None or row["_origin"] == origin) and int(row[field]) > ahead_ns
    )
    return Proof(
        "clock_step",
        ahead > 0,
        f"{name}: {ahead} rows carry a time that is an hour ahead",
        {"rows_ahead": ahead},
    )


def _certify(scene: Scene, name: str, seconds: float) -> None:
    authority = Authority.load(scene.site.root / "authority")
    now = dt.datetime.now(dt.UTC)
    issued = authority.issue(Identity(SITE, name), now, hosts=LOOPBACK, days=seconds / 86_400)
    folder = scene.site.directory(name) / "certificates"
    (folder / "node.key").write_bytes(issued.key_pem)
    (folder / "node.pem").write_bytes(issued.certificate_pem)


async def short_lived(scene: Scene) -> None:
    """A node, by chance, gets a certificate that ends within seconds."""
    name = scene.pick("device", "local")
    _certify(scene, name, CERTIFIED_S)
    scene.certified = name, asyncio.get_running_loop().time() + CERTIFIED_S


async def certificate(scene: Scene) -> Proof:
    """A node's certificate ends while it runs; it is renewed seconds later, and read in at a SIGHUP.

    Proof: the link did not come back after it was interrupted, readings waited, and it came back afterwards.
    """
    name, ends = scene.certified
    node, wire = scene.nodes[name], scene.wires[name]
    async with wire.hands, node.hands:
        await asyncio.sleep(max(0.0, ends - asyncio.get_running_loop().time()) + 0.3)
        wire.drop()
        await asyncio.sleep(scene.chance.uniform(1.5, 2.5))
        status = await node.look()
        trouble = status.link_trouble if status is not None else ""
        waiting = status.pending_readings if status is not None else 0
        _certify(scene, name, 3600.0)
        node.signal(signal.SIGHUP)

        async def linked() -> bool:
            now = await node.look()
            return now is not None and now.link == "up" and not now.link_trouble

        back = await eventually(linked, 15.0)
        if not back:
            scene.findings.append(f"{name} does not reach its parent with a renewed certificate")
    return Proof(
        "certificate",
        bool(trouble and waiting and back),
        f"{name}: {trouble!r}, {waiting} readings waiting, linked again with a renewed one: {back}",
        {"waiting": waiting},
    )
