"""Vibration: features of sample windows instead of samples; events at once, a summary every five minutes.

Laws:

* Every sample is in exactly one window, or in the tail of one that a gap or a silence ended (`partial`
  counts those samples; they have no spectrum).
* A feature beyond its limit makes an event with all features of that window at once, and again only after
  the feature has been within its limit.
* A feature row covers the windows that began in its span of `summary_s`, or up to a silence in it; then the
  samples' account is folded. Its start is its first sample's time, its end is after its last one's.
* A sample not newer than the last one is kept as itself, flagged LATE; what is no finite number is kept as
  itself.

A feature row is msgpack {rule, version, start, end, revision (0), complete, windows, samples, partial,
beyond, features {name: {mean, max}}}. Events and rows need no clock: samples drive them, and a clock only
ends a silence. Samples may come one a reading, or packed in bytes (`packed`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any, Literal

import msgspec

from headland.line.filtering.shape import HOLD, KEEP, KEEP_LATE, Desk, Filter, FilterConfig, Loss, Row, Rows
from headland.line.filtering.spectrum import features, unpacked
from headland.vocabulary import NO_TIME, ConfigurationError, Instant, RowClass, RowFlag, RowKind, Value

NEVER = -(1 << 62)
_WIDTH = {"float32": 4, "float64": 8, "int16": 2}


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A band of frequencies, for instance around a bearing's fault frequency.

    Attributes:
        name: Its name; the feature is `band.NAME`.
        low_hz: Lower edge, in it.
        high_hz: Upper edge, not in it.
    """

    name: str
    low_hz: float
    high_hz: float


class Vibration(FilterConfig, frozen=True, tag="vibration"):
    """FFT and thresholds over windows of samples.

    Attributes:
        rate_hz: Samples per second.
        window: Samples in a window (16 to 65,536).
        bands: Bands whose RMS is a feature; empty = four equal ones up to half the rate.
        limits: Feature (rms, peak, crest, kurtosis, band.NAME) to the value above which it makes an event.
        summary_s: One feature row per so many seconds of event time (published: 5 min).
        event_class: Class of event rows.
        packed: How bytes hold samples, little-endian; none = bytes are no samples.
    """

    rate_hz: float
    window: int = 4096
    bands: tuple[Band, ...] = ()
    limits: dict[str, float] = msgspec.field(default_factory=dict)
    summary_s: float = 300.0
    event_class: Literal["critical", "high", "normal", "low"] = "high"
    packed: Literal["none", "float32", "float64", "int16"] = "none"

    def __post_init__(self) -> None:
        if not (self.rate_hz > 0 and isfinite(self.rate_hz)):
            raise ConfigurationError("rate_hz must be above 0", path="rate_hz")
        if not 16 <= self.window <= 65_536:
            raise ConfigurationError("window must be 16 to 65,536 samples", path="window")
        if not (self.summary_s >= self.window / self.rate_hz and isfinite(self.summary_s)):
            raise ConfigurationError("summary_s must be at least one window long", path="summary_s")
        for band in self.bands:
            if not 0 <= band.low_hz < band.high_hz:
                raise ConfigurationError(f"band {band.name!r}: low_hz must be below high_hz", path="bands")
        known = {"rms", "peak", "crest", "kurtosis", *(f"band.{name}" for name, _, _ in self.edges())}
        for name in self.limits:
            if name not in known:
                raise ConfigurationError(
                    f"no feature {name!r}", path="limits", hint=f"features are {', '.join(sorted(known))}"
                )

    def edges(self) -> tuple[tuple[str, float, float], ...]:
        """Name, lower and upper edge of every band."""
        if self.bands:
            return tuple((band.name, band.low_hz, band.high_hz) for band in self.bands)
        step = self.rate_hz / 8
        return tuple((str(i + 1), i * step, (i + 1) * step + (1.0 if i == 3 else 0.0)) for i in range(4))

    def build(self, rule: str, version: str, cls: RowClass) -> Filter:
        """A filter that holds no sample."""
        return VibrationFilter(self, rule, version, cls)

    def loss(self) -> Loss:
        """Samples are gone, their features stay."""
        return Loss(
            text="samples are not known, only mean and maximum of their features every "
            f"{self.summary_s:g} s and the features of each window beyond a limit",
            time_s=self.summary_s,
        )


class _Series:
    """Samples and features of one series since the last feature row."""

    __slots__ = (
        "beyond",
        "first",
        "over",
        "owed_n",
        "owed_size",
        "partial",
        "samples",
        "span",
        "start",
        "sums",
        "tops",
        "waiting",
        "when",
        "whole",
        "windows",
    )

    def __init__(self) -> None:
        self.waiting: list[float] = []
        self.start = NEVER
        self.when = NEVER
        self.over: list[str] = []
        self.whole = True
        self.clear(NEVER)

    def clear(self, span: int) -> None:
        """Begin a feature row."""
        self.span = span
        self.first = NEVER
        self.windows = self.samples = self.partial = self.beyond = 0
        self.owed_n = self.owed_size = 0
        self.sums: dict[str, float] = {}
        self.tops: dict[str, float] = {}

    def state(self) -> list[Any]:
        """As plain values."""
        return [
            list(self.waiting),
            [self.start, self.when, self.span, self.windows, self.samples, self.partial, self.beyond],
            [self.owed_n, self.owed_size, self.first],
            self.whole,
            list(self.over),
            dict(self.sums),
            dict(self.tops),
        ]

    @classmethod
    def of(cls, state: list[Any]) -> _Series:
        """From `state`."""
        one = cls()
        one.waiting = list(state[0])
        one.start, one.when, one.span, one.windows, one.samples, one.partial, one.beyond = state[1]
        one.owed_n, one.owed_size, one.first = state[2]
        one.whole, one.over, one.sums, one.tops = state[3], list(state[4]), dict(state[5]), dict(state[6])
        return one


class VibrationFilter(Filter):
    """Windows of all series of one rule."""

    __slots__ = (
        "_busy",
        "_config",
        "_edges",
        "_event_class",
        "_gap",
        "_marks",
        "_series",
        "_span",
        "_wake_at",
    )

    def __init__(self, config: Vibration, rule: str, version: str, cls: RowClass) -> None:
        super().__init__(rule, version, cls)
        self._config = config
        self._edges = config.edges()
        self._event_class = RowClass[config.event_class.upper()]
        self._span = int(config.summary_s * 1e9)
        self._gap = int(2.5e9 / config.rate_hz)
        self._series: dict[int, _Series] = {}
        self._marks: dict[int, tuple[tuple[int, int], int]] = {}
        self._wake_at = 0
        self._busy = False

    @property
    def placed(self) -> bool:
        """Feature rows are event time."""
        return True

    def judge(self, row: Row) -> int:
        """Held if it is a sample in time."""
        if self._count(row.value) == 0:
            return KEEP
        series = self._series.get(row.sid)
        if series is not None and row.ts != NO_TIME and row.when <= series.when:
            return KEEP_LATE
        return HOLD

    def _count(self, value: Value) -> int:
        """Samples in a value."""
        if type(value) is float or type(value) is int:
            return 1 if isfinite(value) else 0
        layout = self._config.packed
        if isinstance(value, bytes) and layout != "none" and value and len(value) % _WIDTH[layout] == 0:
            return len(value) // _WIDTH[layout]
        return 0

    def apply(self, row: Row, verdict: int, n: int, desk: Desk | None, *, owns: bool) -> None:
        """Add the samples, close what is full."""
        if self.judge(row) != HOLD:
            return
        value = row.value
        samples = unpacked(value, self._config.packed) if isinstance(value, bytes) else [value]
        self._add(row.sid, row.when, samples, (1, row.size) if owns else (0, 0), desk)  # type: ignore[arg-type]

    def _add(
        self, sid: int, when: int, samples: list[float], owed: tuple[int, int], desk: Desk | None
    ) -> None:
        self._busy = True
        series = self._series.get(sid)
        if series is None:
            series = self._series[sid] = _Series()
        if series.waiting and when - series.when > self._gap and len(samples) == 1:
            series.partial += len(series.waiting)
            series.samples += len(series.waiting)
            series.waiting.clear()
        if not series.waiting:
            self._begin(sid, series, when, desk)
        series.when = max(series.when, when)
        series.owed_n += owed[0]
        series.owed_size += owed[1]
        series.waiting += samples
        size = self._config.window
        while len(series.waiting) >= size:
            window = series.waiting[:size]
            del series.waiting[:size]
            self._window(sid, series, window, desk)
            if series.waiting:
                self._begin(sid, series, when, desk)

    def _begin(self, sid: int, series: _Series, when: int, desk: Desk | None) -> None:
        """A window begins; the first of a new span closes the span before."""
        span = when - when % self._span
        if series.span not in (NEVER, span):
            self._publish(sid, series, desk)
        series.span = span
        series.start = when
        if series.first == NEVER:
            series.first = when

    def _window(self, sid: int, series: _Series, window: list[float], desk: Desk | None) -> None:
        found = features(window, self._config.rate_hz, self._edges)
        series.windows += 1
        series.samples += len(window)
        for name, value in found.items():
            series.sums[name] = series.sums.get(name, 0.0) + value
            series.tops[name] = max(series.tops.get(name, value), value)
        over = [name for name, limit in sorted(self._config.limits.items()) if found[name] > limit]
        series.beyond += bool(over)
        fresh = [name for name in over if name not in series.over]
        series.over = over
        if fresh and desk is not None:
            told = {
                "rule": self.rule,
                "version": self.version,
                "state": "raised",
                "late": False,
                "value": found[fresh[0]],
                "since": series.start,
                "beyond": fresh,
                "features": found,
            }
            body = msgspec.msgpack.encode(told)
            desk.derive(sid, series.start, body, RowKind.EVENT, 0, self._event_class)

    def _publish(self, sid: int, series: _Series, desk: Desk | None, *, complete: bool = True) -> None:
        """Write the feature row of the span and begin another."""
        if desk is not None and series.samples:
            whole = complete and series.whole
            row = {
                "rule": self.rule,
                "version": self.version,
                "since": self.since,
                "start": series.first,
                "end": series.when + 1,
                "revision": 0,
                "complete": whole,
                "windows": series.windows,
                "samples": series.samples,
                "partial": series.partial,
                "beyond": series.beyond,
                "features": {
                    name: {"mean": total / series.windows, "max": series.tops[name]}
                    for name, total in series.sums.items()
                },
            }
            body = msgspec.msgpack.encode(row)
            flags = 0 if whole else RowFlag.INCOMPLETE
            desk.derive(sid, series.first, body, RowKind.FEATURES, flags, self.cls)
        if desk is not None:
            desk.fold(sid, series.owed_n, series.owed_size)
        series.whole = series.whole or series.samples > 0
        series.clear(series.span)

    def offer(self, rows: Rows, desk: Desk) -> None:
        """Whole columns of one series at once when they are floats without gaps and within one span."""
        sid = rows.sid[0]
        series = self._series.get(sid)
        steady = (
            series is not None
            and series.waiting
            and rows.sid.count(sid) == len(rows.sid)
            and set(map(type, rows.value)) <= {float, int}
            and all(map(isfinite, rows.value))  # type: ignore[arg-type]
            and len(series.waiting) + len(rows.sid) < self._config.window
            and self._without_gaps(series.when, rows)
        )
        if not steady or series is None:
            super().offer(rows, desk)
            return
        series.waiting += rows.value  # type: ignore[arg-type]
        series.when = max(series.when, rows.when[-1])
        series.owed_n += len(rows.sid)
        series.owed_size += sum(rows.size)
        desk.hold(rows)

    def _without_gaps(self, last: int, rows: Rows) -> bool:
        if rows.ts is not rows.when:
            return False
        gap = self._gap
        for when in rows.when:
            if not 0 < when - last <= gap:
                return False
            last = when
        return True

    def adopt(self, row: Row) -> bool:
        """Settle the account of a row whose sample is in the span that is open."""
        series = self._series.get(row.sid)
        if series is None or row.when < series.first or not (series.samples or series.waiting):
            return False
        series.owed_n += 1
        series.owed_size += row.size
        return True

    def owed(self) -> Iterator[tuple[int, int, int]]:
        """What the rows of open spans have to settle."""
        for sid, series in self._series.items():
            yield sid, series.owed_n, series.owed_size

    def next_wake(self) -> int | None:
        """Once a second while samples are held."""
        return self._wake_at if self._busy else None

    def wake(self, desk: Desk) -> None:
        """End the window and the span of series that say nothing."""
        now = desk.now.monotonic_ns
        self._wake_at = now + 1_000_000_000
        limit = max(self._span, 1_000_000_000)
        self._busy = False
        for sid, series in self._series.items():
            if not (series.samples or series.waiting):
                continue
            self._busy = True
            mark = (series.samples, len(series.waiting))
            seen = self._marks.get(sid)
            if seen is None or seen[0] != mark:
                self._marks[sid] = (mark, now)
            elif now - seen[1] >= limit:
                desk.op_on(sid, self.index, ["s", sid])
                self._end_span(sid, series, desk, complete=True)

    def _end_span(self, sid: int, series: _Series, desk: Desk | None, *, complete: bool) -> None:
        series.partial += len(series.waiting)
        series.samples += len(series.waiting)
        series.waiting.clear()
        self._publish(sid, series, desk, complete=complete)

    def end_series(self, sid: int, desk: Desk | None) -> None:
        """Emit what is there, incomplete."""
        series = self._series.pop(sid, None)
        self._marks.pop(sid, None)
        if series is not None:
            self._end_span(sid, series, desk, complete=False)

    def cut(self, desk: Desk | None) -> None:
        """Open spans are told, incomplete."""
        for sid, series in self._series.items():
            self._end_span(sid, series, desk, complete=False)

    def interrupt(self, sid: int) -> None:
        """Samples were lost: the row of the span they were in is not complete."""
        series = self._series.setdefault(sid, _Series())
        series.waiting.clear()
        series.whole = False

    def replay_op(self, operation: list[Any]) -> None:
        """A span that the clock ended."""
        series = self._series.get(operation[1])
        if series is not None:
            self._end_span(operation[1], series, None, complete=True)

    def snapshot(self) -> Any:
        """Every series."""
        return [[sid, series.state()] for sid, series in sorted(self._series.items())]

    def restore(self, state: Any, now: Instant) -> None:
        """Take over every series."""
        self._series = {sid: _Series.of(one) for sid, one in state}
        self._busy = bool(self._series)
