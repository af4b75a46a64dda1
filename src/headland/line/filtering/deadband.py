"""Dead band: a reading goes north only when it differs enough from the last one that did.

Law (on-time rows): ``|reading - reference| <= max(ratio * |reference|, floor)`` for every dropped reading,
where the reference is the last kept reading, so a reader who holds the last value is never wrong by more.

* A reading with device time not newer than the newest *judged* one of its series, kept or dropped, is kept,
  flagged LATE, and does not move the reference: it is a point, not a hold. (Were only the reference asked, a
  reading that comes out of order could become the hold of a younger one that was dropped against another.)
* What is kept flagged LATE for whatever reason (a summary's lateness, a boost's ring) is no reference either.
* Readings without device time are judged in the order of arrival.
* Text, NaN and infinities go north when they differ from the reference at all.
* After a tombstone (`refresh`) the next reading that is not late is a fresh reference, flagged REFERENCE.
* A restart forgets when the newest dropped reading was; the newest kept one's time is state.

The quick test per reading is two comparisons with precomputed bounds, moved one ulp inwards so that rounding
can never drop a reading that the law would keep; what fails the quick test is judged exactly. What passes
it is noted as the newest judged: one more list write.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from math import inf, isfinite, nan, nextafter
from typing import Any, ClassVar

from headland.line.filtering.shape import (
    DROP,
    FLAGS_OF,
    KEEP,
    KEEP_LATE,
    KEEP_LATE_BOOST,
    KEEP_REFERENCE,
    Desk,
    Filter,
    FilterConfig,
    Loss,
    Row,
    Rows,
)
from headland.vocabulary import NO_TIME, ConfigurationError, Instant, RowClass, RowFlag, Value

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

    `_low`, `_high`, `_since`, `_until` are the quick test; but for `_since`, the time of the newest judged
    reading, they are derived from `_value`, `_ts`. Only the latter, with the node time of the reference and
    the commit it was written in, are state: a frame tells of no reading that was dropped.
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
            self._since += [NO_TIME] * grow
            self._until += [FOREVER] * grow

    def judge(self, row: Row) -> int:
        """Exact verdict."""
        return self._verdict(row.sid, row.ts, row.when, row.value)

    def _verdict(self, sid: int, ts: int, when: int, value: Value) -> int:
        if ts != NO_TIME and ts <= self._since[sid]:
            return KEEP_LATE
        reference = self._value[sid]
        if reference is None:
            return KEEP_REFERENCE
        last = self._ts[sid]
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
        """A kept reading that is not late becomes the reference; of others the time is noted."""
        sid, ts = row.sid, row.ts
        if ts != NO_TIME and ts <= self._since[sid]:
            return
        if verdict in (KEEP_LATE, KEEP_LATE_BOOST) or row.flags & RowFlag.LATE:
            return
        if verdict >= KEEP:
            self._move(sid, ts, row.when, row.value, n)
        elif ts != NO_TIME:
            self._since[sid] = ts

    def _move(self, sid: int, ts: int, when: int, value: Value, n: int) -> None:
        self._value[sid] = value
        if ts != NO_TIME:
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
        self._since[sid] = max(self._since[sid], last)
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
        timed, quick = rows.when is rows.ts, not self._heartbeat
        while True:
            try:
                if timed:
                    for i, (sid, ts, value) in step:
                        if low[sid] <= value <= high[sid] and since[sid] < ts < until[sid]:  # type: ignore[operator]
                            since[sid] = ts
                            continue
                        self._exact(rows, i, n, kept, flags)
                    return kept, flags
                for i, (sid, ts, value) in step:
                    if low[sid] <= value <= high[sid]:  # type: ignore[operator]
                        if ts == NO_TIME and quick:
                            continue
                        if since[sid] < ts < until[sid]:
                            since[sid] = ts
                            continue
                    self._exact(rows, i, n, kept, flags)
                return kept, flags
            except TypeError:
                self._exact(rows, i, n, kept, flags)

    def _exact(self, rows: Rows, i: int, n: int, kept: list[int], flags: list[int]) -> None:
        sid, ts, when, value = rows.sid[i], rows.ts[i], rows.when[i], rows.value[i]
        verdict = self._verdict(sid, ts, when, value)
        if verdict:
            if verdict != KEEP_LATE:
                self._move(sid, ts, when, value, n)
            kept.append(i)
            flags.append(FLAGS_OF[verdict])
        elif ts != NO_TIME:
            self._since[sid] = ts

    def replay(self, rows: Rows, verdict: int, n: int) -> None:
        """Whole columns at once: the quick tests are derived once a series."""
        if verdict < KEEP:
            return
        values, times, node, commits = self._value, self._ts, self._node, self._n
        flags = repeat(0, len(rows.sid)) if rows.flags is None else rows.flags
        for sid, ts, when, value, flag in zip(rows.sid, rows.ts, rows.when, rows.value, flags, strict=True):
            if flag & RowFlag.LATE:
                continue
            if ts != NO_TIME:
                if ts <= times[sid]:
                    continue
                times[sid] = ts
            values[sid], node[sid], commits[sid] = value, when, n
        for sid in set(rows.sid):
            self._bounds(sid)

    def needs(self, sids: Iterable[int]) -> int:
        """The newest commit among the references."""
        return max(map(self._n.__getitem__, sids), default=0)

    def refresh(self, sid: int) -> None:
        """Forget the reference, not its time: the next reading that is not late is a fresh one."""
        if sid < len(self._value):
            self._value[sid] = None
            self._low[sid] = self._high[sid] = nan

    def end_series(self, sid: int, desk: Desk | None) -> None:
        """The next reading under other rules is a fresh reference."""
        self.refresh(sid)

    def snapshot(self) -> Any:
        """References of the series that have one, or had one; the value is None where it was forgotten."""
        have = [sid for sid, value in enumerate(self._value) if value is not None or self._ts[sid] != NO_TIME]
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
