"""Blocks that a root does not have: those it was told will not come, and holes that nobody has explained.

A tombstone names whoever told it; a block of it that comes after all (a dead letter sent again, another road)
is no longer missing, and a tombstone of which nothing is missing is gone. A hole is what is missing before a
block that has come; its last known custodian is the child that had brought the origin's blocks before it.

Bounds: adjoining tombstones of one child and reason are one; `EACH_MAX` of one (origin, epoch, class) and
`TOLD_MAX` in all, beyond which the oldest are no longer listed, and counted: their blocks are holes then.
Holes are those of the key table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from headland.blocks.header import BlockHeader
from headland.link.bounds import PAYLOAD_MAX, READINGS_MAX
from headland.link.contract import GapRange
from headland.storage import Applied, RangeSet
from headland.vocabulary import NO_TIME, Priority, Reason

TOLD_MAX = 100_000
EACH_MAX = 4_096
"""Looked through for each block that comes."""
REASONS = {int(reason): reason.name.lower() for reason in Reason}
UNTOLD = "unknown"
"""Reason of a hole that nobody has explained."""
Key = tuple[str, bytes, int]
"""(origin, epoch, class)."""


class Told(msgspec.Struct, array_like=True):
    """A tombstone.

    Attributes:
        child: Who told it.
        info: As it was told.
        readings: Readings that are still missing of it.
        payload_bytes: Their payload bytes.
    """

    child: str
    info: GapRange
    readings: int
    payload_bytes: int


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Blocks that are not here, as `/v1/gaps` lists them.

    Attributes:
        origin: Who made them.
        epoch: Its epoch, hex.
        row_class: Their class.
        blocks: Ranges of their numbers, ends included.
        reason: expired, shed, corrupt ...; "unknown" for a hole that nobody has explained.
        custodian: Where they are known to have been last: at the direct child that told it, or that had
            brought the blocks before them; at the origin itself where no child is known.
        readings: Readings in them; None where that is not known.
        bytes: Payload bytes in them.
        ts_min: Earliest device time, ns UTC, or None.
        ts_max: Latest, or None.
        groups: Series groups; ("any",) for not told apart.
    """

    origin: str
    epoch: str
    row_class: str
    blocks: list[tuple[int, int]]
    reason: str
    custodian: str
    readings: int | None = None
    bytes: int | None = None
    ts_min: int | None = None
    ts_max: int | None = None
    groups: tuple[str, ...] = ()


class Gaps:
    """See the module.

    Attributes:
        unlisted: Tombstones that are no longer listed for want of room.
    """

    def __init__(self, applied: Applied) -> None:
        self.unlisted = 0
        self._applied = applied
        self._told: dict[Key, list[Told]] = {}
        self._count = 0
        self._opened: dict[Key, dict[int, str]] = {}

    def told(self) -> Iterator[Told]:
        """Tombstones of which something is missing, oldest origin first."""
        for entries in self._told.values():
            yield from entries

    def tell(self, child: str, ranges: Iterable[GapRange]) -> None:
        """A child says what will not come."""
        for info in ranges:
            entries = self._told.setdefault((info.origin, info.epoch, info.priority), [])
            told = Told(child, info, info.readings, info.payload_bytes)
            if self._missing(told) and not (entries and _join(entries[-1], told)):
                entries.append(told)
                self._count += 1
            if len(entries) > EACH_MAX:
                self._unlist((info.origin, info.epoch, info.priority))
            if not entries:
                del self._told[info.origin, info.epoch, info.priority]
        while self._count > TOLD_MAX:
            self._unlist(next(iter(self._told)))

    def _unlist(self, key: Key) -> None:
        """The oldest of these makes room."""
        self._drop(key, self._told[key][0])
        self.unlisted += 1

    def came(self, header: BlockHeader, last: int, custodian: str) -> None:
        """A block was applied for the first time.

        Args:
            header: Its header.
            last: Largest number of its origin, epoch and class that had come before it; 0 for none.
            custodian: Who had brought the newest block of its epoch before it; "" for nobody.
        """
        key = (header.origin, header.epoch, int(header.priority))
        for told in [item for item in self._told.get(key, ()) if _within(header.k, item.info)]:
            told.readings = max(0, told.readings - header.rows)
            told.payload_bytes = max(0, told.payload_bytes - header.size)
            if not self._missing(told):
                self._drop(key, told)
        if header.k > last + 1:
            self._opened.setdefault(key, {})[last + 1] = custodian

    def forget(self, epochs: Iterable[tuple[str, bytes]]) -> None:
        """The key table has forgotten epochs: nothing can be said of them any more."""
        gone = set(epochs)
        for key in [key for key in self._opened if key[:2] in gone]:
            del self._opened[key]
        for key in [key for key in self._told if key[:2] in gone]:
            self._count -= len(self._told.pop(key))

    def ranges(self) -> list[GapRange]:
        """What was told and is still missing, a range each."""
        return [
            msgspec.structs.replace(told.info, k_from=low, k_to=high)
            for told in self.told()
            for low, high in self._missing(told)
        ]

    def report(self) -> list[Gap]:
        """Everything that is missing."""
        return [_told(told, self._missing(told)) for told in self.told()] + list(self._holes())

    def _holes(self) -> Iterator[Gap]:
        self._prune()
        for key, custodians in self._opened.items():
            explained = RangeSet()
            for told in self._told.get(key, ()):
                explained.add_range(told.info.k_from, told.info.k_to)
            for first, last in self._applied.of(*key).gaps():
                blocks = [(low, high) for low, high, known in explained.split(first, last) if not known]
                if not blocks:
                    continue
                origin, epoch, cls = key
                yield Gap(
                    origin=origin,
                    epoch=epoch.hex(),
                    row_class=Priority(cls).name.lower(),
                    blocks=blocks,
                    reason=UNTOLD,
                    custodian=custodians[first] or origin,
                )

    def _prune(self) -> None:
        """Holes that have closed are forgotten."""
        for key, custodians in list(self._opened.items()):
            gaps = self._applied.of(*key).gaps()
            if gaps:
                self._opened[key] = {first: _custodian(custodians, first) for first, _ in gaps}
            else:
                del self._opened[key]

    def _missing(self, told: Told) -> list[tuple[int, int]]:
        info = told.info
        parts = self._applied.split(info.origin, info.epoch, info.priority, info.k_from, info.k_to)
        return [(low, high) for low, high, held in parts if not held]

    def _drop(self, key: Key, told: Told) -> None:
        self._told[key].remove(told)
        self._count -= 1
        if not self._told[key]:
            del self._told[key]

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        self._prune()
        opened = [[*key, list(custodians.items())] for key, custodians in self._opened.items()]
        return msgspec.msgpack.encode([list(self.told()), opened, self.unlisted])

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        told, opened, self.unlisted = msgspec.msgpack.decode(
            data, type=tuple[list[Told], list[tuple[str, bytes, int, list[tuple[int, str]]]], int]
        )
        self._told, self._count = {}, len(told)
        for one in told:
            self._told.setdefault((one.info.origin, one.info.epoch, one.info.priority), []).append(one)
        self._opened = {(origin, epoch, cls): dict(items) for origin, epoch, cls, items in opened}


def _custodian(custodians: dict[int, str], first: int) -> str:
    """Whoever had brought what stands before a hole: that of the newest hole that opened at or before it."""
    return custodians[max(low for low in custodians if low <= first)] if min(custodians) <= first else ""


def _join(last: Told, told: Told) -> bool:
    """Let one tombstone go on in the next; whether it could."""
    before, info = last.info, told.info
    same = (last.child, before.reason, before.groups) == (told.child, info.reason, info.groups)
    if not same or info.k_from != before.k_to + 1:
        return False
    if (
        before.readings + info.readings > READINGS_MAX
        or before.payload_bytes + info.payload_bytes > PAYLOAD_MAX
    ):
        return False
    last.info = msgspec.structs.replace(
        before,
        k_to=info.k_to,
        readings=before.readings + info.readings,
        payload_bytes=before.payload_bytes + info.payload_bytes,
        ts_min=min((ts for ts in (before.ts_min, info.ts_min) if ts != NO_TIME), default=NO_TIME),
        ts_max=max(before.ts_max, info.ts_max),
    )
    last.readings += told.readings
    last.payload_bytes += told.payload_bytes
    return True


def _within(k: int, info: GapRange) -> bool:
    return info.k_from <= k <= info.k_to


def _told(told: Told, blocks: list[tuple[int, int]]) -> Gap:
    info = told.info
    return Gap(
        origin=info.origin,
        epoch=info.epoch.hex(),
        row_class=Priority(info.priority).name.lower(),
        blocks=blocks,
        reason=REASONS.get(info.reason, str(info.reason)),
        custodian=told.child,
        readings=told.readings,
        bytes=told.payload_bytes,
        ts_min=None if info.ts_min == NO_TIME else info.ts_min,
        ts_max=None if info.ts_max == NO_TIME else info.ts_max,
        groups=info.groups,
    )
