"""Severity: of log lines, only those at least as severe as configured go north.

Laws:

* A reading whose source says its severity is judged by that; any other text by its format (`logformats`).
* A line that continues a record shares the fate of the line that began it, so stack traces stay whole. Each
  line stays a reading of its own in the books.
* What no format recognises, and numbers, are kept: an unknown line may be the one that matters. So are lines
  that continue a record whose beginning this process has not seen (after a restart).
"""

from __future__ import annotations

from typing import Literal

from headland.line.filtering import logformats
from headland.line.filtering.shape import DROP, KEEP, Desk, Filter, FilterConfig, Loss, Row, Rows
from headland.vocabulary import RowClass, RowFlag, Value

_MASK = 0xFF
_UNKNOWN = 0


class Severity(FilterConfig, frozen=True, tag="severity"):
    """Send log lines from a severity upward.

    Attributes:
        at_least: Least severe that goes north (published: errors and warnings only).
        join: Whether lines that continue a record follow it; else each line is judged alone.
        unknown: What happens to a line of no known format outside a record: keep or drop.
    """

    at_least: Literal["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"] = (
        "warning"
    )
    join: bool = True
    unknown: Literal["keep", "drop"] = "keep"

    def build(self, rule: str, version: str, cls: RowClass) -> Filter:
        """A filter that has seen no line."""
        return SeverityFilter(self, rule, version, cls)

    def loss(self) -> Loss:
        """Less severe lines are gone."""
        return Loss(
            text=f"lines less severe than {self.at_least} are not known north, only their number and bytes"
        )


class SeverityFilter(Filter):
    """Remembers per series how the last record began; that is not state that an acknowledgement rests on."""

    __slots__ = ("_config", "_last", "_limit")

    def __init__(self, config: Severity, rule: str, version: str, cls: RowClass) -> None:
        super().__init__(rule, version, cls)
        self._config = config
        self._limit = logformats.NAMES.index(config.at_least)
        self._last: list[int] = []

    def admit(self, sid: int) -> None:
        """Make room for the series."""
        self._last += [_UNKNOWN] * (sid + 1 - len(self._last))

    def judge(self, row: Row) -> int:
        """Keep by severity."""
        return self._verdict(self._severity(row.sid, row.value, row.flags))

    def _verdict(self, severity: int | None) -> int:
        if severity is None:
            return KEEP if self._config.unknown == "keep" else DROP
        return KEEP if severity <= self._limit else DROP

    def _severity(self, sid: int, value: Value, flags: int) -> int | None:
        given = flags >> RowFlag.SEVERITY_SHIFT & _MASK
        if given:
            return given - 1
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if not isinstance(value, str):
            return 0
        severity = logformats.begins(value)
        if severity is not None or not self._config.join:
            return severity
        before = self._last[sid]
        own = logformats.continues(value)
        if before == _UNKNOWN:
            return own
        return before - 1 if own is None else min(own, before - 1)

    def apply(self, row: Row, verdict: int, n: int, desk: Desk | None, *, owns: bool) -> None:
        """Remember how the record began."""
        severity = self._severity(row.sid, row.value, row.flags)
        self._last[row.sid] = _UNKNOWN if severity is None else severity + 1

    def offer(self, rows: Rows, desk: Desk) -> None:
        """Each line once."""
        kept: list[int] = []
        kept_size = 0
        last, limit = self._last, self._limit
        unknown = self._config.unknown == "keep"
        flags = rows.flags or [0] * len(rows.sid)
        for i, (sid, value, flag) in enumerate(zip(rows.sid, rows.value, flags, strict=True)):
            severity = self._severity(sid, value, flag)
            last[sid] = _UNKNOWN if severity is None else severity + 1
            if unknown if severity is None else severity <= limit:
                kept.append(i)
                kept_size += rows.size[i]
        count = len(rows.sid)
        desk.keep(rows if len(kept) == count else rows.take(kept))
        desk.drop(count - len(kept), sum(rows.size) - kept_size)
