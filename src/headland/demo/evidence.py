"""What the outside checker judges by: the rules as configured, and the rows as the cloud answers them.

These structs are the checker's own. It shares no code with the filters, the ledger or the blocks: a mistake
there must not excuse itself here.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

import msgspec

from headland.demo.acklog import LoggedReading, Scalar

READING, WINDOW, EVENT, CONFIG, FEATURES = range(5)
"""Kinds of a row in the cloud's answer, as the delivery contract numbers them."""


class DeadBand(msgspec.Struct, frozen=True):
    """A reading may be missing while it lies within max(ratio x |hold|, floor) of the value held.

    Attributes:
        ratio: Of the held value's magnitude.
        floor: In the unit of the series.
        heartbeat_s: A reference no older than this must exist for every missing reading; 0 for none.
    """

    ratio: float
    floor: float
    heartbeat_s: float = 0.0


class Summary(msgspec.Struct, frozen=True):
    """Readings are counted in the windows of this rule."""

    rule: str


class DropWhen(msgspec.Struct, frozen=True):
    """Readings that satisfy the comparison may be missing.

    Attributes:
        field: The reading's value, its declared RFC 5424 severity (larger is less severe), or `any` reading.
        operator: Comparison of the field with `limit`.
        limit: The other side. A reading without the field, or of another type, never satisfies.
    """

    field: Literal["value", "severity", "any"]
    operator: Literal["<", "<=", ">", ">=", "==", "!="] = "=="
    limit: Scalar = 0

    def holds(self, reading: LoggedReading) -> bool:
        """Whether the rule says that `reading` does not go north."""
        if self.field == "any":
            return True
        left = reading.value if self.field == "value" else reading.severity
        if left is None or isinstance(left, bool) != isinstance(self.limit, bool):
            return False
        if isinstance(left, str) or isinstance(self.limit, str):
            if not (isinstance(left, str) and isinstance(self.limit, str)):
                return False
            return self._compare((left > self.limit) - (left < self.limit))
        return left == left and self._compare((left > self.limit) - (left < self.limit))

    def _compare(self, sign: int) -> bool:
        match self.operator:
            case "<":
                return sign < 0
            case "<=":
                return sign <= 0
            case ">":
                return sign > 0
            case ">=":
                return sign >= 0
            case "==":
                return sign == 0
            case "!=":
                return sign != 0


class SeriesRules(msgspec.Struct, frozen=True):
    """One rule of the configuration: what it says about the series whose names match.

    Attributes:
        series: A name; `*` and `?` stand for anything within a segment, `**` for anything, `{word}` for one
            segment.
        origin: A node's name, in which `*` stands for anything.
        dead_band: If the rule is one.
        summary: If the rule is one.
        drops: Predicates; one that holds is enough.
        volatile: Declared so: excluded from the promise until a derived row exists.
        deferred: A reading may be kept later than it was acknowledged (a log message that may go on).
        final: Later rules are not tried for a series that this one covers.
    """

    series: str
    origin: str = "*"
    dead_band: DeadBand | None = None
    summary: Summary | None = None
    drops: list[DropWhen] = []
    volatile: bool = False
    deferred: bool = False
    final: bool = True

    def covers(self, origin: str, series: str) -> bool:
        """Whether the rule is about that series."""
        return bool(_name(self.series).fullmatch(series)) and fnmatch.fnmatchcase(origin, self.origin)


class Expectation(msgspec.Struct, frozen=True):
    """What all rules of one series say together. None of them: every reading has to be present.

    Attributes:
        dead_bands: A missing reading lies within each of them.
        summaries: A missing reading is counted by each of them.
        drops: A missing reading satisfies one of them.
        volatile, deferred: As one of the rules says.
    """

    dead_bands: list[DeadBand]
    summaries: list[Summary]
    drops: list[DropWhen]
    volatile: bool
    deferred: bool


def expected(rules: Iterable[SeriesRules], origin: str, series: str) -> Expectation:
    """Collect the rules of a series: in order, up to and with the first that is final."""
    taken: list[SeriesRules] = []
    for rule in rules:
        if rule.covers(origin, series):
            taken.append(rule)
            if rule.final:
                break
    return Expectation(
        [rule.dead_band for rule in taken if rule.dead_band is not None],
        [rule.summary for rule in taken if rule.summary is not None],
        [drop for rule in taken for drop in rule.drops],
        any(rule.volatile for rule in taken),
        any(rule.deferred for rule in taken),
    )


@lru_cache(maxsize=1024)
def _name(pattern: str) -> re.Pattern[str]:
    words = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*|\*|\?|\{\w+\})", pattern)
    return re.compile(
        "".join(
            words.get(part) or ("[^/]+" if re.fullmatch(r"\{\w+\}", part) else re.escape(part))
            for part in parts
        ),
        re.DOTALL,
    )


class Window(msgspec.Struct, frozen=True):
    """Value of a summary row: [start, end) in event time, ns UTC.

    Attributes:
        since: Names the restart, or the change of the rules, since which the rule held. Rows that differ in
            it tell of different readings, even of one span.
        complete: False of a part: a node that went on from a copy of another tells what was open in it.
    """

    rule: str
    start: int
    end: int
    count: int
    min: float
    max: float
    sum: float
    revision: int = 0
    complete: bool = True
    since: int = 0

    @property
    def weight(self) -> tuple[int, bool, int]:
        """Of rows of one key the heaviest holds the readings of the others."""
        return self.revision, self.complete, self.count


class CloudRow(msgspec.Struct, frozen=True):
    """One row of the cloud's answer.

    Attributes:
        origin: Node where the row was committed first.
        series: Name with labels.
        kind: READING, WINDOW ...
        ts: Device time, ns UTC; None without one.
        seq: Declared sequence; None without one.
        value: Of a reading; None in a window.
        window: Of a window; None otherwise.
        row_class: Class it travelled in.
        lane: Path of lanes that it came by, as the cloud names it: 0 live all the way, n as backlog on the
            last n hops.
        arrival: Commit at the cloud that made it durable there.
        rule_version: Version of the rules it was judged by.
        late: Kept as a point because it was older than what had been decided.
        boosted: Kept because a trigger raised the rate around it.
    """

    origin: str
    series: str
    kind: int
    ts: int | None
    seq: int | None
    value: Scalar | None
    row_class: str
    lane: str
    arrival: int
    window: Window | None = None
    rule_version: str = ""
    late: bool = False
    boosted: bool = False
