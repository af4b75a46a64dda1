"""What a soak found, as the one JSON object that it prints, and what has to hold."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from soak.counting import Arrived
from soak.cutting import Cut
from soak.generating import Total
from soak.sampling import Sample
from soak.site import CHILD, PARENT
from soak.trends import LEAST, Quartiles, Slope, by_cycle, quartiles, slope

WARM_UP = 1 / 3
"""Share of the cycles that are not looked at, at least one: caches, segments and what is remembered fill."""
TOO_SMALL = 0.01
"""A slope above 0 for certain, yet below this share of the memory an hour, is not held against it."""
SHORT_GROWTH_MB = 48.0
"""Where there are too few cycles for bounds: the most that memory may grow behind the warm-up."""
MORE = 2
"""Descriptors and threads more in the last cycle than in the first; a call answered just then has one."""
SHORT_MORE = 16
"""The same where there are too few cycles for bounds: a node keeps so many files open that it wrote to."""
SLOWER = 1.25
"""Latency has grown when its slope is above 0 for certain and the last quarter is so many times the first."""
MUCH_SLOWER = 5.0
"""Where there are too few cycles for bounds: its better samples are so many times the worse of the first."""
MADE_UP = 0.5
"""Share of the cuts whose backlog has to be gone before the next one; at the end everything has to be."""
RATE_KEPT = 0.98
"""Share of the load that was asked for that has to be acknowledged."""


class Memory(msgspec.Struct, frozen=True):
    """Of one node, in 10^6 bytes of PSS; cycle medians behind the warm-up.

    Attributes:
        slope_mb_per_h: Theil-Sen.
        low_mb_per_h, high_mb_per_h: Its bounds at 95 %: the noise. None with too few cycles.
        growth_mb: What it comes to over the cycles that were looked at.
        median_mb, peak_mb: Of these cycles; of all samples.
        cycles: That were looked at.
        flat: Whether the slope is within the noise.
    """

    slope_mb_per_h: float
    low_mb_per_h: float | None
    high_mb_per_h: float | None
    growth_mb: float
    median_mb: float
    peak_mb: float
    cycles: int
    flat: bool


class Kept(msgspec.Struct, frozen=True):
    """Descriptors or threads of one node: in the first cycle behind the warm-up, and in the last.

    Attributes:
        begin, end: Medians of these cycles.
        level: Whether they do not grow.
    """

    begin: float
    end: float
    level: bool


class Latency(msgspec.Struct, frozen=True):
    """Acknowledgements, ms: quartiles over the samples of the first and of the last quarter of the time.

    Attributes:
        first, last: Of each sample's p50, or p99.
        growth: Whether it has grown.
    """

    first: Quartiles
    last: Quartiles
    growth: bool


class Books(msgspec.Struct, frozen=True):
    """What the nodes say at the end, readings.

    Attributes:
        offered, kept: To and by the child.
        given: Committed by its parent, says the child; its own rows included.
        taken: Received from the child, says the parent.
    """

    offered: int
    kept: int
    given: int
    taken: int


class Outcome(msgspec.Struct):
    """The first members, to `holds`, are what `--json` promises.

    Attributes:
        seconds: Of load.
        points: Readings that were published.
        acked: Of these, acknowledged.
        arrived: Of these, read from the parent's files.
        lost, duplicated, reordered: See `soak.counting`.
        balanced: Whether every look at the books of both, and the two against each other, agreed.
        memory, descriptors, threads: By node.
        latency: "p50" and "p99".
        cuts: Of the uplink.
        holds: What has to hold, and whether it does.
        rate, readings_per_publish, connections: Asked for.
        acked_per_s: Readings.
        generator_idle_share: Near 0 it would have been the bottleneck.
        found: What was read from the parent's files.
        books: At the end.
        findings: In words.
        samples: All of them.
        machine: Where this was.
        budget_bytes: Of the child's disk, 0 for half of what is free.
    """

    seconds: float
    points: int
    acked: int
    arrived: int
    lost: int
    duplicated: int
    reordered: int
    balanced: bool
    memory: dict[str, Memory]
    descriptors: dict[str, Kept]
    threads: dict[str, Kept]
    latency: dict[str, Latency]
    cuts: list[Cut]
    holds: dict[str, bool]
    rate: float
    readings_per_publish: int
    connections: int
    acked_per_s: float
    generator_idle_share: float
    found: Arrived
    books: Books
    findings: list[str]
    samples: list[Sample]
    machine: dict[str, object]
    budget_bytes: int = 0

    @property
    def good(self) -> bool:
        """Everything holds."""
        return all(self.holds.values())


def memory_of(samples: Sequence[Sample], node: str, skip: int) -> Memory:
    """Whether a node's memory is flat."""
    at_s, values = by_cycle(samples, lambda one: one.nodes[node].pss_mb, skip)
    found: Slope = slope(at_s, values)
    if len(values) >= LEAST:
        flat = not found.creeps or found.per_h < TOO_SMALL * found.median
    else:
        flat = bool(values) and values[-1] - values[0] <= SHORT_GROWTH_MB
    return Memory(
        slope_mb_per_h=round(found.per_h, 3),
        low_mb_per_h=None if found.low_per_h is None else round(found.low_per_h, 3),
        high_mb_per_h=None if found.high_per_h is None else round(found.high_per_h, 3),
        growth_mb=round(found.growth, 3),
        median_mb=round(found.median, 2),
        peak_mb=round(max((one.nodes[node].pss_mb for one in samples), default=0.0), 2),
        cycles=len(values),
        flat=flat,
    )


def skipped(samples: Sequence[Sample]) -> int:
    """Cycles of the warm-up."""
    cycles = len({one.cycle for one in samples})
    return max(1, round(cycles * WARM_UP))


def kept_of(samples: Sequence[Sample], node: str, what: str, skip: int) -> Kept:
    """Descriptors or threads, medians of cycles."""
    at_s, values = by_cycle(samples, lambda one: getattr(one.nodes[node], what), skip)
    if not values:
        return Kept(0, 0, False)
    more = values[-1] - values[0]
    if len(values) < LEAST:
        return Kept(values[0], values[-1], more <= SHORT_MORE)
    return Kept(values[0], values[-1], more <= MORE or not slope(at_s, values).creeps)


def latency_of(samples: Sequence[Sample], what: str, skip: int) -> Latency:
    """Whether acknowledgements take longer at the end than behind the warm-up."""
    behind = [one for one in samples if one.cycle >= skip]
    quarter = max(1, len(behind) // 4)
    first = quartiles([getattr(one, what) for one in behind[:quarter]])
    last = quartiles([getattr(one, what) for one in behind[-quarter:]])
    at_s, values = by_cycle(samples, lambda one: getattr(one, what), skip)
    if len(values) < LEAST:
        return Latency(first, last, last.q1 > MUCH_SLOWER * first.q3)
    return Latency(first, last, slope(at_s, values).creeps and last.q2 > SLOWER * first.q2)


def judged(
    samples: list[Sample],
    cuts: list[Cut],
    total: Total,
    found: Arrived,
    books: Books,
    findings: list[str],
    *,
    seconds: float,
    rate: float,
    readings: int,
    connections: int,
    machine: dict[str, object],
    budget_bytes: int = 0,
) -> Outcome:
    """Everything together."""
    skip = skipped(samples)
    acked = total.total_acked * readings
    nodes = (CHILD, PARENT)
    memory = {node: memory_of(samples, node, skip) for node in nodes}
    descriptors = {node: kept_of(samples, node, "descriptors", skip) for node in nodes}
    threads = {node: kept_of(samples, node, "threads", skip) for node in nodes}
    latency = {name: latency_of(samples, f"{name}_ms", skip) for name in ("p50", "p99")}
    looks = [node.balanced for one in samples for node in one.nodes.values() if node.balanced is not None]
    agree = books.offered == books.kept >= acked and books.given == books.taken
    balanced = bool(looks) and all(looks) and agree
    whole = total.total_sent == total.total_acked
    holds = {
        "nothing lost": found.lost == 0 and not found.damage,
        "nothing duplicated": found.duplicated == 0,
        "nothing reordered": found.reordered == 0,
        "every publish acknowledged": whole and not total.failed,
        "bytes arrived are bytes sent": not whole or found.bytes == total.total_payload_bytes,
        "books balanced": balanced,
        "memory flat": all(one.flat for one in memory.values()),
        "no descriptor leaks": all(one.level for one in descriptors.values()),
        "no thread leaks": all(one.level for one in threads.values()),
        "latency does not grow": not any(one.growth for one in latency.values()),
        "rate kept": acked >= RATE_KEPT * rate * seconds,
        "every cut hurt": bool(cuts) and all(one.waiting >= rate * one.seconds / 2 for one in cuts),
        "cuts are made up for": sum(one.drained_s is not None for one in cuts) >= MADE_UP * len(cuts),
        "nothing else happened": not findings,
    }
    return Outcome(
        seconds=round(seconds, 2),
        points=total.total_sent * readings,
        acked=acked,
        arrived=found.rows,
        lost=found.lost,
        duplicated=found.duplicated,
        reordered=found.reordered,
        balanced=balanced,
        memory=memory,
        descriptors=descriptors,
        threads=threads,
        latency=latency,
        cuts=cuts,
        holds=holds,
        rate=rate,
        readings_per_publish=readings,
        connections=connections,
        acked_per_s=round(acked / seconds, 1),
        generator_idle_share=round(total.idle_share, 4),
        found=found,
        books=books,
        findings=findings,
        samples=samples,
        machine=machine,
        budget_bytes=budget_bytes,
    )


def told(outcome: Outcome) -> str:
    """The outcome for a terminal."""
    shape = f"{outcome.readings_per_publish} a publish, {outcome.connections} connections"
    lines = [f"{outcome.seconds:,.0f} s at {outcome.acked_per_s:,.0f} readings/s ({shape})"]
    counts = ("acked", "arrived", "lost", "duplicated", "reordered")
    lines.append(", ".join(f"{name} {getattr(outcome, name):,}" for name in counts))
    for name, one in outcome.memory.items():
        noise = "too few cycles" if one.low_mb_per_h is None else f"{one.low_mb_per_h} to {one.high_mb_per_h}"
        kept = outcome.descriptors[name]
        lines.append(
            f"{name}: {one.median_mb} MB, {one.slope_mb_per_h:+} MB/h ({noise}), "
            f"descriptors {kept.begin:g} to {kept.end:g}"
        )
    for name, late in outcome.latency.items():
        lines.append(
            f"ack {name}: {late.first.q2:.2f} ms in the first quarter, {late.last.q2:.2f} in the last"
        )
    if outcome.cuts:
        drained = median([one.drained_s for one in outcome.cuts if one.drained_s is not None] or [0])
        waited = max(one.waiting for one in outcome.cuts)
        lines.append(
            f"{len(outcome.cuts)} cuts: up to {waited:,} waiting, drained in {drained:.1f} s (median)"
        )
    lines += [f"{'holds' if good else 'DOES NOT HOLD'}: {name}" for name, good in outcome.holds.items()]
    return "\n".join([*lines, *outcome.findings])
