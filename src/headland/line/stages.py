"""Stages and their budgets: what was promised, what was measured, and which misses had which cause.

A histogram has 16 buckets per doubling from 64 ns to 137 s (durations outside are counted in the first and
last one), so a percentile is wrong by at most 1/16 of itself; the maximum is exact. Memory is fixed: 32
doublings x 16 counters a stage. A deadline miss is an outcome that is reported, never hidden.

Budgets by tier (published: immediate response < 1 ms on the device, real-time analytics < 10 ms locally,
aggregation < 50 ms regionally, 100 ms and more in the cloud):

========  =========================================  ======  ======  ========  =======
stage     measures                                   device  local   regional  cloud
========  =========================================  ======  ======  ========  =======
decide    read, poll or push to actuation handed on  1 ms    10 ms   50 ms     100 ms
filter    rules and filters, to rows in the draft    1 ms    10 ms   50 ms     100 ms
commit    closing of a commit to its fsync           measured without a budget
ack       first row of a commit to its answers       measured without a budget
forward   a block's commit to the parent's answer    5, 10, 30, 60 s: the class's own
========  =========================================  ======  ======  ========  =======

Deciding and filtering are observed once for each reading, and for nothing else: readings that come together
count with the time of the oldest. An actuation is handed on when it is in its subscriber's socket, or with
those who post and execute. A reading without one is counted at the moment at which it would have been.

Forwarding is a stage for each class; its budget is the class's published timeout (`initial_timeout_s`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from headland.vocabulary import Tier

_STEPS = 16
_LOWEST = 6
_DOUBLINGS = 32
_SIZE = _DOUBLINGS * _STEPS

SHOWN = range(8, 29)
"""Doublings at whose ends metrics show a bucket: 33 us to 34 s."""

MS = 1_000_000


class StageName(StrEnum):
    """What is measured."""

    DECIDE = "decide"
    FILTER = "filter"
    COMMIT = "commit"
    ACK = "ack"
    FORWARD_CRITICAL = "forward_critical"
    FORWARD_HIGH = "forward_high"
    FORWARD_NORMAL = "forward_normal"
    FORWARD_LOW = "forward_low"


FORWARD = (
    StageName.FORWARD_CRITICAL,
    StageName.FORWARD_HIGH,
    StageName.FORWARD_NORMAL,
    StageName.FORWARD_LOW,
)
"""The stage of each class, in order of `Priority`."""


class Cause(StrEnum):
    """Why a deadline was missed: where most of the time went."""

    WAITED = "waited"
    """Behind other clients' readings, or behind what took less than a tenth of a millisecond each."""
    DECODING = "decoding"
    """Its own bytes to packets, payloads to readings."""
    RULES = "rules"
    FILTERS = "filters"
    ACTUATING = "actuating"
    """Handing its actuations on."""
    GARBAGE = "garbage"
    """The interpreter looked for garbage."""
    DISK = "disk"
    """Commits: closing and finishing them, or a connection that is not read until they have caught up."""
    LINK = "link"
    """Blocks of children, blocks to the parent."""
    PARENT = "parent"
    UNKNOWN = "unknown"


TIER_BUDGET_NS: dict[Tier, int] = {
    Tier.DEVICE: 1 * MS,
    Tier.LOCAL: 10 * MS,
    Tier.REGIONAL: 50 * MS,
    Tier.CLOUD: 100 * MS,
}
"""The published budget of each tier."""
BUDGETED = (StageName.DECIDE, StageName.FILTER)
"""Stages that a tier's budget binds; the others are measured without one."""


class Percentiles(msgspec.Struct, frozen=True):
    """Latencies of a stage in milliseconds, and its misses.

    Attributes:
        count: Observations.
        p50, p99, p99_9, max: Milliseconds; 0 without observations.
        budget_ms: The budget, or None.
        misses: Observations above the budget.
        causes: Misses by cause.
    """

    count: int
    p50: float
    p99: float
    p99_9: float
    max: float
    budget_ms: float | None
    misses: int
    causes: dict[str, int]


class Histogram:
    """Durations in ns by logarithmic buckets.

    Attributes:
        counts: Observations by bucket.
        count: Observations.
        sum_ns: Their sum.
        max_ns: The longest, exactly.
    """

    __slots__ = ("count", "counts", "max_ns", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * _SIZE
        self.count = 0
        self.sum_ns = 0
        self.max_ns = 0

    def observe(self, ns: int, times: int = 1) -> None:
        """Count one duration, so many times."""
        self.count += times
        self.sum_ns += ns * times
        if ns > self.max_ns:
            self.max_ns = ns
        power = ns.bit_length() - 1
        if power < _LOWEST:
            self.counts[0] += times
        elif power >= _LOWEST + _DOUBLINGS:
            self.counts[-1] += times
        else:
            self.counts[(power - _LOWEST) * _STEPS + (ns >> (power - 4)) - _STEPS] += times

    def merge(self, other: Histogram) -> None:
        """Add the observations of another."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.count += other.count
        self.sum_ns += other.sum_ns
        self.max_ns = max(self.max_ns, other.max_ns)

    def quantile_ns(self, share: float) -> int:
        """Upper edge of the bucket that holds the duration at `share` (0 to 1), at most the maximum."""
        rank = share * self.count
        seen = 0
        for index, count in enumerate(self.counts):
            seen += count
            if count and seen >= rank:
                return min(self.max_ns, upper_edge_ns(index))
        return self.max_ns

    def buckets(self) -> list[tuple[int, int]]:
        """(upper edge in ns, observations) of each bucket that has any."""
        return [(upper_edge_ns(index), count) for index, count in enumerate(self.counts) if count]

    def cumulative(self) -> list[tuple[int, int]]:
        """(edge in ns, observations below it) at every doubling of `SHOWN`."""
        sums: list[tuple[int, int]] = []
        below = 0
        for doubling in range(SHOWN.stop):
            below += sum(self.counts[doubling * _STEPS : (doubling + 1) * _STEPS])
            if doubling in SHOWN:
                sums.append((upper_edge_ns((doubling + 1) * _STEPS - 1), below))
        return sums


def upper_edge_ns(index: int) -> int:
    """Where a bucket ends."""
    doubling, step = divmod(index, _STEPS)
    return (_STEPS + step + 1) << (doubling + _LOWEST - 4)


class Stage:
    """One stage: its histogram, its budget and its misses.

    Attributes:
        histogram: Durations.
        budget_ns: The budget, or None.
        causes: Misses by cause.
    """

    __slots__ = ("budget_ns", "causes", "histogram", "misses")

    def __init__(self, budget_ns: int | None) -> None:
        self.histogram = Histogram()
        self.budget_ns = budget_ns
        self.misses = 0
        self.causes: dict[Cause, int] = {}

    def fits(self, ns: int) -> bool:
        """Whether a duration is within the budget."""
        return self.budget_ns is None or ns <= self.budget_ns

    def observe(self, ns: int, cause: Cause = Cause.UNKNOWN, times: int = 1) -> bool:
        """Count one duration, so many times; whether it missed the budget (then `cause` is why)."""
        self.histogram.observe(ns, times)
        if self.budget_ns is None or ns <= self.budget_ns:
            return False
        self.misses += times
        self.causes[cause] = self.causes.get(cause, 0) + times
        return True

    def percentiles(self) -> Percentiles:
        """What status and metrics show."""
        histogram = self.histogram
        return Percentiles(
            histogram.count,
            histogram.quantile_ns(0.5) / MS,
            histogram.quantile_ns(0.99) / MS,
            histogram.quantile_ns(0.999) / MS,
            histogram.max_ns / MS,
            None if self.budget_ns is None else self.budget_ns / MS,
            self.misses,
            {str(cause): count for cause, count in sorted(self.causes.items())},
        )


class Stages:
    """All stages of a node of one tier.

    Attributes:
        by_name: The stages.
    """

    def __init__(self, tier: Tier, budgets_ms: dict[str, float] | None = None) -> None:
        """Budgets of the tier, with those of `budgets_ms` (stage name to milliseconds) instead."""
        own = budgets_ms or {}
        self.by_name: dict[StageName, Stage] = {}
        for name in StageName:
            default = TIER_BUDGET_NS[tier] if name in BUDGETED else None
            self.by_name[name] = Stage(int(own[name] * MS) if name in own else default)

    def __getitem__(self, name: StageName) -> Stage:
        return self.by_name[name]

    def aim(self, budgets_ms: dict[str, float]) -> None:
        """Other budgets, by name of the stage, from now on."""
        for name, budget_ms in budgets_ms.items():
            self.by_name[StageName(name)].budget_ns = int(budget_ms * MS)

    def report(self) -> dict[str, Any]:
        """Percentiles of every stage by name."""
        return {str(name): msgspec.to_builtins(stage.percentiles()) for name, stage in self.by_name.items()}
