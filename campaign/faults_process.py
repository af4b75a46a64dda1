"""Faults of processes: ended at any moment, frozen for seconds."""

from __future__ import annotations

import asyncio
import signal

from campaign.chain import CHAIN
from campaign.scene import Proof, Scene

HOLD_S = 3.0


async def sigkill(scene: Scene) -> Proof:
    """SIGKILL at any moment, right after an acknowledgement, or with acknowledgements held on their way.

    Proof: publishes that no client had an answer for, and readings that waited for the parent, at the kill.
    """
    name = scene.pick(*CHAIN)
    node = scene.nodes[name]
    door = scene.doors.get(name)
    async with node.hands:
        moment = scene.chance.choice(("any", "answer", "held")) if door is not None else "any"
        held = 0
        if door is None or moment == "any":
            await asyncio.sleep(scene.chance.uniform(0.0, 0.5))
        elif moment == "answer":
            await door.answer(HOLD_S)
        else:
            door.hold_answers()
            held = await door.caught(HOLD_S)
        in_flight = sum(one.seen.in_flight for one in scene.doors.values())
        below = {"cloud": "local", "local": "device", "device": "device"}[name]
        ran = node.running
        await node.kill()
        if door is not None:
            door.forget_held()
        waiting = await scene.pending(below) if below != name else 0
        resent = door.seen.resent_after_commit if door is not None else 0
        await asyncio.sleep(scene.chance.uniform(0.05, 0.6))
        waiting = max(waiting, await scene.pending(below) if below != name else 0)
        await node.start()
        if held and door is not None:
            for _ in range(60):
                if door.seen.resent_after_commit > resent:
                    break
                await asyncio.sleep(0.05)
            resent = door.seen.resent_after_commit - resent
        else:
            resent = 0
    return Proof(
        "sigkill",
        ran and bool(in_flight or held or waiting),
        f"{name} at moment {moment!r}: {in_flight} publishes unanswered, {held} answers held back, "
        f"{waiting} readings waiting below, {resent} sent again after their commit",
        {"in_flight": in_flight, "held": held, "waiting": waiting, "resent_after_commit": resent},
    )


async def sigstop(scene: Scene) -> Proof:
    """SIGSTOP for one to four seconds (three is when a parent is given up), then SIGCONT.

    Proof: its last commit is the same before and right after, while readings waited.
    """
    name = scene.pick(*CHAIN)
    node = scene.nodes[name]
    seconds = scene.chance.uniform(1.0, 4.0)
    async with node.hands:
        before = await node.look()
        node.signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        silent = await node.look(0.3) is None
        in_flight = sum(one.seen.in_flight for one in scene.doors.values())
        below = {"cloud": "local", "local": "device"}.get(name)
        waiting = await scene.pending(below) if below else 0
        node.signal(signal.SIGCONT)
    return Proof(
        "sigstop",
        before is not None and silent and bool(in_flight or waiting),
        f"{name} silent for {seconds:.1f} s: {in_flight} publishes unanswered, {waiting} readings waiting",
        {"seconds": round(seconds, 2), "in_flight": in_flight, "waiting": waiting},
    )
