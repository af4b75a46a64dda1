"""Live readings while a backlog drains, against an idle link: device clock to the parent's commit."""

from __future__ import annotations

import time
from collections.abc import Callable

from benches import generator, tree
from benches.registry import Context, Row, row, say
from benches.servers import KEEP_ALL, Node

ROWS = ("live_p99_drain_vs_idle",)
BACKLOG = 1_000_000
PROBES_PER_S = 500.0
SECONDS = 10.0
LOOK_S = 0.05
"""Between two looks at the child's status: the measurement must not be the load."""
RULES = (
    '[[series]]\nname = "live"\nmatch = "probe/**"\npriority = "critical"\nfilter = { kind = "keep" }\n\n'
    + KEEP_ALL
)


def measure(context: Context) -> list[Row]:
    """Device time and the parent's commit time are of one clock: both nodes are on this machine."""
    with tree.pair(context.work / "drain", RULES) as (child, parent, wire):
        time.sleep(2.0)
        idle, _, _ = _live_p99_ms(child, parent, 0, lambda: _idle(SECONDS))
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

        def drain() -> int:
            wire.restore()
            while child.status()["link"] != "up":
                time.sleep(0.002)
            up_ns = time.time_ns()
            while child.status()["pending_readings"] > BACKLOG // 100:
                time.sleep(LOOK_S)
            return up_ns

        busy, count, drained_s = _live_p99_ms(child, parent, 1, drain)
        say(f"draining: p99 {busy:.2f} ms of {count} readings in {drained_s:.1f} s")
    how = (
        f"p99 {busy:.2f} ms of {count} critical readings made while {BACKLOG:,} readings drained in "
        f"{drained_s:.1f} s ({BACKLOG / drained_s:,.0f} readings/s), against {idle:.2f} ms idle; "
        f"{PROBES_PER_S:g} live readings/s"
    )
    return [row("live_p99_drain_vs_idle", busy / idle, "ratio", how)]


def _idle(seconds: float) -> int:
    time.sleep(1.0)
    began_ns = time.time_ns()
    time.sleep(seconds)
    return began_ns


def _live_p99_ms(
    child: Node, parent: Node, run: int, meanwhile: Callable[[], int]
) -> tuple[float, int, float]:
    """p99 of parent's commit time minus device time of the readings made meanwhile, their number, seconds.

    `meanwhile` returns when they begin to count: after the cut, when the child has called again.
    """
    live = generator.started(
        "load",
        child.port,
        connections=1,
        window=1000,
        rate=PROBES_PER_S,
        seconds=600,
        warmup=0,
        prefix="probe",
        value="jump",
        id_base=run * 10,
    )
    began_ns = meanwhile()
    ended_ns = time.time_ns()
    live.terminate()
    generator.finished(live)
    time.sleep(2.0)
    ages = sorted(
        (one["_arrived_ns"] - one["ts"]) / 1e6
        for one in parent.query(f"probe/c{run * 10}")
        if began_ns <= one["ts"] < ended_ns
    )
    if len(ages) < 100:
        raise RuntimeError(f"only {len(ages)} live readings arrived in {(ended_ns - began_ns) / 1e9:.1f} s")
    return ages[int(len(ages) * 0.99)], len(ages), (ended_ns - began_ns) / 1e9
