"""Dead band: a reading goes north only when it differs enough from the last one that did.

Law (on-time rows): ``|reading - reference| <= max(ratio * |reference|, floor)`` for every dropped reading,
where the reference is the last kept reading, so a reader who holds the last value is never wrong by more.

* A reading with device time not newer than the reference is kept, flagged LATE, and does not move the
  reference: it is a point, not a hold.
* Readings without device time are judged in the order of arrival.
* Text, NaN and infinities go north when they differ from the reference at all.
* After a tombstone (`refresh`) the next reading is a fresh reference, flagged REFERENCE.

The quick test per reading is two comparisons with precomputed bounds, moved one ulp inwards so that rounding
can never drop a reading that the law would keep; what fails the quick test is judged exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, isfinite, nan, nextafter
from typing import Any, ClassVar

from headland.line.filtering.shape import (
    DROP,
    FLAGS_OF,
    KEEP,
    KEEP_LATE,
    KEEP_REFERENCE,
    Desk,
    Filter,
    FilterConfig,
    Loss,
    Row,
    Rows,
)
from headland.vocabulary import NO_TIME, ConfigurationError, Instant, RowClass, Value

FOREVER = 1 << 62
_EXACT = 1 << 53


class DeadBand(FilterConfig, frozen=True, tag="deadband"):
    """Send only changes larger than a threshold.

    Attributes:
        ratio: Threshold as a share of the last sent value (published: 0.05).
        floor: Smallest threshold, in the unit of the series; needed wherever values come near zero.
        absolute: Fixed threshold in the unit of the series instead of the share; None = use the share.
        heartbeat_s: Send a reading at least this often, in seconds; 0 = only changes.
    """

    ratio: float = 0.05
    floor: float = 0.0
    absolute: float | None = None
    heartbeat_s: float = 0.0

    def __post_init__(self) -> None:
        for field, value in (("ratio", self.ratio), ("floor", self.floor), ("heartbeat_s", self.heartbeat_s)):
            if not (value >= 0 and isfinite(value)):
                raise ConfigurationError(
                    f"{field} must be a finite number of 0 or more, got {value}", path=field
                )
        if self.absolute is not None and not (self.absolute >= 0 and isfinite(self.absolute)):
            raise ConfigurationError("absolute must be a finite number of 0 or more", path="absolute")

    def build(self, rule: str, version: str, cls: RowClass) -> Filter:
        """A dead band with no reference yet."""
        return DeadBandFilter(self, rule, version, cls)

    def loss(self) -> Loss:
        """The largest error of a reader who holds the last value."""
        if self.absolute is not None:
            return Loss(
                text=f"a held value is wrong by at most {self.absolute}",
                error_ratio=0.0,
                error_floor=self.absolute,
            )
        return Loss(
            text=f"a held value is wrong by at most {self.ratio:.3g} of itself, at least {self.floor}",
            error_ratio=self.ratio,
            error_floor=self.floor,
        )

    def threshold(self, reference: float) -> float:
        """Largest difference from `reference` that is dropped."""
        if self.absolute is not None:
            return self.absolute
        return max(self.ratio * abs(reference), self.floor)


class DeadBandFilter(Filter):
    """References in flat lists indexed by series id.

    `_low`, `_high`, `_since`, `_until` are the quick test derived from `_value`, `_ts`; only the latter,
    with the node time of the reference and the commit it was written in, are state.
    """

    __slots__ = (
        "_config",
        "_heartbeat",
        "_high",
        "_low",
        "_n",
        "_node",
        "_since",
        "_ts",
        "_until",
        "_value",
    )

    learns_from_kept: ClassVar[bool] = True

    def __init__(self, config: DeadBand, rule: str, version: str, cls: RowClass) -> None:
        super().__init__(rule, version, cls)
        self._config = config
        self._heartbeat = int(config.heartbeat_s * 1e9)
        self._value: list[Value | None] = []
        self._ts: list[int] = []
        self._node: list[int] = []
        self._n: list[int] = []
        self._low: list[float] = []
        self._high: list[float] = []
        self._since: list[int] = []
        self._until: list[int] = []

    def admit(self, sid: int) -> None:
        """Make room for the series."""
        grow = sid + 1 - len(self._value)
        if grow > 0:
            self._value += [None] * grow
            self._ts += [NO_TIME] * grow
            self._node += [0] * grow
            self._n += [0] * grow
            self._low += [nan] * grow
            self._high += [nan] * grow
            self._since += [FOREVER] * grow
            self._until += [FOREVER] * grow

    def judge(self, row: Row) -> int:
        """Exact verdict."""
        return self._verdict(row.sid, row.ts, row.when, row.value)

    def _verdict(self, sid: int, ts: int, when: int, value: Value) -> int:
        reference = self._value[sid]
        if reference is None:
            return KEEP_REFERENCE
        last = self._ts[sid]
        if ts != NO_TIME and ts <= last:
            return KEEP_LATE
        if self._heartbeat:
            if ts != NO_TIME and last != NO_TIME:
                if ts - last >= self._heartbeat:
                    return KEEP
            elif when - self._node[sid] >= self._heartbeat:
                return KEEP
        return DROP if self._same(reference, value) else KEEP

    def _same(self, reference: Value, value: Value) -> bool:
        if isinstance(reference, str | bytes) or isinstance(value, str | bytes):
            return type(reference) is type(value) and reference == value
        if value == reference or (value != value and reference != reference):
            return True
        try:
            return abs(value - reference) <= self._config.threshold(reference) < inf
        except OverflowError:
            return False

    def apply(self, row: Row, verdict: int, n: int, desk: Desk | None, *, owns: bool) -> None:
        """A kept reading newer than the reference becomes the reference."""
        if verdict >= KEEP:
            self._move(row.sid, row.ts, row.when, row.value, n)

    def _move(self, sid: int, ts: int, when: int, value: Value, n: int) -> None:
        if self._value[sid] is not None:
            if ts == NO_TIME:
                ts = self._ts[sid]
            elif ts <= self._ts[sid]:
                return
        self._value[sid] = value
        self._ts[sid] = ts
        self._node[sid] = when
        self._n[sid] = n
        self._bounds(sid)

    def _bounds(self, sid: int) -> None:
        """Precompute the quick test of a series from its reference."""
        value = self._value[sid]
        low = high = nan
        if (
            value is not None
            and not isinstance(value, str | bytes)
            and (isinstance(value, float) or abs(value) < _EXACT)
        ):
            reference = float(value)
            threshold = self._config.threshold(reference)
            if isfinite(reference) and isfinite(threshold):
                low, high = reference, reference
                if threshold > 0:
                    low = min(reference, nextafter(reference - threshold, inf))
                    high = max(reference, nextafter(reference + threshold, -inf))
        last = self._ts[sid]
        self._low[sid], self._high[sid] = low, high
        self._since[sid] = NO_TIME - 1 if last == NO_TIME else last
        if not self._heartbeat:
            self._until[sid] = FOREVER
        elif last == NO_TIME:
            self._until[sid] = NO_TIME - 1
        else:
            self._until[sid] = last + self._heartbeat

    def offer(self, rows: Rows, desk: Desk) -> None:
        """The quick test over whole columns; only what fails it is judged exactly."""
        kept, flags = self.scan(rows, desk.n)
        count = len(rows.sid)
        if len(kept) == count:
            desk.keep(rows, flags)
            return
        taken = rows.take(kept)
        if kept:
            desk.keep(taken, flags)
        desk.drop(count - len(kept), sum(rows.size) - sum(taken.size))

    def scan(self, rows: Rows, n: int) -> tuple[list[int], list[int]]:
        """Judge and apply whole columns in order; returns the indices kept and their flags."""
        low, high, since, until = self._low, self._high, self._since, self._until
        kept: list[int] = []
        flags: list[int] = []
        step = enumerate(zip(rows.sid, rows.ts, rows.value, strict=True))
        i = -1
        while True:
            try:
                for i, (sid, ts, value) in step:
                    if low[sid] <= value <= high[sid] and since[sid] < ts < until[sid]:  # type: ignore[operator]
                        continue
                    self._exact(rows, i, n, kept, flags)
                return kept, flags
            except TypeError:
                self._exact(rows, i, n, kept, flags)

    def _exact(self, rows: Rows, i: int, n: int, kept: list[int], flags: list[int]) -> None:
        sid, ts, when, value = rows.sid[i], rows.ts[i], rows.when[i], rows.value[i]
        verdict = self._verdict(sid, ts, when, value)
        if verdict:
            self._move(sid, ts, when, value, n)
            kept.append(i)
            flags.append(FLAGS_OF[verdict])

    def replay(self, rows: Rows, verdict: int, n: int) -> None:
        """Whole columns at once: the quick tests are derived once a series."""
        if verdict < KEEP:
            return
        values, times, node, commits = self._value, self._ts, self._node, self._n
        for sid, ts, when, value in zip(rows.sid, rows.ts, rows.when, rows.value, strict=True):
            if ts > times[sid] or values[sid] is None:
                times[sid] = ts
            elif ts != NO_TIME:
                continue
            values[sid], node[sid], commits[sid] = value, when, n
        for sid in set(rows.sid):
            self._bounds(sid)

    def needs(self, sids: Iterable[int]) -> int:
        """The newest commit among the references."""
        return max(map(self._n.__getitem__, sids), default=0)

    def refresh(self, sid: int) -> None:
        """Forget the reference: the next reading is a fresh one."""
        if sid < len(self._value):
            self._value[sid] = None
            self._ts[sid] = NO_TIME
            self._low[sid] = self._high[sid] = nan

    def end_series(self, sid: int, desk: Desk | None) -> None:
        """The next reading under other rules is a fresh reference."""
        self.refresh(sid)

    def snapshot(self) -> Any:
        """References of the series that have one."""
        have = [sid for sid, value in enumerate(self._value) if value is not None]
        return [
            have,
            [self._value[s] for s in have],
            [self._ts[s] for s in have],
            [self._node[s] for s in have],
            [self._n[s] for s in have],
        ]

    def restore(self, state: Any, now: Instant) -> None:
        """Take over references."""
        for sid, value, ts, node, n in zip(*state, strict=True):
            self.admit(sid)
            self._value[sid], self._ts[sid], self._node[sid], self._n[sid] = value, ts, node, n
            self._bounds(sid)
