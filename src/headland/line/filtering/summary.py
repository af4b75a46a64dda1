"""Statistical summary: event-time windows instead of readings, with revisions and a declared lateness.

Laws:

* A window holds every on-time number of its series exactly once; count, minimum, maximum and sum are exact.
* It is published when the series' own watermark (newest reading - `lateness_s`) passes its end, or when the
  series has been silent for window + lateness; then its held readings are folded.
* A reading for a published window makes a revision while the window is still held (`hold_s`); older ones are
  kept as themselves, flagged LATE, and never folded.
* What cannot be folded is kept as itself: text, bytes, true and false, NaN and infinities.

A window row is msgpack: {rule, version, since, start, end, revision, complete, count, min, max, mean, std,
sum, quantiles {share: value}, quantile_error}. Its key is the series of the row, rule, version, since, start,
end and revision. `since` names the start of the process, or the change of the node's rules, from which on the
rule held for the series: where a node restarts, or rules are changed and changed back, within a window, two
rows tell of it, of readings of its own each, and neither is a revision of the other.

Windows end with the process that filled them: the next one tells what they held (`cut`), incomplete, and
begins its own. A node that runs on from a copy of this one's disk tells such a window under the same key; the
row of more readings holds those of the other.

The watermark is looked at whenever a reading passes the next moment at which it can change anything
(`_high`), so the quick path per reading is one comparison chain and two appends.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

import msgspec

from headland.line.filtering.shape import HOLD, KEEP, KEEP_LATE, Desk, Filter, FilterConfig, Loss, Row, Rows
from headland.line.filtering.window import CHUNK, Window
from headland.vocabulary import ConfigurationError, Instant, RowClass, RowFlag, RowKind, Value

NEVER = -(1 << 62)
TICK_NS = 1_000_000_000
_FOLDED = {float, int}


class Summary(FilterConfig, frozen=True, tag="summary"):
    """One row of statistics per window instead of the readings.

    Attributes:
        window_s: Length of a window in event time, seconds; windows begin at multiples of it since 1970.
        lateness_s: How long readings may arrive after younger ones of their series, seconds.
        hold_s: How long a published window is held for revisions, seconds of event time.
        quantiles: Shares (0 to 1, ascending) whose values a row states.
    """

    window_s: float = 60.0
    lateness_s: float = 30.0
    hold_s: float = 600.0
    quantiles: tuple[float, ...] = (0.5, 0.95, 0.99)

    def __post_init__(self) -> None:
        if not (self.window_s >= 0.001 and isfinite(self.window_s)):
            raise ConfigurationError("window_s must be at least 0.001 seconds", path="window_s")
        for field, value in (("lateness_s", self.lateness_s), ("hold_s", self.hold_s)):
            if not (value >= 0 and isfinite(value)):
                raise ConfigurationError(f"{field} must be a finite number of 0 or more", path=field)
        if (self.lateness_s + self.hold_s) / self.window_s > 10_000:
            raise ConfigurationError(
                "more than 10,000 windows of a series would be held", path="hold_s", hint="lower hold_s"
            )
        if list(self.quantiles) != sorted(self.quantiles) or not all(0 <= q <= 1 for q in self.quantiles):
            raise ConfigurationError("quantiles must ascend from 0 to 1", path="quantiles")

    def build(self, rule: str, version: str, cls: RowClass) -> Filter:
        """A filter without windows."""
        return SummaryFilter(self, rule, version, cls)

    def loss(self) -> Loss:
        """Single readings are gone; their statistics are exact but for the quantiles."""
        return Loss(
            text="single readings are not known, only count, extremes, sum, deviation and quantiles "
            f"(error from 1 % of the value, stated in each row) of every {self.window_s:g} s",
            time_s=self.window_s,
        )


class SummaryFilter(Filter):
    """Windows of all series of one rule.

    `_low`, `_high`, `_add`, `_add_size` are the quick test and its two appends, derived by `_aim`; state is
    `_open` (series to windows by start), `_newest` and `_horizon` (readings before it are late).
    """

    __slots__ = (
        "_add",
        "_add_size",
        "_broken",
        "_config",
        "_cut",
        "_dirty",
        "_high",
        "_hold",
        "_horizon",
        "_lateness",
        "_low",
        "_marks",
        "_newest",
        "_open",
        "_since",
        "_size",
        "_wake_at",
    )

    def __init__(self, config: Summary, rule: str, version: str, cls: RowClass) -> None:
        super().__init__(rule, version, cls)
        self._config = config
        self._size = int(config.window_s * 1e9)
        self._lateness = int(config.lateness_s * 1e9)
        self._hold = int(config.hold_s * 1e9)
        self._open: dict[int, dict[int, Window]] = {}
        self._newest: list[int] = []
        self._horizon: list[int] = []
        self._low: list[int] = []
        self._high: list[int] = []
        self._add: list[Any] = []
        self._add_size: list[Any] = []
        self._marks: dict[int, tuple[tuple[int, int], int]] = {}
        self._dirty: dict[tuple[int, int], int] = {}
        self._wake_at = 0
        self._broken: set[int] = set()
        self._since: dict[int, int] = {}
        self._cut: dict[int, int] = {}

    @property
    def placed(self) -> bool:
        """Windows are event time."""
        return True

    def admit(self, sid: int) -> None:
        """Make room for the series."""
        grow = sid + 1 - len(self._newest)
        if grow > 0:
            self._newest += [NEVER] * grow
            self._horizon += [NEVER] * grow
            self._low += [0] * grow
            self._high += [NEVER] * grow
            self._add += [None] * grow
            self._add_size += [None] * grow

    def begin(self, sid: int, change: int) -> None:
        """Rows of windows of this series say from now on since when."""
        self._since[sid] = change

    def cut(self, desk: Desk | None) -> None:
        """Open windows are told and given up; those of times that had come are parts from now on."""
        for sid in list(self._open):
            windows = self._open.pop(sid)
            for start in sorted(windows):
                if windows[start].count != windows[start].told:
                    self._publish(sid, windows[start], desk, complete=False)
            self._marks.pop(sid, None)
            self._cut[sid] = self._newest[sid]
            self._aim(sid)
        self._since.clear()

    def judge(self, row: Row) -> int:
        """Held if it can be folded in time."""
        value = row.value
        if type(value) not in _FOLDED or not isfinite(value):  # type: ignore[arg-type]
            return KEEP
        return KEEP_LATE if row.when < self._horizon[row.sid] else HOLD

    def apply(self, row: Row, verdict: int, n: int, desk: Desk | None, *, owns: bool) -> None:
        """Add it to its window, whatever became of it, unless it cannot be folded or is late."""
        if self.judge(row) == HOLD:
            self._add_one(row.sid, row.when, row.value, row.size if owns else None, desk)

    def _add_one(self, sid: int, when: int, value: Value, size: int | None, desk: Desk | None) -> None:
        """Add a foldable value; `size` None = another filter settles its account."""
        window = self._window_for(sid, when)
        window.waiting.append(value)  # type: ignore[arg-type]
        if size is not None:
            window.sizes.append(size)
        if len(window.waiting) >= CHUNK:
            window.settle()
        if not self._low[sid] <= when < self._high[sid]:
            self._advance(sid, when, desk)

    def adopt(self, row: Row) -> bool:
        """Settle the account of a row that is already in a window, when that is published."""
        window = self._open.get(row.sid, {}).get(row.when - row.when % self._size)
        if window is None or (window.revision >= 0 and window.count == window.told):
            return False
        window.owed_n += 1
        window.owed_size += row.size
        return True

    def owed(self) -> Iterator[tuple[int, int, int]]:
        """What windows have to settle when they are published."""
        for sid, windows in self._open.items():
            for window in windows.values():
                yield sid, *window.owed()

    def _window_for(self, sid: int, when: int) -> Window:
        start = when - when % self._size
        windows = self._open.get(sid)
        if windows is None:
            windows = self._open[sid] = {}
        window = windows.get(start)
        if window is None:
            window = windows[start] = Window(start)
            window.whole = sid not in self._broken and start > self._cut.get(sid, NEVER)
        return window

    def _advance(self, sid: int, when: int, desk: Desk | None) -> None:
        """Let the watermark do its work, then aim the quick test again."""
        if when > self._newest[sid]:
            self._newest[sid] = when
            mark = self._newest[sid] - self._lateness
            windows = self._open[sid]
            for start in sorted(windows):
                end = start + self._size
                if end > mark:
                    break
                window = windows[start]
                if window.revision < 0:
                    self._publish(sid, window, desk)
                if end <= mark - self._hold:
                    self._forget(sid, window, desk)
            kept = mark - self._hold
            self._horizon[sid] = max(self._horizon[sid], kept - kept % self._size)
            self._broken.discard(sid)
            if self._cut.get(sid, self._horizon[sid]) < self._horizon[sid]:
                del self._cut[sid]
        self._aim(sid)

    def _aim(self, sid: int) -> None:
        """The quick test takes readings of the newest window until the watermark next matters."""
        windows = self._open.get(sid, {})
        newest = self._newest[sid]
        window = windows.get(newest - newest % self._size)
        if window is None or window.revision >= 0:
            self._low[sid], self._high[sid] = 0, NEVER
            return
        high = window.start + self._size
        for one in windows.values():
            due = one.start + self._size + self._lateness + (self._hold if one.revision >= 0 else 0)
            high = min(high, due)
        self._low[sid], self._high[sid] = window.start, high
        self._add[sid] = window.waiting.append
        self._add_size[sid] = window.sizes.append

    def _publish(self, sid: int, window: Window, desk: Desk | None, *, complete: bool = True) -> None:
        if desk is not None:
            desk.fold(sid, *window.owed())
        window.publish()
        self._dirty.pop((sid, window.start), None)
        if desk is not None:
            whole = complete and window.whole
            row = {
                "rule": self.rule,
                "version": self.version,
                "since": self._since.get(sid, self.since),
                "start": window.start,
                "end": window.start + self._size,
                "revision": window.revision,
                "complete": whole,
                **window.figures(self._config.quantiles),
            }
            flags = 0 if whole else RowFlag.INCOMPLETE
            desk.derive(sid, window.start, msgspec.msgpack.encode(row), RowKind.WINDOW, flags, self.cls)

    def _forget(self, sid: int, window: Window, desk: Desk | None) -> None:
        """The window is no longer held; what came since it was last published becomes its last revision."""
        if window.count != window.told:
            self._publish(sid, window, desk)
        windows = self._open[sid]
        del windows[window.start]
        if not windows:
            del self._open[sid]
            self._marks.pop(sid, None)
        self._horizon[sid] = max(self._horizon[sid], window.start + self._size)

    def takes_all(self, rows: Rows) -> bool:
        """Whether every row can be folded in time, also after what the batch itself moves."""
        if not _FOLDED.issuperset(map(type, rows.value)) or not all(map(isfinite, rows.value)):  # type: ignore[arg-type]
            return False
        oldest = min(rows.when)
        if oldest < max(rows.when) - self._lateness - self._hold:
            return False
        return oldest >= max(map(self._horizon.__getitem__, set(rows.sid)))

    def offer(self, rows: Rows, desk: Desk) -> None:
        """Whole columns at once when every row can be folded."""
        if self.takes_all(rows):
            self.fold_in(rows, rows.size, desk)
            desk.hold(rows)
        else:
            super().offer(rows, desk)

    def fold_in(self, rows: Rows, owed: list[int], desk: Desk | None) -> None:
        """Add rows that can all be folded; `owed` has the payload bytes, or -1 where another settles them."""
        low, high, add, add_size = self._low, self._high, self._add, self._add_size
        for sid, when, value, size in zip(rows.sid, rows.when, rows.value, owed, strict=True):
            if low[sid] <= when < high[sid]:
                add[sid](value)
                if size >= 0:
                    add_size[sid](size)
            else:
                self._add_one(sid, when, value, size if size >= 0 else None, desk)
        for sid in set(rows.sid):
            if low[sid] < high[sid]:
                window = self._open[sid][low[sid]]
                if len(window.waiting) >= CHUNK:
                    window.settle()

    def replay(self, rows: Rows, verdict: int, n: int) -> None:
        """Whole columns at once; what was kept is in no window."""
        if verdict == HOLD and self.takes_all(rows):
            self.fold_in(rows, rows.size, None)
        else:
            super().replay(rows, verdict, n)

    def next_wake(self) -> int | None:
        """Once a second while windows are held."""
        return self._wake_at if self._open else None

    def wake(self, desk: Desk) -> None:
        """Publish, revise and forget windows of series that say nothing."""
        now = desk.now.monotonic_ns
        self._wake_at = now + max(TICK_NS, min(self._size, self._lateness) // 4)
        for sid in list(self._open):
            windows = self._open[sid]
            mark = (len(windows), sum(window.count for window in windows.values()))
            seen = self._marks.get(sid)
            if seen is None or seen[0] != mark:
                seen = self._marks[sid] = (mark, now)
            idle = now - seen[1]
            for start in sorted(windows):
                window = windows[start]
                if window.count != window.told:
                    due = self._dirty.setdefault((sid, start), now) + self._lateness
                    if idle >= self._size + self._lateness or (window.revision >= 0 and now >= due):
                        self._by_clock("p", sid, window, desk)
                elif idle >= self._size + self._lateness + self._hold:
                    self._by_clock("g", sid, window, desk)

    def _by_clock(self, what: str, sid: int, window: Window, desk: Desk) -> None:
        desk.op_on(sid, self.index, [what, sid, window.start])
        if what == "p":
            self._publish(sid, window, desk)
        else:
            self._forget(sid, window, desk)
        self._aim(sid)

    def replay_op(self, operation: list[Any]) -> None:
        """A window that the clock published or forgot."""
        what, sid, start = operation
        window = self._open.get(sid, {}).get(start)
        if window is None:
            return
        if what == "p":
            self._publish(sid, window, None)
        else:
            self._forget(sid, window, None)
        self._aim(sid)

    def interrupt(self, sid: int) -> None:
        """Windows that lost rows, and the one in which readings come again, are not complete."""
        for window in self._open.get(sid, {}).values():
            window.whole = window.whole and window.count == window.told
        self._broken.add(sid)

    def replay_derived(self, sid: int, value: bytes) -> None:
        """What a lost window has told stays told: later readings for it are late."""
        row = msgspec.msgpack.decode(value)
        if row["rule"] == self.rule:
            windows = self._open.get(sid, {})
            windows.pop(row["start"], None)
            self._horizon[sid] = max(self._horizon[sid], row["end"])
            self._aim(sid)

    def end_series(self, sid: int, desk: Desk | None) -> None:
        """Emit what is there; windows that were not published yet are incomplete."""
        windows = self._open.get(sid, {})
        for start in sorted(windows):
            window = windows[start]
            if window.count != window.told:
                self._publish(sid, window, desk, complete=window.revision >= 0)
        self._open.pop(sid, None)
        self._marks.pop(sid, None)
        self._cut.pop(sid, None)
        if sid < len(self._newest):
            self._newest[sid] = self._horizon[sid] = NEVER
            self._aim(sid)

    def snapshot(self) -> Any:
        """Windows, newest times, horizons, and since when the rule holds."""
        active = [sid for sid, newest in enumerate(self._newest) if newest != NEVER]
        return [
            active,
            [self._newest[sid] for sid in active],
            [self._horizon[sid] for sid in active],
            [
                [sid, [window.state() for _, window in sorted(windows.items())]]
                for sid, windows in sorted(self._open.items())
            ],
            sorted(self._since.items()),
            sorted(self._cut.items()),
        ]

    def restore(self, state: Any, now: Instant) -> None:
        """Take over windows."""
        for sid, newest, horizon in zip(*state[:3], strict=True):
            self.admit(sid)
            self._newest[sid], self._horizon[sid] = newest, horizon
        self._since = dict(state[4] if len(state) > 4 else ())
        self._cut = dict(state[5] if len(state) > 5 else ())
        for sid, windows in state[3]:
            self._open[sid] = {one[0]: Window.of(one) for one in windows}
        for sid in self._open:
            self._aim(sid)
