"""What has to be known of all stored blocks before a row of one can be told.

A first pass over the blocks that a question may concern collects, per origin,

* in which order its epochs were: by their first commit (only a node that was restored from a copy uses a
  commit's number twice), then by node time;
* which rules were in force from which commit on (rows of kind CONFIG, `headland.line.line`);
* of derived rows, which revision of (origin, series, rule, version, since, start) is the highest, and which
  spans of event time each version of a rule has told of a series, since each change or restart that began it.

Where a node went on from a copy of its own disk, the copy has told, incomplete, what the windows held that
were open in it, and the original the whole windows: of one revision the complete row counts, and of
incomplete ones that of most readings, which holds those of the others.

Bounds: revisions above 0, incomplete rows, and spans that do not join count, at most `NOTED_MAX` together; a
question beyond that has to be narrowed. Windows that follow each other are one span.
"""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from headland.blocks.header import BlockHeader
from headland.storage import RangeSet
from headland.vocabulary import CapacityError, Priority, RowKind

NOTED_MAX = 1_000_000
NARROW = "narrow it by series, origin, since_ns, until_ns or limit"
DERIVED = (RowKind.WINDOW, RowKind.FEATURES)
"""Rows over a span of event time, with revisions."""


class Rules(msgspec.Struct, frozen=True):
    """Rules that came into force at an origin, as their row says it.

    Attributes:
        version: Digest of the rules.
        previous: Of those before.
        kept: Rows of each class that stood before the change in that commit.
        n: The commit there.
    """

    version: str
    previous: str = ""
    kept: tuple[int, int, int, int] = (0, 0, 0, 0)
    n: int = 0


class Span(msgspec.Struct, frozen=True):
    """What a derived row says of itself."""

    rule: str
    version: str
    start: int
    end: int
    revision: int = 0
    since: int = 0
    complete: bool = True
    count: int = 0
    samples: int = 0


Key = tuple[str, str, str, str, int, int]
Weight = tuple[int, bool, int, bytes]


class Derived(msgspec.Struct, frozen=True):
    """Which window of which rule a derived row is about, and which revision it is, told in which epoch."""

    origin: str
    series: str
    epoch: bytes
    span: Span

    @property
    def key(self) -> Key:
        """The same for all revisions."""
        span = self.span
        return self.origin, self.series, span.rule, span.version, span.since, span.start

    @property
    def weight(self) -> Weight:
        """Of rows of one key the heaviest counts; what is told twice alike, by two copies, counts once."""
        span = self.span
        return span.revision, span.complete, span.count + span.samples, self.epoch

    @property
    def moments(self) -> tuple[int, int]:
        """First and last moment of its span, ns."""
        return self.span.start, max(self.span.start, self.span.end - 1)


class Survey:
    """What the first pass has found."""

    def __init__(self) -> None:
        self._epochs: dict[str, dict[bytes, tuple[int, int]]] = {}
        self._ordinals: dict[tuple[str, bytes], int] = {}
        self._rules: dict[str, list[Rules]] = {}
        self._newest: dict[Key, Weight] = {}
        self._spans: dict[tuple[str, str, str], dict[tuple[str, int], RangeSet]] = {}
        self._whole: dict[tuple[str, str, str], dict[tuple[str, int], RangeSet]] = {}
        self._noted = 0

    # ── first pass ─────────────────────────────────────────────────────────────────────────────────
    def header(self, header: BlockHeader) -> None:
        """A block is there."""
        began = (header.first_n, header.runs[0].node_ns)
        epochs = self._epochs.setdefault(header.origin, {})
        epochs[header.epoch] = min(epochs.get(header.epoch, began), began)

    def configured(self, origin: str, n: int, value: object) -> None:
        """A row says which rules were in force from commit n of its origin on."""
        try:
            rules = msgspec.convert(value, Rules)
        except msgspec.ValidationError:
            return
        self._rules.setdefault(origin, []).append(msgspec.structs.replace(rules, n=n))

    def derived(self, origin: str, series: str, epoch: bytes, value: object) -> None:
        """A derived row is there.

        Raises:
            CapacityError: There is too much to be known.
        """
        row = derived_of(origin, series, epoch, value)
        if row is None:
            return
        span, key = row.span, row.key
        if span.revision > 0 or not span.complete:
            self._noted += key not in self._newest
            self._newest[key] = max(row.weight, self._newest.get(key, row.weight))
        for told in (self._spans, self._whole) if span.complete else (self._spans,):
            spans = told.setdefault((origin, series, span.rule), {}).setdefault(
                (span.version, span.since), RangeSet()
            )
            before = len(spans)
            spans.add_range(*row.moments)
            self._noted += len(spans) - before
        if self._noted > NOTED_MAX:
            raise CapacityError(f"more than {NOTED_MAX:,} windows have to be compared", hint=NARROW)

    def done(self) -> None:
        """Every block has been looked at."""
        for origin, epochs in self._epochs.items():
            ordered = sorted(epochs, key=lambda epoch: (*epochs[epoch], epoch))
            for ordinal, epoch in enumerate(ordered, start=1):
                self._ordinals[origin, epoch] = ordinal
        for rules in self._rules.values():
            rules.sort(key=lambda one: (one.n, one.kept))

    # ── second pass ────────────────────────────────────────────────────────────────────────────────
    def ordinal(self, origin: str, epoch: bytes) -> int:
        """Which of its origin's epochs this is, from 1; 0 for one that has come since the first pass."""
        return self._ordinals.get((origin, epoch), 0)

    def rules_at(self, origin: str, n: int, priority: Priority, index: int) -> str:
        """Digest of the rules in force at row `index` of a class in commit n of an origin.

        Returns:
            "" where that has not come: no row about rules is there, or a change between two is missing.
        """
        known = self._rules.get(origin, [])
        at = bisect_right(known, n, key=lambda rules: rules.n)
        while at and known[at - 1].n == n and index < known[at - 1].kept[priority]:
            at -= 1
        following = known[at] if at < len(known) else None
        if at == 0:
            return following.previous if following is not None else ""
        if following is not None and following.previous != known[at - 1].version:
            return ""
        return known[at - 1].version

    def superseded(self, row: Derived) -> bool:
        """Whether a higher revision of a derived row is there, or the whole of which it tells a part."""
        span = row.span
        if row.weight < self._newest.get(row.key, row.weight):
            return True
        if span.complete or span.revision > 0:
            return False
        whole = self._whole.get((row.origin, row.series, span.rule), {}).get((span.version, span.since))
        return whole is not None and whole.touches(*row.moments)

    def overlaps(self, row: Derived) -> bool:
        """Whether the same rule tells of the same time in another version, or since another change.

        The two are never to be added, unless one knows that a change of the rules, or a restart, ended the
        first.
        """
        told = self._spans.get((row.origin, row.series, row.span.rule), {})
        own = (row.span.version, row.span.since)
        return any(other != own and spans.touches(*row.moments) for other, spans in told.items())


def derived_of(origin: str, series: str, epoch: bytes, value: object) -> Derived | None:
    """What a derived row is about; None where a plug-in's row says nothing of the kind."""
    try:
        return Derived(origin, series, epoch, msgspec.convert(value, Span))
    except msgspec.ValidationError:
        return None
