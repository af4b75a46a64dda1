"""Which blocks of which origin have been applied.

The unique key (origin, epoch, class, k), collapsed to ranges.

A hop deduplicates by position, a node that stores by identity: a block that comes by two ways (a child that
changed its parent, a re-sent dead letter) is applied once. Ranges of one (origin, epoch, class) do not
overlap; in-order arrival keeps one range each, so the memory is that of the gaps.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import msgspec

Identity = tuple[str, bytes, int]
"""(origin, epoch, class)."""


class RangeSet:
    """A set of whole numbers as sorted, disjoint, non-adjacent ranges."""

    __slots__ = ("_from", "_to")

    def __init__(self, ranges: list[tuple[int, int]] | None = None) -> None:
        self._from = [low for low, _ in ranges or ()]
        self._to = [high for _, high in ranges or ()]

    def __len__(self) -> int:
        """How many ranges it takes."""
        return len(self._from)

    def __contains__(self, number: int) -> bool:
        i = bisect_right(self._from, number) - 1
        return i >= 0 and number <= self._to[i]

    def add(self, number: int) -> bool:
        """Add a number; False when it is in already."""
        i = bisect_right(self._from, number) - 1
        if i >= 0 and number <= self._to[i]:
            return False
        joins_left = i >= 0 and self._to[i] == number - 1
        joins_right = i + 1 < len(self._from) and self._from[i + 1] == number + 1
        if joins_left and joins_right:
            self._to[i] = self._to[i + 1]
            del self._from[i + 1], self._to[i + 1]
        elif joins_left:
            self._to[i] = number
        elif joins_right:
            self._from[i + 1] = number
        else:
            self._from.insert(i + 1, number)
            self._to.insert(i + 1, number)
        return True

    def add_range(self, low: int, high: int) -> None:
        """Add the numbers low to high, ends included."""
        first = bisect_left(self._to, low - 1)
        after = bisect_right(self._from, high + 1)
        if first < after:
            low, high = min(low, self._from[first]), max(high, self._to[after - 1])
        self._from[first:after] = [low]
        self._to[first:after] = [high]

    def touches(self, low: int, high: int) -> bool:
        """Whether any of the numbers low to high, ends included, is in the set."""
        i = bisect_left(self._to, low)
        return i < len(self._to) and self._from[i] <= high

    def ranges(self) -> list[tuple[int, int]]:
        """The ranges, ascending, ends included."""
        return list(zip(self._from, self._to, strict=True))

    def split(self, low: int, high: int) -> list[tuple[int, int, bool]]:
        """The numbers low to high as ranges that are in the set (True) or are not, ends included."""
        out: list[tuple[int, int, bool]] = []
        at = low
        for i in range(max(0, bisect_right(self._from, low) - 1), len(self._from)):
            first, last = max(self._from[i], at), min(self._to[i], high)
            if self._from[i] > high:
                break
            if last < first:
                continue
            if at < first:
                out.append((at, first - 1, False))
            out.append((first, last, True))
            at = last + 1
        if at <= high:
            out.append((at, high, False))
        return out

    def gaps(self) -> list[tuple[int, int]]:
        """What is missing from 1 up to the largest number, ends included."""
        starts = [1, *(high + 1 for high in self._to)]
        return [(low, high - 1) for low, high in zip(starts, self._from, strict=False) if low < high]


class Applied:
    """The key table of a node that stores."""

    def __init__(self) -> None:
        self._sets: dict[Identity, RangeSet] = {}

    def apply(self, origin: str, epoch: bytes, cls: int, k: int) -> bool:
        """Note one block; False when it was applied before."""
        return self._sets.setdefault((origin, epoch, cls), RangeSet()).add(k)

    def has(self, origin: str, epoch: bytes, cls: int, k: int) -> bool:
        """Whether a block was applied."""
        known = self._sets.get((origin, epoch, cls))
        return known is not None and k in known

    def split(
        self, origin: str, epoch: bytes, cls: int, k_from: int, k_to: int
    ) -> list[tuple[int, int, bool]]:
        """The numbers k_from to k_to as ranges that were applied (True) or were not."""
        known = self._sets.get((origin, epoch, cls))
        return known.split(k_from, k_to) if known is not None else [(k_from, k_to, False)]

    def items(self) -> list[tuple[Identity, RangeSet]]:
        """Every (origin, epoch, class) with its numbers."""
        return list(self._sets.items())

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        return msgspec.msgpack.encode(
            [[origin, epoch, cls, known.ranges()] for (origin, epoch, cls), known in self._sets.items()]
        )

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        rows = msgspec.msgpack.decode(data, type=list[tuple[str, bytes, int, list[tuple[int, int]]]])
        self._sets = {(origin, epoch, cls): RangeSet(ranges) for origin, epoch, cls, ranges in rows}
