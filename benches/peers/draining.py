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
LOOK_S = 0.05
AFTER_S = 1.5
"""What is on its way may arrive."""
LEAST = 50


class Draining(msgspec.Struct):
    """A drain; ages are from device time to arrival north.

    Attributes:
        backlog: Readings that waited.
        drained_s: From the uplink's return until all of them were north; None if it was given up.
        per_s: Readings that arrived a second, from when it had called again on.
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
    live_p99_ms: float | None
    live_vs_idle: float | None
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

    live = _live(system, sizes.call_s + sizes.drain_s + 10)
    sent = system.wire.proxy.bytes_north
    restored = time.monotonic()
    system.wire.restore()
    while system.wire.proxy.bytes_north < sent + system.hello_bytes:
        if time.monotonic() > restored + sizes.call_s:
            raise RuntimeError(f"nothing went north in {sizes.call_s:g} s since the uplink is back")
        time.sleep(0.002)
    up, up_ms, peak = time.monotonic(), time.time() * 1000, system.edge.pss_mb()
    while (kept := system.kept() - before) < taken and time.monotonic() < up + sizes.drain_s:
        peak = max(peak, system.edge.pss_mb())
        time.sleep(LOOK_S)
    ended, ended_ms = time.monotonic(), time.time() * 1000
    if kept < taken:
        remarks.append(
            f"{taken - kept:,} of {taken:,} readings still waited {sizes.drain_s:g} s after the first went"
        )
    time.sleep(AFTER_S)
    _ended(live)
    p99 = _busy_p99_ms(system, up_ms, ended_ms, remarks)
    return Draining(
        backlog=taken,
        drained_s=ended - restored if kept >= taken else None,
        per_s=min(kept, taken) / (ended - up),
        idle_p99_ms=idle,
        live_p99_ms=p99,
        live_vs_idle=None if p99 is None else p99 / idle,
        outage_written_bytes_per_reading=outage,
        pss_peak_mb=peak,
        remarks=remarks,
    )


def _busy_p99_ms(system: System, from_ms: float, to_ms: float, remarks: list[str]) -> float | None:
    ages, missing = live_ages(system.arrived(), LIVE_PER_S, from_ms, to_ms)
    if missing:
        remarks.append(f"{missing:,} of {len(ages):,} live readings had not arrived: their age so far counts")
    if len(ages) < LEAST:
        remarks.append(f"the drain was over too soon for a p99: {len(ages)} live readings")
        return None
    return percentile(ages)


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
        window=100,
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
