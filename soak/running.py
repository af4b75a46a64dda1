"""One soak: the site, the load, the cuts, a look every few seconds, the drain, and the count."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from benches.machine import machine
from campaign.chain import Site
from campaign.nodes import Node
from campaign.scene import eventually
from campaign.wire import Wire

from headland.demo.processes import ProcessGroup, group
from headland.vocabulary import HeadlandError
from soak.counting import count
from soak.cutting import Cutter
from soak.generating import Generator, Shape
from soak.outcome import Books, Outcome, judged
from soak.sampling import Sample, look, sample
from soak.site import CHILD, PARENT, make_site

STEADY_S = 2.0
DRAIN_S = 120.0
STILL = 3
"""Looks in a row at which nothing waits."""
TOLD_S = 60.0


class Options(msgspec.Struct, frozen=True):
    """What is run.

    Attributes:
        shape: The load.
        cut_every_s: From the begin of one cut to that of the next.
        cut_for_s: How long each takes.
        sample_s: Between two looks.
        budget_bytes: Of the child's disk.
        keep: Directory that the nodes are left in; None to delete them.
    """

    shape: Shape
    cut_every_s: float
    cut_for_s: float
    sample_s: float
    budget_bytes: int
    keep: Path | None = None


async def run(options: Options, say: Callable[[str], None]) -> Outcome:
    """Run it; every process that was started has ended when this returns or raises.

    Raises:
        HeadlandError: A node or the load could not be started, or ended.
        NoCompiler: The load generator cannot be made here.
    """
    root = options.keep or Path(tempfile.mkdtemp(prefix="headland-soak-"))
    root.mkdir(parents=True, exist_ok=True)
    try:
        async with group() as processes:
            return await _run(options, await make_site(root, options.budget_bytes), processes, say)
    finally:
        if options.keep is None:
            shutil.rmtree(root, ignore_errors=True)


async def _run(options: Options, site: Site, processes: ProcessGroup, say: Callable[[str], None]) -> Outcome:
    nodes = {name: Node(name, site.file(name), site.ports.http[name], processes) for name in (PARENT, CHILD)}
    wire = Wire(site.ports.wire[CHILD], site.ports.link[PARENT], random.Random(1))
    shape = options.shape
    generator = Generator(site.ports.mqtt[CHILD], shape)
    cutter = Cutter(wire, nodes[CHILD], options.cut_every_s, options.cut_for_s, shape.rate)
    findings: list[str] = []
    try:
        await wire.open()
        for node in nodes.values():
            await node.start()
        await asyncio.sleep(STEADY_S)
        await generator.start()
        began = time.monotonic()
        watching = asyncio.create_task(_watch(options, site, nodes, generator, cutter, began, say))
        cutting = asyncio.create_task(cutter.run(began, shape.seconds))
        try:
            samples = await watching
        finally:
            cutting.cancel()
            await asyncio.gather(cutting, return_exceptions=True)
        total = await generator.total()
        await wire.heal()
        findings += await _ended(nodes)
        books = await _books(nodes)
        # The child first, so that it can say goodbye; each writes what it has.
        for name in (CHILD, PARENT):
            code = await nodes[name].stop()
            findings += [f"{name} ended with {code}"] if code else []
    finally:
        await generator.end()
        for node in nodes.values():
            await node.kill()
        await wire.close()
    say("reading what the parent stores")
    acked = [publishes * shape.readings for publishes in total.acked_by_connection]
    found = await asyncio.to_thread(count, site.file(PARENT), acked)
    findings += found.damage
    return judged(
        samples,
        cutter.cuts,
        total,
        found,
        books,
        findings,
        seconds=shape.seconds,
        rate=shape.rate,
        readings=shape.readings,
        connections=shape.connections,
        machine=machine(),
        budget_bytes=options.budget_bytes,
    )


async def _watch(
    options: Options,
    site: Site,
    nodes: dict[str, Node],
    generator: Generator,
    cutter: Cutter,
    began: float,
    say: Callable[[str], None],
) -> list[Sample]:
    """Look every few seconds until the load has ended."""
    samples: list[Sample] = []
    told = began
    while True:
        await asyncio.sleep(max(0.0, began + (len(samples) + 1) * options.sample_s - time.monotonic()))
        if not generator.running:
            return samples
        figures = {name: await look(node, site.data(name)) for name, node in nodes.items()}
        cycle = int((time.monotonic() - began) / options.cut_every_s)
        samples.append(sample(began, cycle, cutter.cut, generator.newest, options.shape.readings, figures))
        if time.monotonic() - told >= TOLD_S:
            told = time.monotonic()
            say(_line(samples[-1]))


def _line(one: Sample) -> str:
    nodes = ", ".join(
        f"{name} {node.pss_mb:.1f} MB {node.descriptors} descriptors" for name, node in one.nodes.items()
    )
    state = "cut" if one.cut else "up"
    return (
        f"{one.at_s:,.0f} s {state}: {one.acked:,} acked, p50 {one.p50_ms:.2f} ms p99 {one.p99_ms:.2f} ms, "
        f"{one.nodes[CHILD].waiting:,} waiting, {nodes}"
    )


async def _ended(nodes: dict[str, Node]) -> list[str]:
    """Wait until nothing waits any more; what is wrong with that."""
    quiet = 0

    async def still() -> bool:
        nonlocal quiet
        status = await nodes[CHILD].look()
        empty = status is not None and not status.pending_readings and not status.unsealed_rows
        quiet = quiet + 1 if empty else 0
        return quiet >= STILL

    found = [] if await eventually(still, DRAIN_S) else [f"not drained {DRAIN_S:g} s after the load"]
    for node in nodes.values():
        status = await node.look(10.0)
        if status is None:
            found.append(f"{node.name} does not answer at the end")
        elif status.alarms:
            found += [f"{node.name} has an alarm: {kind} {text}" for _, kind, text in status.alarms]
    return found


async def _books(nodes: dict[str, Node]) -> Books:
    """What both say.

    Raises:
        HeadlandError: One says nothing.
    """
    child, parent = await nodes[CHILD].look(10.0), await nodes[PARENT].look(10.0)
    if child is None or parent is None:
        raise HeadlandError("a node does not answer at the end of the load")
    if not (child.balanced and parent.balanced):
        return Books(0, 0, 0, -1)
    return Books(
        child.readings("offered"),
        child.readings("kept"),
        child.readings("committed"),
        parent.readings("received"),
    )
