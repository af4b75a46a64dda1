"""A backlog of 200,000 readings drains while live readings go on: how long, and how old live ones arrive."""

from __future__ import annotations

import subprocess
import time

import msgspec

from benches import generator
from benches.peers.system import Arrival, System
from benches.peers.trials import Sizes

LIVE = "bench/live"
LIVE_PER_S = 200.0
UP_BYTES = 1000
"""So much went north since the cut ended: the edge has called again."""
LOOK_S = 0.05
AFTER_S = 1.5
"""What is on its way may arrive."""
LEAST = 50


class Draining(msgspec.Struct):
    """A drain; ages are from device time to arrival north.

    Attributes:
        backlog: Readings that waited.
        drained_s: From the uplink's return until all of them were north; None if it was given up.
        per_s: Readings that arrived a second, from the uplink's return on.
        idle_p99_ms: p99 of the age of live readings beside nothing.
        live_p99_ms: The same while the backlog drained.
        live_vs_idle: The second over the first.
        outage_written_bytes_per_reading: Written by the edge while it took the backlog.
        pss_peak_mb: Of the edge.
        remarks: What must be said beside the figures.
    """

    backlog: int
    drained_s: float | None
    per_s: float
    idle_p99_ms: float
    live_p99_ms: float
    live_vs_idle: float
    outage_written_bytes_per_reading: float
    pss_peak_mb: float
    remarks: list[str]


def draining(system: System, sizes: Sizes) -> Draining:
    """Live beside nothing; cut; fill; live beside the drain."""
    remarks: list[str] = []
    system.watch(LIVE)
    idle = _idle_p99_ms(system, sizes.idle_s)
    system.wire.cut()
    before, written = system.kept(), system.edge.write_bytes()
    taken = _fill(system, sizes)
    if taken < sizes.backlog:
        remarks.append(f"took {taken:,} of {sizes.backlog:,} readings in {sizes.fill_s:g} s")
    outage = (system.edge.write_bytes() - written) / max(taken, 1)

    live = _live(system, sizes.drain_s + 10)
    sent = system.wire.proxy.bytes_north
    restored = time.monotonic()
    system.wire.restore()
    until = restored + sizes.drain_s
    while system.wire.proxy.bytes_north < sent + UP_BYTES and time.monotonic() < until:
        time.sleep(0.002)
    up_ms, peak = time.time() * 1000, system.edge.pss_mb()
    while (kept := system.kept() - before) < taken and time.monotonic() < until:
        peak = max(peak, system.edge.pss_mb())
        time.sleep(LOOK_S)
    drained_s, drained_ms = time.monotonic() - restored, time.time() * 1000
    drained = kept >= taken
    if not drained:
        remarks.append(
            f"{taken - kept:,} of {taken:,} still waited {sizes.drain_s:g} s after the uplink was back"
        )
    time.sleep(AFTER_S)
    _ended(live)
    busy, missing = live_ages(system.arrived(), LIVE_PER_S, up_ms, drained_ms)
    if missing:
        remarks.append(f"{missing:,} of {len(busy):,} live readings had not arrived: their age so far counts")
    p99 = percentile(busy)
    return Draining(
        backlog=taken,
        drained_s=drained_s if drained else None,
        per_s=min(kept, taken) / drained_s,
        idle_p99_ms=idle,
        live_p99_ms=p99,
        live_vs_idle=p99 / idle,
        outage_written_bytes_per_reading=outage,
        pss_peak_mb=peak,
        remarks=remarks,
    )


def live_ages(arrivals: list[Arrival], per_s: float, from_ms: float, to_ms: float) -> tuple[list[float], int]:
    """Ages of live readings made in a span of time; one that has not arrived is as old as it is by then.

    Readings that did not arrive are taken as made evenly over the end of the span, `per_s` a second.

    Returns:
        Ages in ms, rising; how many of them are of readings that had not arrived.
    """
    inside = [one for one in arrivals if from_ms <= one.made_ms < to_ms]
    ages = [one.arrived_ms - one.made_ms for one in inside]
    expected = int((to_ms - from_ms) / 1000 * per_s * 0.95)
    missing = max(0, expected - len(ages))
    end_ms = to_ms + AFTER_S * 1000
    ages += [end_ms - (to_ms - (index + 0.5) * 1000 / per_s) for index in range(missing)]
    return sorted(ages), missing


def percentile(ages: list[float], share: float = 0.99) -> float:
    """Of rising ages.

    Raises:
        RuntimeError: There are too few to speak of a p99.
    """
    if len(ages) < LEAST:
        raise RuntimeError(f"only {len(ages)} live readings were made in that time")
    return ages[int(len(ages) * share)]


def _fill(system: System, sizes: Sizes) -> int:
    load = system.loading(
        connections=20,
        window=500,
        total=sizes.backlog,
        seconds=sizes.fill_s,
        warmup=0,
        value="jump",
        prefix="bench/old",
    )
    return int(generator.finished(load)["total_acked"])


def _live(system: System, seconds: float) -> subprocess.Popen[bytes]:
    return system.loading(
        connections=1, window=4000, rate=LIVE_PER_S, seconds=seconds, warmup=0, value="jump", prefix=LIVE
    )


def _ended(live: subprocess.Popen[bytes]) -> None:
    live.terminate()
    generator.finished(live)


def _idle_p99_ms(system: System, seconds: float) -> float:
    live = _live(system, seconds + 30)
    time.sleep(0.5)
    from_ms = time.time() * 1000
    time.sleep(seconds)
    to_ms = time.time() * 1000
    _ended(live)
    time.sleep(AFTER_S)
    ages, _ = live_ages(system.arrived(), LIVE_PER_S, from_ms, to_ms)
    return percentile(ages)
