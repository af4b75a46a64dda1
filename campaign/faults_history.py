"""Faults of history: data directories that go back, are copied or gone, and children that change parents."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
from pathlib import Path
from typing import Any

from campaign.chain import LITTLE_BYTES, PLANS, SITE
from campaign.judging import BY_ARRIVAL, QUERY_S
from campaign.load import Blobs
from campaign.nodes import Node, Status
from campaign.scene import Proof, Scene, eventually
from headland.demo.evidence import CONFIG, READING

BLOB_CHARS = 60_000
"""Texts of a reading may have 65,536."""
SETTLED_S = 25.0


async def devices_only(scene: Scene) -> None:
    """Nobody publishes at the local node: what it has comes from below, and can come again."""
    scene.load.nodes = ("device",)


async def little_slack(scene: Scene) -> None:
    """Nodes below the cloud give back what is committed as soon as the smallest budget makes them."""
    await devices_only(scene)
    await keep_all(scene)
    for name in ("device", "local"):
        file = scene.site.file(name)
        text = re.sub(r"(?m)^budget_bytes = \d+", f"budget_bytes = {LITTLE_BYTES}", file.read_text("utf-8"))
        file.write_text(text, "utf-8")


async def keep_all(scene: Scene) -> None:
    """No rule leaves anything out or counts it: blocks hold readings and nothing else."""
    for name in PLANS:
        file = scene.site.file(name)
        text = re.sub(r"filter = \{[^}]*\}", 'filter = { kind = "keep" }', file.read_text("utf-8"))
        file.write_text(text, "utf-8")


async def _copy(scene: Scene, name: str, target: Path) -> None:
    """The data directory as it is at one moment: nothing runs in it meanwhile."""
    node = scene.nodes[name]
    node.signal(signal.SIGSTOP)
    await asyncio.sleep(0.02)
    await asyncio.to_thread(shutil.copytree, scene.site.data(name), target)
    node.signal(signal.SIGCONT)


async def _go_back(scene: Scene, name: str, backup: Path | None) -> None:
    """End the node; its data directory becomes the copy, or empty; start it."""
    node, data = scene.nodes[name], scene.site.data(name)
    await node.kill()
    shutil.rmtree(data)
    if backup is None:
        data.mkdir(mode=0o700)
    else:
        shutil.copytree(backup, data)
    await node.start()


async def _received(node: Node) -> int:
    status = await node.look(5.0)
    return status.readings("received") if status is not None else 0


async def parent_restored(scene: Scene) -> Proof:
    """A parent's disk is restored from a copy seconds old: its child still has everything since.

    Proof: readings that the parent had received at its end and not in the copy.
    """
    name = scene.pick("local", "cloud")
    node, backup = scene.nodes[name], scene.site.root / "backup"
    scene.uneven = f"{name} went back"
    async with node.hands:
        await _copy(scene, name, backup)
        then = await _received(node)
        await asyncio.sleep(scene.chance.uniform(0.8, 1.8))
        now = await _received(node)
        await _go_back(scene, name, backup)
    return Proof(
        "parent_restored",
        now > then,
        f"{name} went back by {now - then} readings that its child still has",
        {"gone_back": now - then},
    )


async def _outgrown(scene: Scene, names: tuple[str, ...]) -> bool:
    """Push large readings until these nodes have given files back; whether they have."""
    blobs = Blobs(scene.site, "slack")

    async def given() -> bool:
        return all([await _first_file(scene, name) > 1 for name in names])

    for _ in range(12):
        await blobs.push(60, BLOB_CHARS)
        if await given():
            break
    return await eventually(given, 5.0)


async def _first_file(scene: Scene, name: str) -> int:
    numbers = [
        int(path.stem) for path in (scene.site.data(name) / "outbox/low").iterdir() if path.stem.isdigit()
    ]
    return min(numbers, default=0)


async def parent_restored_old(scene: Scene) -> Proof:
    """A relay's disk is restored from a copy older than what its child still has; the cloud has it all.

    Proof: readings that child and relay book as held above.
    """
    name, backup = "local", scene.site.root / "backup"
    node, child = scene.nodes[name], scene.nodes["device"]
    scene.uneven = f"{name} went back"
    async with node.hands:
        await _copy(scene, name, backup)
        outgrown = await _outgrown(scene, ("device",))
        await scene.load.stop()
        await scene.drained(SETTLED_S)
        await _go_back(scene, name, backup)

        async def settled() -> bool:
            status = await child.look()
            return status is not None and _settled(status, "held_above")

        done = await eventually(settled, SETTLED_S)
    status = await child.look(5.0)
    held = status.readings("held_above") if status is not None else 0
    unknown = status.readings("unknown_by_restore") if status is not None else 0
    if outgrown and not done:
        scene.findings.append(f"held above {held}, still unknown {unknown}: not settled in {SETTLED_S:g} s")
    return Proof(
        "parent_restored_old",
        held > 0,
        f"{name} went back beyond its child's slack: {held} readings are held above, {unknown} unknown",
        {"held_above": held, "unknown": unknown},
    )


def _settled(status: Status, account: str) -> bool:
    return status.readings(account) > 0 and not status.readings("unknown_by_restore")


async def root_restored_old(scene: Scene) -> Proof:
    """The cloud's disk is restored from a copy older than what its child still has.

    Proof: readings that the child books as lost by restore; the cloud's list of gaps names the same number,
    and the blocks that held exactly the readings that are gone.
    """
    name, backup = "cloud", scene.site.root / "backup"
    cloud, child = scene.nodes[name], scene.nodes["local"]
    scene.uneven = f"{name} went back"
    async with cloud.hands:
        await _copy(scene, name, backup)
        outgrown = await _outgrown(scene, ("local",))
        await scene.load.stop()
        await scene.drained(SETTLED_S)
        before = await _rows(cloud)
        await _go_back(scene, name, backup)

        async def settled() -> bool:
            status = await child.look()
            return status is not None and _settled(status, "lost_by_restore")

        done = await eventually(settled, SETTLED_S)
    await scene.drained(SETTLED_S)
    status = await child.look(5.0)
    lost = status.readings("lost_by_restore") if status is not None else 0
    if outgrown and not done:
        scene.findings.append("what is lost by restore was not settled in time")
    gaps = (await cloud.ask("/v1/gaps", QUERY_S))["gaps"]
    told = sum(gap["readings"] or 0 for gap in gaps if gap["reason"] == "lost_by_restore")
    excused = _excused(scene, before, await _rows(cloud), gaps)
    if not told == lost == excused:
        scene.findings.append(
            f"local books {lost} lost by restore, the cloud lists {told}, {excused} rows are gone"
        )
    return Proof(
        "root_restored_old",
        lost > 0,
        f"{name} went back beyond its child's slack: {lost} readings lost, the cloud lists {told}, "
        f"{excused} rows were in those blocks",
        {"lost_by_restore": lost, "listed": told},
    )


async def _rows(cloud: Node) -> list[dict[str, Any]]:
    """All rows that the cloud has, those of rules, too, which are given when they are asked for by name."""
    found: list[dict[str, Any]] = (await cloud.ask(BY_ARRIVAL, QUERY_S))["rows"]
    return found + list((await cloud.ask(f"{BY_ARRIVAL}&kind={CONFIG}", QUERY_S))["rows"])


def _excused(
    scene: Scene, before: list[dict[str, Any]], after: list[dict[str, Any]], gaps: list[dict[str, Any]]
) -> int:
    """Note the readings of the blocks that are listed as lost; how many rows those blocks held."""
    classes = ("critical", "high", "normal", "low")
    here = {(row["_origin"], row["series"], row["seq"], row["ts"]) for row in after}
    rows = 0
    for row in before:
        in_gap = any(
            gap["reason"] == "lost_by_restore"
            and gap["origin"] == row["_origin"]
            and gap["row_class"] == classes[int(row["_class"])]
            and any(low <= row["_k"] <= high for low, high in gap["blocks"])
            for gap in gaps
        )
        if not in_gap:
            continue
        rows += 1
        if (row["_origin"], row["series"], row["seq"], row["ts"]) in here:
            scene.findings.append(f"{row['series']} sequence {row['seq']} is told lost, and is here")
        elif int(row["kind"]) == READING and row["seq"] is not None:
            scene.excused.add((row["_origin"], row["name"], int(row["seq"])))
    return rows


async def child_restored(scene: Scene) -> Proof:
    """A child's disk is restored from an older copy, made while it stood still and nothing waited in it.

    All that it took in since was committed above. Proof: readings that it had given since the copy; the
    parent says that its child went back.
    """
    name, backup = "device", scene.site.root / "backup"
    node, parent = scene.nodes[name], scene.parent_of(name)
    scene.uneven = f"{name} went back"
    async with node.hands:
        await scene.load.stop()
        await scene.drained(SETTLED_S)
        await node.stop()
        await asyncio.to_thread(shutil.copytree, scene.site.data(name), backup)
        then = await _received(parent)
        await node.start()
        await scene.load.start()
        await asyncio.sleep(scene.chance.uniform(0.8, 1.8))
        await scene.load.stop()
        await scene.drained(SETTLED_S)
        now = await _received(parent)
        await _go_back(scene, name, backup)
        await scene.load.start()
        await asyncio.sleep(1.0)
    reported = len(parent.said("child_went_back"))
    return Proof(
        "child_restored",
        now > then and reported > 0,
        f"{name} went back by {now - then} readings; its parent reported it {reported} times",
        {"gone_back": now - then, "reported": reported},
    )


async def child_restored_live(scene: Scene) -> Proof:
    """A child's disk is restored from a copy made while it ran: rows in it were in no block yet.

    All that it took in was committed above. Proof: as of `child_restored`.
    """
    name, backup = "device", scene.site.root / "backup"
    node, parent = scene.nodes[name], scene.parent_of(name)
    scene.uneven = f"{name} went back"
    async with node.hands:
        await _copy(scene, name, backup)
        then = await _received(parent)
        await asyncio.sleep(scene.chance.uniform(0.8, 1.8))
        await scene.load.stop()
        await scene.drained(SETTLED_S)
        now = await _received(parent)
        await _go_back(scene, name, backup)
        await scene.load.start()
        await asyncio.sleep(1.0)
    reported = len(parent.said("child_went_back"))
    return Proof(
        "child_restored_live",
        now > then,
        f"{name} went back by {now - then} readings; its parent reported it {reported} times",
        {"gone_back": now - then, "reported": reported},
    )


async def child_cloned(scene: Scene) -> Proof:
    """An image of a child, made while it was stopped, runs beside it under the same name.

    Proof: the parent reports a clone and refuses it, while the child goes on.
    """
    node = scene.nodes["device"]
    folder = scene.site.directory("clone")
    folder.mkdir()
    async with node.hands:
        await node.stop()
        await asyncio.to_thread(shutil.copytree, scene.site.data("device"), folder / "data")
        await node.start()
    return await _beside(scene, "child_cloned", folder)


async def child_cloned_live(scene: Scene) -> Proof:
    """A copy of a running child runs beside it under the same name: it looks like the child after a restart.

    Proof: as of `child_cloned`.
    """
    folder = scene.site.directory("clone")
    folder.mkdir()
    await _copy(scene, "device", folder / "data")
    return await _beside(scene, "child_cloned_live", folder)


async def _beside(scene: Scene, fault: str, folder: Path) -> Proof:
    """Run the clone for some seconds."""
    parent, ports = scene.nodes["local"], scene.site.ports
    text = scene.site.file("device").read_text("utf-8")
    for old, new in zip((ports.mqtt, ports.http, ports.link), ports.clone, strict=True):
        text = text.replace(f"port = {old['device']}\n", f"port = {new}\n")
    (folder / "node.toml").write_text(text, "utf-8")
    shutil.copytree(scene.site.directory("device") / "certificates", folder / "certificates")
    clone = Node("clone", folder / "node.toml", ports.clone[1], scene.processes)

    async def linked() -> bool:
        status = await scene.nodes["device"].look()
        return status is not None and status.link == "up"

    async def told() -> bool:
        return bool(parent.said("clone"))

    took_s = 0.0
    try:
        await eventually(linked, 10.0)
        before, ups = await _received(parent), len(parent.said("child_up"))
        await clone.start()
        # A clone is asked for itself with a commit of its own.
        await Blobs(scene.site, "clone", "device", port=ports.clone[1], logged=False).push(1, 100)
        began = asyncio.get_running_loop().time()
        await eventually(told, 10.0)
        took_s = asyncio.get_running_loop().time() - began
        await asyncio.sleep(scene.chance.uniform(0.5, 1.5))
        status = await clone.look()
    finally:
        await clone.kill()
    reported, went_on = len(parent.said("clone")), await _received(parent) - before
    trouble = status.link_trouble if status is not None else "no answer"
    ups = len(parent.said("child_up")) - ups
    return Proof(
        fault,
        bool(reported and went_on),
        f"local reported a clone {reported} times after {took_s:.1f} s ({trouble!r}), was called {ups} times "
        f"anew, and took {went_on} readings meanwhile",
        {"reported": reported, "went_on": went_on},
    )


async def parent_replaced(scene: Scene) -> Proof:
    """A parent is replaced by an empty one of the same name while readings wait in it or below it.

    Proof: readings that the old one had received, of which some waited in it.
    """
    name = scene.pick("local", "cloud")
    node = scene.nodes[name]
    scene.uneven = f"{name} was replaced"
    async with node.hands:
        if name == "local":
            await scene.wires["local"].refuse()
        await asyncio.sleep(scene.chance.uniform(0.8, 1.5))
        had, waiting = await _received(node), await scene.pending(name)
        await _go_back(scene, name, None)
        await scene.wires["local"].heal()
    return Proof(
        "parent_replaced",
        had > 0,
        f"{name} had received {had} readings, {waiting} of them waited in it",
        {"had": had, "waiting": waiting},
    )


async def child_reparented(scene: Scene) -> Proof:
    """A child gets another parent while its old one holds readings that it cannot pass on yet.

    Proof: readings that waited in the old parent, and readings that the new one received.
    """
    node, spare = scene.nodes["device"], scene.nodes["spare"]
    scene.uneven = "device changed its parent"
    scene.two_roads = True
    async with node.hands:
        await scene.wires["local"].refuse()
        await asyncio.sleep(scene.chance.uniform(0.8, 1.5))
        waiting = await scene.pending("local")
        await spare.start()
        await node.kill()
        scene.wires["device"].target = scene.site.ports.link["spare"]
        file = scene.site.file("device")
        file.write_text(file.read_text("utf-8").replace(f'"{SITE}/local"', f'"{SITE}/spare"'), "utf-8")
        await node.start()

        async def taken() -> bool:
            return await _received(spare) > 0

        await eventually(taken, SETTLED_S)
        await scene.wires["local"].heal()
    received = await _received(spare)
    return Proof(
        "child_reparented",
        bool(waiting and received),
        f"{waiting} readings waited in the old parent, the new one received {received}",
        {"waiting": waiting, "received": received},
    )
