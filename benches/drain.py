"""Live readings while a backlog drains, against an idle link: device clock to the parent's commit."""

from __future__ import annotations

import time

from benches import generator, tree
from benches.registry import Context, Row, row, say
from benches.servers import KEEP_ALL, Node

ROWS = ("live_p99_drain_vs_idle",)
BACKLOG = 1_000_000
PROBES_PER_S = 50.0
SECONDS = 10.0
RULES = (
    '[[series]]\nname = "live"\nmatch = "probe/**"\npriority = "critical"\nfilter = { kind = "keep" }\n\n'
    + KEEP_ALL
)


def measure(context: Context) -> list[Row]:
    """Device time and the parent's commit time are of one clock: both nodes are on this machine."""
    with tree.pair(context.work / "drain", RULES) as (child, parent, wire):
        time.sleep(2.0)
        idle = _live_p99_ms(child, parent, 0)
        say(f"idle: p99 {idle:.2f} ms")
        wire.cut()
        generator.load(
            child.port,
            connections=20,
            window=500,
            total=BACKLOG,
            seconds=300,
            warmup=0,
            prefix="old",
            value="jump",
        )
        wire.restore()
        time.sleep(1.0)
        busy = _live_p99_ms(child, parent, 1)
        left = child.status()["pending_readings"]
        say(f"draining: p99 {busy:.2f} ms, {left} readings still wait")
    how = (
        f"p99 {busy:.2f} ms while {BACKLOG:,} readings drain ({left} still waiting at the end) against "
        f"{idle:.2f} ms idle; {PROBES_PER_S:g} critical readings/s for {SECONDS:g} s each"
    )
    return [row("live_p99_drain_vs_idle", busy / idle, "ratio", how)]


def _live_p99_ms(child: Node, parent: Node, run: int) -> float:
    """p99 of parent's commit time minus device time, milliseconds."""
    generator.load(
        child.port,
        connections=1,
        window=100,
        rate=PROBES_PER_S,
        seconds=SECONDS,
        warmup=0,
        prefix="probe",
        value="jump",
        id_base=run * 10,
    )
    time.sleep(2.0)
    rows = parent.query(f"probe/c{run * 10}")
    ages = sorted((one["_arrived_ns"] - one["ts"]) / 1e6 for one in rows)
    if len(ages) < PROBES_PER_S * SECONDS * 0.9:
        raise RuntimeError(f"only {len(ages)} of {PROBES_PER_S * SECONDS:.0f} live readings arrived")
    return ages[int(len(ages) * 0.99)]
