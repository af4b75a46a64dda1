"""One event-time window of one series: exact count, minimum, maximum and sum; mean, deviation and quantiles.

Values wait in a list and are folded 256 at a time with C-speed operations; the sum is kept in two floats
(value and remainder, `math.fsum` over both), so it is the correctly rounded sum up to 2^-100 (infinite once
it no longer fits a float). The deviation is computed from differences to the window's first value, which
keeps it accurate when the mean is far from zero.
"""

from __future__ import annotations

from collections import Counter
from math import fsum, inf, isfinite, sqrt
from typing import Any

import msgspec

from headland.line.filtering.sketch import Sketch

CHUNK = 256


class Window:
    """Aggregates of the readings of one series in [start, start + size).

    Attributes:
        start: Begin in event time, ns.
        waiting: Values not folded in yet (fewer than CHUNK between calls), with their payload bytes.
        owed_n, owed_size: Held readings whose account this window settles when it is published.
        revision: Times published minus one; -1 = not yet published.
        told: Count at the last publication.
        whole: False once rows were lost (a volatile series after a crash, a rule that began or ended midway).
    """

    __slots__ = (
        "_d1",
        "_d2",
        "_high",
        "_low",
        "_n",
        "_rest",
        "_shift",
        "_sketch",
        "_sum",
        "owed_n",
        "owed_size",
        "revision",
        "sizes",
        "start",
        "told",
        "waiting",
        "whole",
    )

    def __init__(self, start: int) -> None:
        self.start = start
        self.waiting: list[float] = []
        self.sizes: list[int] = []
        self.owed_n = 0
        self.owed_size = 0
        self.revision = -1
        self.told = 0
        self.whole = True
        self._n = 0
        self._low: float = 0.0
        self._high: float = 0.0
        self._sum = 0.0
        self._rest = 0.0
        self._shift = 0.0
        self._d1 = 0.0
        self._d2 = 0.0
        self._sketch: Sketch | bytes = b""

    @property
    def count(self) -> int:
        """Readings in it."""
        return self._n + len(self.waiting)

    def owed(self) -> tuple[int, int]:
        """Held readings and payload bytes that it settles when it is published."""
        return self.owed_n + len(self.sizes), self.owed_size + sum(self.sizes)

    def settle(self) -> None:
        """Fold whole chunks; always at the same places, however the readings came in batches."""
        while len(self.waiting) >= CHUNK:
            chunk = self.waiting[:CHUNK]
            del self.waiting[:CHUNK]
            self._fold(chunk)
        while len(self.sizes) >= CHUNK:
            self.owed_n += CHUNK
            self.owed_size += sum(self.sizes[:CHUNK])
            del self.sizes[:CHUNK]

    def _fold(self, chunk: list[float]) -> None:
        if not chunk:
            return
        low, high = min(chunk), max(chunk)
        if self._n:
            self._low, self._high = min(self._low, low), max(self._high, high)
        else:
            self._low, self._high, self._shift = low, high, float(chunk[0])
        self._n += len(chunk)
        try:
            total = fsum((self._sum, self._rest, *chunk))
            self._rest = fsum((self._sum, self._rest, *chunk, -total))
            self._sum = total
        except (OverflowError, ValueError):
            self._sum, self._rest = inf, 0.0
        try:
            shift = self._shift
            away = [value - shift for value in chunk]
            self._d1 += fsum(away)
            self._d2 += fsum([one * one for one in away])
        except (OverflowError, ValueError):
            self._d2 = inf
        if isinstance(self._sketch, bytes):
            self._sketch = Sketch.of(msgspec.msgpack.decode(self._sketch)) if self._sketch else Sketch()
        self._sketch.add(Counter(chunk))

    def publish(self) -> None:
        """Fold everything and pack the sketch: a published window is rarely touched again."""
        self._fold(self.waiting)
        self.waiting.clear()
        self.sizes.clear()
        if isinstance(self._sketch, Sketch):
            self._sketch = msgspec.msgpack.encode(self._sketch.state())
        self.revision += 1
        self.told = self._n
        self.owed_n = self.owed_size = 0

    def figures(self, quantiles: tuple[float, ...]) -> dict[str, Any]:
        """What a window row says about its values (after `publish`)."""
        assert isinstance(self._sketch, bytes)
        sketch = Sketch.of(msgspec.msgpack.decode(self._sketch)) if self._sketch else Sketch()
        n = self._n
        variance = max(0.0, (self._d2 - self._d1 * self._d1 / n) / n) if n else 0.0
        low, high = self._low, self._high
        return {
            "count": n,
            "min": low,
            "max": high,
            "mean": self._sum / n if n else 0.0,
            "std": sqrt(variance) if isfinite(variance) else inf,
            "sum": self._sum,
            "quantiles": dict(
                zip(map(str, quantiles), sketch.quantiles(quantiles, low, high), strict=True) if n else ()
            ),
            "quantile_error": sketch.error,
        }

    def state(self) -> list[Any]:
        """As plain values; a copy, never folded on the way."""
        sketch = self._sketch
        return [
            self.start,
            list(self.waiting),
            list(self.sizes),
            self.owed_n,
            self.owed_size,
            self.revision,
            self.told,
            self.whole,
            self._n,
            self._low,
            self._high,
            self._sum,
            self._rest,
            self._shift,
            self._d1,
            self._d2,
            sketch if isinstance(sketch, bytes) else msgspec.msgpack.encode(sketch.state()),
        ]

    @classmethod
    def of(cls, state: list[Any]) -> Window:
        """From `state`."""
        one = cls(state[0])
        one.waiting, one.sizes = list(state[1]), list(state[2])
        one.owed_n, one.owed_size, one.revision, one.told, one.whole = state[3:8]
        one._n, one._low, one._high, one._sum, one._rest = state[8:13]
        one._shift, one._d1, one._d2, one._sketch = state[13:17]
        return one
