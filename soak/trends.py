"""Whether something creeps: slopes that a few outliers do not move, with a bound, over whole cycles.

One value a cycle (the median of its samples), because samples within a cycle are not independent: a cut lets
a backlog grow and shrink. The slope is the median of the slopes of all pairs (Theil 1950, Sen 1968), its
bounds are Sen's, from the variance of Kendall's S at 95 % (Gilbert 1987, *Statistical Methods for
Environmental Pollution Monitoring*, 16.4.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import median, quantiles

import msgspec

from soak.sampling import Sample

Z = 1.959964
"""Of the normal distribution, two-sided 95 %."""
LEAST = 6
"""Values below which bounds say nothing."""


class Slope(msgspec.Struct, frozen=True):
    """How a figure changes.

    Attributes:
        per_h: Slope, in units an hour.
        low_per_h, high_per_h: Its bounds at 95 %; None with fewer than six values.
        growth: Over the time that was looked at.
        median: Of the values.
        values: One a cycle.
    """

    per_h: float
    low_per_h: float | None
    high_per_h: float | None
    growth: float
    median: float
    values: list[float]

    @property
    def creeps(self) -> bool:
        """Whether it grows for certain: the whole interval is above 0."""
        return self.low_per_h is not None and self.low_per_h > 0


def slope(at_s: Sequence[float], values: Sequence[float]) -> Slope:
    """The slope of values over time, with bounds.

    Args:
        at_s: When, s, strictly ascending.
        values: As many.
    """
    slopes = sorted(
        (values[j] - values[i]) / (at_s[j] - at_s[i]) * 3600 for i, j in combinations(range(len(values)), 2)
    )
    if not slopes:
        return Slope(0.0, None, None, 0.0, median(values) if values else 0.0, list(values))
    middle = median(slopes)
    low = high = None
    n = len(values)
    if n >= LEAST:
        reach = Z * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
        first = max(0, round((len(slopes) - reach) / 2) - 1)
        last = min(len(slopes) - 1, round((len(slopes) + reach) / 2))
        low, high = slopes[first], slopes[last]
    return Slope(middle, low, high, middle * (at_s[-1] - at_s[0]) / 3600, median(values), list(values))


def by_cycle(
    samples: Sequence[Sample], figure: Callable[[Sample], float], skip: int
) -> tuple[list[float], list[float]]:
    """(time, value) of every whole cycle behind the first `skip`: medians of its samples."""
    cycles: dict[int, list[Sample]] = {}
    for one in samples:
        cycles.setdefault(one.cycle, []).append(one)
    fullest = max((len(group) for group in cycles.values()), default=0)
    whole = [group for cycle, group in sorted(cycles.items()) if cycle >= skip and len(group) > fullest / 2]
    return (
        [median(one.at_s for one in group) for group in whole],
        [median(figure(one) for one in group) for group in whole],
    )


class Quartiles(msgspec.Struct, frozen=True):
    """A quarter, the half, three quarters of the samples are at most so much."""

    q1: float = 0.0
    q2: float = 0.0
    q3: float = 0.0


def quartiles(values: Sequence[float]) -> Quartiles:
    """Of these values."""
    if len(values) < 2:
        return Quartiles(*(values[0],) * 3) if values else Quartiles()
    return Quartiles(*(round(value, 4) for value in quantiles(values, n=4, method="inclusive")))
