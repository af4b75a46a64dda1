"""A filter of your own: the first reading of every period, in 70 lines.

Put this file where the node can import it and name it in a rule:

    [[series]]
    name = "slow"
    match = "plant/*/level"
    filter = { kind = "plugin", use = "first_of_period:FirstOfPeriod", options = { period_s = 10.0 } }

It passes the same duties as every filter of Headland (tests/line/test_filter_contract.py).
"""

from __future__ import annotations

from typing import Any, ClassVar

from headland.line.filtering import Desk, Filter, FilterConfig, Loss, Row
from headland.line.filtering.shape import DROP, KEEP
from headland.vocabulary import ConfigurationError, Instant, RowClass


class FirstOfPeriod(FilterConfig, frozen=True, tag="first_of_period"):
    """Keep the first reading of every period of event time.

    Attributes:
        period_s: Length of a period, seconds.
    """

    period_s: float = 10.0

    def __post_init__(self) -> None:
        if not self.period_s > 0:
            raise ConfigurationError("period_s must be above 0", path="period_s")

    def build(self, rule: str, version: str, cls: RowClass) -> Filter:
        """One state for all series of the rule."""
        return FirstOfPeriodFilter(self, rule, version, cls)

    def loss(self) -> Loss:
        """What a reader cannot know."""
        return Loss(text=f"at most one reading in {self.period_s:g} s is known", time_s=self.period_s)


class FirstOfPeriodFilter(Filter):
    """State is the last kept period of each series; only kept rows change it."""

    learns_from_kept: ClassVar[bool] = True

    def __init__(self, config: FirstOfPeriod, rule: str, version: str, cls: RowClass) -> None:
        super().__init__(rule, version, cls)
        self._period = int(config.period_s * 1e9)
        self._last: dict[int, tuple[int, int]] = {}

    def judge(self, row: Row) -> int:
        """Say keep or drop; change nothing."""
        known = self._last.get(row.sid)
        return DROP if known is not None and known[0] == row.when // self._period else KEEP

    def apply(self, row: Row, verdict: int, n: int, desk: Desk | None, *, owns: bool) -> None:
        """Take over a row with its final verdict."""
        if verdict >= KEEP:
            self._last[row.sid] = (row.when // self._period, n)

    def needs(self, sids: Any) -> int:
        """The commit that drops of these series rest on."""
        return max((self._last[sid][1] for sid in sids if sid in self._last), default=0)

    def end_series(self, sid: int, desk: Desk | None) -> None:
        """Forget a series."""
        self._last.pop(sid, None)

    def snapshot(self) -> Any:
        """State as plain values."""
        return sorted((sid, *pair) for sid, pair in self._last.items())

    def restore(self, state: Any, now: Instant) -> None:
        """Take over a snapshot."""
        self._last = {sid: (period, n) for sid, period, n in state}
