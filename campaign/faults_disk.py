"""Faults of the disk below a node: full, read-only, slow, cut off from its power."""

from __future__ import annotations

import asyncio
import re

from campaign.chain import BUDGET_BYTES, LITTLE_BYTES, PLANS
from campaign.disks import FileDisk, SmallDisk
from campaign.load import Blobs
from campaign.scene import Proof, Scene, eventually
from headland.vocabulary import HeadlandError

SMALL_BYTES = BUDGET_BYTES + (16 << 20)
SEEN_S = 8.0


async def small_disk(scene: Scene) -> None:
    """A node, by chance, gets a small tmpfs."""
    name = scene.pick("device", "local")
    disk = SmallDisk(scene.site.data(name))
    await disk.mount(SMALL_BYTES)
    scene.disks["small"] = (name, disk)


async def own_disk(scene: Scene) -> None:
    """A node, by chance, gets a file system of its own."""
    if "own" in scene.disks:
        return
    name = scene.pick("device", "local", "cloud")
    disk = FileDisk(scene.site.data(name), scene.site.root / f"{name}.img")
    await disk.mount()
    scene.disks["own"] = (name, disk)


async def full(scene: Scene) -> Proof:
    """Everything that is free is taken while large readings come, and given back seconds later.

    Proof: the kernel said ENOSPC, and the node refused to take anything in, or found no space for a commit.
    """
    name, disk = scene.disks["small"]
    assert isinstance(disk, SmallDisk)
    node = scene.nodes[name]
    taken, errors = disk.fill()
    blobs = Blobs(scene.site, "full", name)
    pushing = asyncio.create_task(blobs.push(60, 58_000))
    stalled, refusal = False, ""

    async def seen() -> bool:
        nonlocal stalled, refusal
        status = await node.look()
        if status is not None:
            stalled |= status.disk_full
            refusal = status.refusing or refusal
        return bool(stalled or refusal)

    try:
        await eventually(seen, SEEN_S)
        await asyncio.sleep(scene.chance.uniform(0.5, 2.0))
        await seen()
    finally:
        disk.empty()
    await pushing
    return Proof(
        "disk_full",
        bool(errors and (stalled or refusal)),
        f"{name}: {taken} bytes taken until ENOSPC; no space for a commit: {stalled}, refused: {refusal!r}, "
        f"{blobs.busy} pushes answered 503",
        {"taken": taken, "enospc": errors, "stalled": stalled, "busy": blobs.busy},
    )


async def little_budget(scene: Scene) -> None:
    """The device has the smallest disk budget, and nothing that may be shed."""
    for name in PLANS:
        file = scene.site.file(name)
        text = re.sub(r'priority = "\w+"', 'priority = "critical"', file.read_text("utf-8"))
        text = re.sub(r'name = "(rest|power)"\n', r'name = "\1"\npriority = "critical"\n', text)
        if name == "device":
            text = re.sub(r"(?m)^budget_bytes = \d+", f"budget_bytes = {LITTLE_BYTES}", text)
        file.write_text(text, "utf-8")


async def budget_full(scene: Scene) -> Proof:
    """The wire is down while more comes than the disk budget holds, all of it critical: it has to be refused.

    Proof: pushes answered 503, the node's own word that its budget is used up, readings that waited.
    """
    node, wire = scene.nodes["device"], scene.wires["device"]
    blobs = Blobs(scene.site, "budget")
    refusal = ""
    async with wire.hands:
        await wire.refuse()
        taken = 0
        for _ in range(40):
            taken += await blobs.push(20, 58_000, tries=1)
            status = await node.look()
            refusal = status.refusing if status is not None else refusal
            if refusal:
                break
        await asyncio.sleep(scene.chance.uniform(0.5, 1.5))
        waiting = await scene.pending("device")
        await wire.heal()
    return Proof(
        "budget_full",
        bool(refusal and blobs.busy and waiting),
        f"device: {taken} large readings taken, {blobs.busy} answered 503 ({refusal!r}), {waiting} waiting",
        {"taken": taken, "busy": blobs.busy, "waiting": waiting},
    )


async def read_only(scene: Scene) -> Proof:
    """The file system finds an error and becomes read-only; a second later it is mounted anew.

    Proof: EROFS, and the end of the process, which must acknowledge nothing more.
    """
    name, disk = scene.disks["own"]
    assert isinstance(disk, FileDisk)
    node = scene.nodes[name]
    async with node.hands:
        in_flight = sum(door.seen.in_flight for door in scene.doors.values())
        node.excused = "its disk is read-only"
        refused = await disk.report_error()

        async def over() -> bool:
            return not node.running

        ended = await eventually(over, SEEN_S)
        code = node.code
        await asyncio.sleep(scene.chance.uniform(0.2, 1.0))
        await node.kill()
        await disk.again()
        await node.start()
        node.excused = ""
    return Proof(
        "read_only",
        refused and ended,
        f"{name}: EROFS {refused}, it ended with {code}, {in_flight} publishes unanswered",
        {"erofs": refused, "ended": ended, "in_flight": in_flight},
    )


async def slow_sync(scene: Scene) -> Proof:
    """Writes and syncs wait for half a second to two seconds, several times (the file system is frozen).

    Proof: the newest durable commit stayed the same meanwhile, although publishes or readings waited.
    """
    name, disk = scene.disks["own"]
    assert isinstance(disk, FileDisk)
    node = scene.nodes[name]
    below = {"cloud": "local", "local": "device"}.get(name)
    stuck, seconds, waiting = 0, 0.0, 0
    for _ in range(3):
        span = scene.chance.uniform(0.5, 1.5)
        freezing = asyncio.create_task(disk.freeze(span))
        await asyncio.sleep(0.15)
        before = await node.look()
        await asyncio.sleep(span - 0.25)
        after = await node.look()
        waiting += sum(door.seen.in_flight for door in scene.doors.values())
        waiting += await scene.pending(below) if below else 0
        try:
            await freezing
        except HeadlandError as problem:  # by chance another fault has the file system
            scene.findings.append(str(problem))
        seconds += span
        stuck += before is not None and after is not None and before.durable_n == after.durable_n
        await asyncio.sleep(0.2)
    return Proof(
        "slow_fsync",
        bool(stuck and waiting),
        f"{name}: {stuck} of 3 times nothing became durable, {seconds:.1f} s in all, {waiting} waited",
        {"stuck": stuck, "seconds": round(seconds, 2), "waiting": waiting},
    )


async def power_cut(scene: Scene) -> Proof:
    """SIGKILL, and what was written and not synced is forgotten, as when the power goes.

    Proof: a file that the harness wrote and did not sync is gone; bytes of the node's files that are, too.
    """
    name, disk = scene.disks["own"]
    assert isinstance(disk, FileDisk)
    node, door = scene.nodes[name], scene.doors.get(name)
    async with node.hands:
        if door is not None:
            await door.answer(2.0)
        in_flight = sum(one.seen.in_flight for one in scene.doors.values())
        await node.kill()
        gone, differing = await disk.cut_power()
        await node.start()
    return Proof(
        "power_cut",
        gone,
        f"{name}: what was not synced is gone, {differing} bytes of it the node's; {in_flight} unanswered",
        {"differing": differing, "in_flight": in_flight},
    )
