"""What a source is: one declaration, one protocol, and duties that one test checks on every source.

Duties:
    1. `poll` returns soon, never blocks on the outside, and brings at most `SourceContext.max_readings`
       (what brings texts: about `max_bytes` of them).
    2. All randomness and time is handed in: equal seeds, moments and inputs give equal batches.
    3. Columns of a batch have one length; local ids are in range; sizes are not negative; `series` only
       grows.
    4. What one sensor, line or file does wrong is counted in `counters` and never raised.
    5. A position moves only by `confirmed`: `snapshot` gives the last confirmed one, and a source made with
       it gives again exactly what came after. A source without positions gives b"". A batch may carry a
       position and no readings.
    6. `next_poll` is None only when nothing will ever come again.
    7. `close` may be called twice; a closed source gives empty batches.

A third party publishes a source by an entry point in the group ``headland.sources`` that names a
`SourceDeclaration` (``examples/plugin_source`` does).
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Protocol

import msgspec

from headland.vocabulary import NO_TIME, Batch, Instant, SeriesKey, SeriesTable, Value

_2_63 = 1 << 63


class SourceBatch(msgspec.Struct, gc=False):
    """What one poll brought.

    Attributes:
        series: All series of this source so far, the same list in every batch; only grows.
        row: Index into `series` of each reading.
        ts: Device time, ns UTC, or NO_TIME.
        value: Values.
        size: Payload bytes that each reading stands for in the books (what it took to say it at its origin).
        replaced: Indexes of text readings in which invalid UTF-8 was replaced.
        position: Where the source stands after these readings, to be confirmed once they are durable; None
            when the source has no positions.
    """

    series: list[SeriesKey]
    row: list[int] = []
    ts: list[int] = []
    value: list[Value] = []
    size: list[int] = []
    replaced: list[int] = []
    position: bytes | None = None

    def __len__(self) -> int:
        return len(self.row)

    def add(self, row: int, ts: int, value: Value, size: int) -> None:
        """Append one reading."""
        self.row.append(row)
        self.ts.append(ts)
        self.value.append(value)
        self.size.append(size)


class Source(Protocol):
    """A place where readings come from. See the module's duties."""

    counters: dict[str, int]
    """What went wrong, by reason: never readings, only counts."""

    def poll(self, now: Instant) -> SourceBatch:
        """Readings that are there now."""
        ...

    def next_poll(self, now: Instant) -> int | None:
        """Monotonic ns at which to poll next, or None when nothing will ever come again."""
        ...

    def confirmed(self, position: bytes) -> None:
        """The readings up to `position` are durable."""
        ...

    def snapshot(self) -> bytes:
        """The last confirmed position."""
        ...

    def close(self) -> None:
        """Give back files and handles."""
        ...


class Chance(Protocol):
    """The part of `random.Random` that sources use."""

    def random(self) -> float:
        """From 0 up to but not including 1."""
        ...

    def gauss(self, mu: float, sigma: float) -> float:
        """Normally distributed."""
        ...


class SourceContext(msgspec.Struct, frozen=True):
    """What a source is made with, besides its configuration.

    Attributes:
        name: Its name in this node, unique.
        chance: Its generator.
        position: Last confirmed position, or b"" at the first start.
        started: The moment of its making.
        directory: Directory that relative paths in the configuration start from.
        max_readings: Most readings of one batch.
        max_bytes: Payload bytes after which a batch of texts ends.
    """

    name: str
    chance: Any
    started: Instant
    position: bytes = b""
    directory: str = "."
    max_readings: int = 10_000
    max_bytes: int = 4 << 20


class SourceDeclaration(msgspec.Struct, frozen=True):
    """Everything that the product knows about a kind of source.

    Attributes:
        kind: Word in the configuration: ``[[source]] kind = "..."``.
        summary: One sentence for the reference.
        config: Its struct: schema, descriptions, defaults. Frozen, unknown keys forbidden.
        make: Makes one. Raises `ConfigurationError` when the configuration cannot work here.
        durable: Whether it has positions, so that what it brought before a crash is not brought again.
        example: Configuration that works anywhere, in TOML, for the reference and the contract test.
    """

    kind: str
    summary: str
    config: type[msgspec.Struct]
    make: Callable[[Any, SourceContext], Source]
    durable: bool
    example: str


class Intake:
    """Turns a source's batches into batches of the line, numbering each series once."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self._sids: list[int] = []
        self.unnumbered = 0

    def batch(self, brought: SourceBatch) -> Batch:
        """The readings as one message; those whose series cannot be numbered are counted in `unnumbered`.

        What no row can hold is put right here, for every source: a time beyond 64 bits is none, a whole
        number beyond them is a real one.

        Args:
            brought: A batch of the one source that this intake serves.
        """
        sids = self._sids
        for key in brought.series[len(sids) :]:
            sids.append(self._table.intern(key))
        rows = [sids[row] for row in brought.row]
        brought.ts[:] = [ts if -_2_63 < ts < _2_63 else NO_TIME for ts in brought.ts]
        for index, value in enumerate(brought.value):
            if type(value) is int and not -_2_63 <= value < _2_63:
                brought.value[index] = _real(value)
        if 0 in rows:
            kept = [index for index, sid in enumerate(rows) if sid]
            self.unnumbered += len(rows) - len(kept)
            return Batch(
                [rows[i] for i in kept],
                [brought.ts[i] for i in kept],
                [brought.value[i] for i in kept],
                [brought.size[i] for i in kept],
                message_ends=[len(kept)],
            )
        return Batch(rows, brought.ts, brought.value, brought.size, message_ends=[len(rows)])


def _real(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return inf if value > 0 else -inf


class SeriesList:
    """A source's own numbering of its series."""

    def __init__(self) -> None:
        self.all: list[SeriesKey] = []
        self._rows: dict[SeriesKey, int] = {}

    def row(self, key: SeriesKey) -> int:
        """The local id of a key, numbered now if it is new."""
        known = self._rows.get(key)
        if known is None:
            known = self._rows[key] = len(self.all)
            self.all.append(key)
        return known


def value_bytes(value: Value) -> int:
    """Bytes that a value without a payload stands for: 8 for numbers, 1 for booleans, or its length."""
    if isinstance(value, bool):
        return 1
    if isinstance(value, str):
        return len(value.encode())
    return len(value) if isinstance(value, bytes) else 8


__all__ = [
    "NO_TIME",
    "Chance",
    "Intake",
    "SeriesList",
    "Source",
    "SourceBatch",
    "SourceContext",
    "SourceDeclaration",
    "value_bytes",
]
