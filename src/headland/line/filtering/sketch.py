"""Quantiles in a fixed size with a stated error: a uniformly collapsing log histogram.

Source: Epicoco et al., "UDDSketch: Accurate Tracking of Quantiles in Data Streams" (2020), after Masson, Rim
and Lee, "DDSketch" (VLDB 2019). Bin k holds magnitudes in (gamma^(k-1), gamma^k]. A quantile is wrong by at
most `error` of its own value. The error begins at 1 %; whenever more than 128 bins are used, neighbouring
bins are merged (gamma becomes gamma squared) and it about doubles: 1 % within a factor of 12 between the
smallest and the largest magnitude, 2 % within 160, 4 % within 28,000, 8 % within 8e8. The result depends
only on the set of values, never on their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil, exp, log
from typing import Any

ERROR = 0.01
BINS = 128
_LARGEST = log(1.7976931348623157e308)
_LOG_GAMMA = log((1 + ERROR) / (1 - ERROR))


class Sketch:
    """Counts by bin; at most `BINS` bins over both signs, and one for zero."""

    __slots__ = ("count", "level", "negative", "positive", "zero")

    def __init__(self) -> None:
        self.level = 0
        self.count = 0
        self.zero = 0
        self.positive: dict[int, int] = {}
        self.negative: dict[int, int] = {}

    @property
    def error(self) -> float:
        """Largest error of a quantile, as a share of it."""
        gamma = exp(_LOG_GAMMA * (1 << self.level))
        return (gamma - 1) / (gamma + 1)

    def add(self, counts: Mapping[float, int]) -> None:
        """Add finite values with their counts."""
        scale = 1 / (_LOG_GAMMA * (1 << self.level))
        positive, negative = self.positive, self.negative
        for value, count in counts.items():
            self.count += count
            if value > 0:
                key = ceil(log(value) * scale)
                positive[key] = positive.get(key, 0) + count
            elif value < 0:
                key = ceil(log(-value) * scale)
                negative[key] = negative.get(key, 0) + count
            else:
                self.zero += count
            if len(positive) + len(negative) > BINS:
                self._collapse()
                positive, negative = self.positive, self.negative
                scale = 1 / (_LOG_GAMMA * (1 << self.level))

    def _collapse(self) -> None:
        while len(self.positive) + len(self.negative) > BINS:
            self.level += 1
            self.positive = _halved(self.positive)
            self.negative = _halved(self.negative)

    def quantiles(self, wanted: Iterable[float], low: float, high: float) -> list[float]:
        """Values at the wanted shares (ascending, 0 to 1), never outside [low, high]."""
        gamma_log = _LOG_GAMMA * (1 << self.level)
        middle = log(2 / (1 + exp(gamma_log)))
        steps: list[tuple[float, int]] = [
            (-exp(min(_LARGEST, key * gamma_log + middle)), self.negative[key])
            for key in sorted(self.negative, reverse=True)
        ]
        if self.zero:
            steps.append((0.0, self.zero))
        steps += [
            (exp(min(_LARGEST, key * gamma_log + middle)), self.positive[key])
            for key in sorted(self.positive)
        ]
        found: list[float] = []
        at = iter(steps)
        value, seen = low, 0
        for share in wanted:
            rank = share * (self.count - 1)
            while seen <= rank:
                step = next(at, None)
                if step is None:
                    break
                value = step[0]
                seen += step[1]
            found.append(min(max(value, low), high))
        return found

    def state(self) -> list[Any]:
        """As plain values."""
        return [
            self.level,
            self.count,
            self.zero,
            [part for pair in sorted(self.positive.items()) for part in pair],
            [part for pair in sorted(self.negative.items()) for part in pair],
        ]

    @classmethod
    def of(cls, state: list[Any]) -> Sketch:
        """From `state`."""
        one = cls()
        one.level, one.count, one.zero = state[0], state[1], state[2]
        one.positive = dict(zip(state[3][::2], state[3][1::2], strict=True))
        one.negative = dict(zip(state[4][::2], state[4][1::2], strict=True))
        return one


def _halved(bins: dict[int, int]) -> dict[int, int]:
    merged: dict[int, int] = {}
    for key, count in bins.items():
        half = -(-key // 2)
        merged[half] = merged.get(half, 0) + count
    return merged
