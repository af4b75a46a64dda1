"""Which blocks of which origin have been applied.

The unique key (origin, epoch, class, k), collapsed to ranges.

A hop deduplicates by position, a node that stores by identity: a block that comes by two ways (a child that
changed its parent, a re-sent dead letter) is applied once. Ranges of one (origin, epoch, class) do not
overlap; in-order arrival keeps one range each, so the memory is that of the epochs and of the gaps.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

import msgspec

Identity = tuple[str, bytes, int]
"""(origin, epoch, class)."""
CLASSES = 4
FORMAT = 2
"""Of a snapshot: [2, [[origin, forgotten up to commit, [[epoch, first_n, touched_ns, child, sets]]]]]."""
DEDUP_HORIZON_S = 400 * 86_400
"""How long an epoch is remembered after the newest of its blocks has arrived."""
_Packed = int | list[tuple[int, int]]
_Snapshot = tuple[int, list[tuple[str, int, list[tuple[bytes, int, int, str, list[_Packed]]]]]]


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


class _Epoch:
    """What is known of one epoch of an origin.

    Attributes:
        first_n: Smallest last commit of a block of it: a commit of this epoch, not of the one before.
        touched_ns: Node time (ns UTC) at which the newest of its blocks arrived.
        child: Who brought that block.
        sets: Block numbers of each class; a plain number is the range from 1 to it.
    """

    __slots__ = ("child", "first_n", "sets", "touched_ns")

    def __init__(self, first_n: int, touched_ns: int, child: str, sets: list[int | RangeSet]) -> None:
        self.first_n = first_n
        self.touched_ns = touched_ns
        self.child = child
        self.sets = sets

    def add(self, cls: int, k: int) -> bool:
        """Add a number; False when it is in already."""
        known = self.sets[cls]
        if isinstance(known, int):
            if k <= known:
                return False
            if k == known + 1:
                self.sets[cls] = k
                return True
            known = self.sets[cls] = RangeSet([(1, known)] if known else None)
        if not known.add(k):
            return False
        if len(known) == 1 and 1 in known:
            self.sets[cls] = known.ranges()[0][1]
        return True

    def of(self, cls: int) -> RangeSet:
        """The numbers of a class, as a set of their own."""
        known = self.sets[cls]
        return known if isinstance(known, RangeSet) else RangeSet([(1, known)] if known else None)


class Applied:
    """The key table of a node that stores.

    An epoch of which nothing has come for `DEDUP_HORIZON_S` is forgotten when its origin has a younger one.
    Commits of an origin are numbered on over its epochs: a block of an unknown epoch whose commits are not
    younger than those forgotten is of a forgotten epoch, and nothing proves that it has not come before.
    """

    def __init__(self) -> None:
        self._origins: dict[str, dict[bytes, _Epoch]] = {}
        self._forgotten_n: dict[str, int] = {}

    def __len__(self) -> int:
        """Epochs that are known."""
        return sum(map(len, self._origins.values()))

    def apply(
        self, origin: str, epoch: bytes, cls: int, k: int, n: int = 0, arrived_ns: int = 0, child: str = ""
    ) -> bool:
        """Note one block; False when it was applied before.

        Args:
            origin: Its origin.
            epoch: Its epoch.
            cls: Its class.
            k: Its number there.
            n: Last commit of the origin that it has rows of.
            arrived_ns: Node time here, ns UTC.
            child: Who brought it.
        """
        epochs = self._origins.setdefault(origin, {})
        known = epochs.get(epoch)
        if known is None:
            known = epochs[epoch] = _Epoch(n, arrived_ns, child, [0, 0, 0, 0])
        known.first_n = min(known.first_n, n)
        known.touched_ns = max(known.touched_ns, arrived_ns)
        known.child = child
        return known.add(cls, k)

    def has(self, origin: str, epoch: bytes, cls: int, k: int) -> bool:
        """Whether a block was applied."""
        known = self._origins.get(origin, {}).get(epoch)
        return known is not None and k in known.of(cls)

    def of(self, origin: str, epoch: bytes, cls: int) -> RangeSet:
        """The numbers that were applied; not to be changed."""
        known = self._origins.get(origin, {}).get(epoch)
        return known.of(cls) if known is not None else RangeSet()

    def last(self, origin: str, epoch: bytes, cls: int) -> int:
        """The largest number that was applied, 0 for none."""
        known = self._origins.get(origin, {}).get(epoch)
        if known is None:
            return 0
        numbers = known.sets[cls]
        return numbers if isinstance(numbers, int) else numbers.ranges()[-1][1]

    def brought(self, origin: str, epoch: bytes) -> str:
        """Who brought the newest block of an epoch; "" for nobody yet."""
        known = self._origins.get(origin, {}).get(epoch)
        return known.child if known is not None else ""

    def split(
        self, origin: str, epoch: bytes, cls: int, k_from: int, k_to: int
    ) -> list[tuple[int, int, bool]]:
        """The numbers k_from to k_to as ranges that were applied (True) or were not."""
        return self.of(origin, epoch, cls).split(k_from, k_to)

    def items(self) -> list[tuple[Identity, RangeSet]]:
        """Every (origin, epoch, class) of which a block was applied, with its numbers."""
        return [
            ((origin, epoch, cls), known.of(cls))
            for origin, epochs in self._origins.items()
            for epoch, known in epochs.items()
            for cls in range(CLASSES)
            if known.sets[cls]
        ]

    # ── the horizon ────────────────────────────────────────────────────────────────────────────────
    def unproven(self, origin: str, epoch: bytes, n: int) -> bool:
        """Whether a block with commits up to n may be of an epoch that was forgotten."""
        return n <= self._forgotten_n.get(origin, 0) and epoch not in self._origins.get(origin, {})

    def old(self, before_ns: int, limit: int) -> list[tuple[str, bytes]]:
        """At most so many epochs of which nothing has come since, each older than another of its origin."""
        out: list[tuple[str, bytes]] = []
        for origin, epochs in self._origins.items():
            newest_n = -1
            for epoch, known in epochs.items():
                if known.touched_ns >= before_ns or len(out) >= limit:
                    break  # they stand in the order in which they began to come: the rest is younger
                if newest_n < 0:
                    newest_n = max(one.first_n for one in epochs.values())
                if known.first_n < newest_n:
                    out.append((origin, epoch))
        return out

    def forget(self, epochs: Iterable[tuple[str, bytes]]) -> None:
        """Forget epochs; the blocks of each ended before the next of its origin began."""
        for origin, epoch in epochs:
            known = self._origins.get(origin, {}).pop(epoch, None)
            if known is None:
                continue
            later = [one.first_n for one in self._origins[origin].values() if one.first_n > known.first_n]
            last_n = min(later, default=known.first_n + 1) - 1
            self._forgotten_n[origin] = max(last_n, self._forgotten_n.get(origin, 0))

    # ── checkpoints ────────────────────────────────────────────────────────────────────────────────
    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        table = [
            [
                origin,
                self._forgotten_n.get(origin, 0),
                [
                    [epoch, known.first_n, known.touched_ns, known.child, known.sets]
                    for epoch, known in epochs.items()
                ],
            ]
            for origin, epochs in self._origins.items()
        ]
        return msgspec.msgpack.encode([FORMAT, table], enc_hook=RangeSet.ranges)

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        _, table = msgspec.msgpack.decode(data, type=_Snapshot)
        self._origins, self._forgotten_n = {}, {}
        for origin, forgotten_n, rows in table:
            self._origins[origin] = {
                epoch: _Epoch(n, ns, child, list(map(_unpacked, sets))) for epoch, n, ns, child, sets in rows
            }
            if forgotten_n:
                self._forgotten_n[origin] = forgotten_n


def _unpacked(known: int | list[tuple[int, int]]) -> int | RangeSet:
    if isinstance(known, int):
        return known
    return known[0][1] if len(known) == 1 and known[0][0] == 1 else RangeSet(known)
