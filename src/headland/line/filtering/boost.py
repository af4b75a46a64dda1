"""Rate boost: full rate around a trigger, another filter the rest of the time.

Laws:

* Every reading that the inner filter would not keep waits in a ring, held, until it is `before_s` older than
  the newest of its series; then it goes the inner filter's way (dropped, or folded in its window).
* A trigger releases the ring's readings from `before_s` before it: they are kept, flagged BOOST and LATE, and
  move no reference: younger ones were judged before them, and were or will be dropped against another.
  Readings up to `after_s` after it are kept at once.
* A ring holds at most `ring_rows` readings of a series; the oldest leave early, as if they had aged.

Of several boosts on one series the first counts. A trigger is the series' own value beyond `above` or
`below`, or an event of a deciding rule named in `on` for the same series.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from math import isfinite
from typing import Any, ClassVar

import msgspec

from headland.line.filtering.deadband import DeadBand
from headland.line.filtering.keep import Drop
from headland.line.filtering.severity import Severity
from headland.line.filtering.shape import (
    HOLD,
    KEEP,
    KEEP_BOOST,
    KEEP_LATE,
    KEEP_LATE_BOOST,
    Desk,
    Filter,
    FilterConfig,
    Loss,
    Row,
)
from headland.line.filtering.summary import Summary
from headland.vocabulary import ConfigurationError, Instant, RowClass, RowFlag

NEVER = -(1 << 62)


class Boost(FilterConfig, frozen=True, tag="boost"):
    """Full rate around a trigger.

    Attributes:
        before_s: How much before the trigger is kept, seconds.
        after_s: How much after the trigger is kept, seconds.
        above: Trigger when a number is above this; None = no such trigger.
        below: Trigger when a number is below this; None = no such trigger.
        on: Names of event rules whose events on the same series trigger.
        ring_rows: Most readings of a series that wait.
        inner: The filter of the rest of the time.
    """

    before_s: float = 10.0
    after_s: float = 30.0
    above: float | None = None
    below: float | None = None
    on: tuple[str, ...] = ()
    ring_rows: int = 10_000
    inner: DeadBand | Summary | Severity | Drop = msgspec.field(default_factory=DeadBand)

    def __post_init__(self) -> None:
        for field, value in (("before_s", self.before_s), ("after_s", self.after_s)):
            if not (value >= 0 and isfinite(value)):
                raise ConfigurationError(f"{field} must be a finite number of 0 or more", path=field)
        if self.ring_rows < 1:
            raise ConfigurationError("ring_rows must be at least 1", path="ring_rows")
        if self.above is None and self.below is None and not self.on:
            raise ConfigurationError(
                "a boost without a trigger", path="on", hint="set above, below or on = [names of event rules]"
            )

    def build(self, rule: str, version: str, cls: RowClass) -> Filter:
        """Rings of no series yet, around the inner filter."""
        return BoostFilter(self, self.inner.build(rule, version, cls), rule, version, cls)

    def loss(self) -> Loss:
        """The inner filter's, outside of boosts."""
        inner = self.inner.loss()
        return Loss(
            text=f"nothing around a trigger; at other times {inner.text}",
            error_ratio=inner.error_ratio,
            error_floor=inner.error_floor,
            time_s=inner.time_s,
        )


class BoostFilter(Filter):
    """Rings and boosted spans by series.

    Attributes:
        inner: The filter of the rest of the time.
    """

    __slots__ = (
        "_after",
        "_before",
        "_config",
        "_from",
        "_marks",
        "_newest",
        "_rings",
        "_until",
        "_wake_at",
        "inner",
    )
    mixed: ClassVar[bool] = True

    def __init__(self, config: Boost, inner: Filter, rule: str, version: str, cls: RowClass) -> None:
        super().__init__(rule, version, cls)
        self._config = config
        self._before = int(config.before_s * 1e9)
        self._after = int(config.after_s * 1e9)
        self.inner = inner
        self._rings: dict[int, deque[Row]] = {}
        self._newest: dict[int, int] = {}
        self._from: dict[int, int] = {}
        self._until: dict[int, int] = {}
        self._marks: dict[int, tuple[int, int]] = {}
        self._wake_at = 0

    @property
    def placed(self) -> bool:
        """As the inner filter."""
        return self.inner.placed

    def admit(self, sid: int) -> None:
        """The inner filter makes room."""
        self.inner.index = self.index
        self.inner.admit(sid)

    def stamp(self, change: int) -> None:
        """The inner filter's rows say it."""
        super().stamp(change)
        self.inner.stamp(change)

    def cut(self, desk: Desk | None) -> None:
        """The inner filter's spans end; the ring goes on, or nothing would be kept before a restart."""
        self.inner.cut(desk)

    def begin(self, sid: int, change: int) -> None:
        """The inner filter's rows say it."""
        self.inner.begin(sid, change)

    def _fires(self, row: Row) -> bool:
        value = row.value
        if isinstance(value, str | bytes):
            return False
        config = self._config
        return (config.above is not None and value > config.above) or (
            config.below is not None and value < config.below
        )

    def judge(self, row: Row) -> int:
        """Kept near a trigger or by the inner filter, else held in the ring."""
        sid = row.sid
        if self._fires(row) or self._from.get(sid, 0) <= row.when <= self._until.get(sid, NEVER):
            return KEEP_LATE_BOOST if self.inner.judge(row) == KEEP_LATE else KEEP_BOOST
        verdict = self.inner.judge(row)
        return verdict if verdict >= KEEP else HOLD

    def apply(self, row: Row, verdict: int, n: int, desk: Desk | None, *, owns: bool) -> None:
        """Into the ring or out of it; the inner filter sees every reading."""
        sid = row.sid
        fires = self._fires(row)
        held = verdict == HOLD and owns
        self.inner.apply(row, verdict, n, desk, owns=False)
        if held:
            ring = self._rings.get(sid)
            if ring is None:
                ring = self._rings[sid] = deque()
            ring.append(row)
            if len(ring) > self._config.ring_rows:
                self._age(ring.popleft(), desk)
        if row.when > self._newest.get(sid, NEVER):
            self._newest[sid] = row.when
        if fires:
            self._trigger(sid, row.when, desk)
        ring = self._rings.get(sid)
        if ring:
            oldest = self._newest[sid] - self._before
            while ring and ring[0].when < oldest:
                self._age(ring.popleft(), desk)

    def _age(self, row: Row, desk: Desk | None) -> None:
        """A reading that no trigger wanted: in a window of any filter of its series, or dropped."""
        folded = False
        for one in (self.inner, *self.plans[row.sid].filters):
            if one is not self and one.placed and one.judge(row) != KEEP:
                folded = True
                if one.adopt(row):
                    return
        if desk is None:
            return
        if folded:
            desk.fold(row.sid, 1, row.size)
        else:
            desk.discard(row.sid, 1, row.size)

    def _trigger(self, sid: int, when: int, desk: Desk | None) -> None:
        start = when - self._before
        if when > self._until.get(sid, NEVER) + self._before:
            self._from[sid] = start
        else:
            self._from[sid] = min(start, self._from.get(sid, start))
        self._until[sid] = max(self._until.get(sid, NEVER), when + self._after)
        ring = self._rings.pop(sid, None)
        if not ring:
            return
        wanted = [row for row in ring if start <= row.when <= self._until[sid]]
        rest = deque(row for row in ring if not start <= row.when <= self._until[sid])
        if rest:
            self._rings[sid] = rest
        if desk is not None:
            desk.release(wanted, RowFlag.BOOST | RowFlag.LATE)

    def trigger(self, rule: str, sid: int, when: int, desk: Desk) -> None:
        """An event of a deciding rule on this series."""
        if rule in self._config.on:
            desk.op_on(sid, self.index, ["t", sid, when, desk.n])
            self._trigger(sid, when, desk)

    def needs(self, sids: Any) -> int:
        """The inner filter's state."""
        return self.inner.needs(sids)

    def owed(self) -> Iterator[tuple[int, int, int]]:
        """What waits in rings, and what the inner filter took over."""
        for sid, ring in self._rings.items():
            yield sid, len(ring), sum(row.size for row in ring)
        yield from self.inner.owed()

    def refresh(self, sid: int) -> None:
        """The inner filter forgets its reference."""
        self.inner.refresh(sid)

    def interrupt(self, sid: int) -> None:
        """The inner filter's windows lost rows; the ring is gone."""
        self._rings.pop(sid, None)
        self.inner.interrupt(sid)

    def replay_derived(self, sid: int, value: bytes) -> None:
        """The inner filter's row."""
        self.inner.replay_derived(sid, value)

    def next_wake(self) -> int | None:
        """Once a second while rings are held, and when the inner filter says."""
        inner = self.inner.next_wake()
        if not self._rings:
            return inner
        return self._wake_at if inner is None else min(inner, self._wake_at)

    def wake(self, desk: Desk) -> None:
        """Rings of series that say nothing are aged by the clock."""
        now = desk.now.monotonic_ns
        inner = self.inner.next_wake()
        if inner is not None and inner <= now:
            self.inner.wake(desk)
        if not self._rings or now < self._wake_at:
            return
        self._wake_at = now + 1_000_000_000
        for sid in list(self._rings):
            mark = self._newest[sid]
            seen = self._marks.get(sid)
            if seen is None or seen[0] != mark:
                self._marks[sid] = (mark, now)
            elif now - seen[1] > self._before:
                desk.op_on(sid, self.index, ["a", sid])
                self._empty(sid, desk)
                del self._marks[sid]

    def _empty(self, sid: int, desk: Desk | None) -> None:
        for row in self._rings.pop(sid, ()):
            self._age(row, desk)

    def end_series(self, sid: int, desk: Desk | None) -> None:
        """The ring ends the inner filter's way."""
        self._empty(sid, desk)
        self.inner.end_series(sid, desk)
        for part in (self._newest, self._from, self._until, self._marks):
            part.pop(sid, None)

    def replay_op(self, operation: list[Any]) -> None:
        """A trigger from outside, a ring that the clock aged, or the inner filter's."""
        match operation[0]:
            case "t":
                self._trigger(operation[1], operation[2], None)
            case "a":
                self._empty(operation[1], None)
            case _:
                self.inner.replay_op(operation)

    def snapshot(self) -> Any:
        """Rings, spans and the inner filter."""
        return [
            sorted(
                (sid, [msgspec.structs.astuple(row) for row in ring])
                for sid, ring in self._rings.items()
                if ring
            ),
            sorted(self._newest.items()),
            sorted(self._from.items()),
            sorted(self._until.items()),
            self.inner.snapshot(),
        ]

    def restore(self, state: Any, now: Instant) -> None:
        """Take over rings and spans."""
        self._rings = {sid: deque(Row(*row) for row in ring) for sid, ring in state[0]}
        self._newest, self._from, self._until = dict(state[1]), dict(state[2]), dict(state[3])
        self.inner.restore(state[4], now)
