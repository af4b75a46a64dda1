"""Deciders: event rules over a batch as it arrived, before anything is stored.

Laws:

* A rule actuates only on readings younger than its `max_age_s`: device time against a trusted node time;
  without either, a reading is as young as its arrival. Older ones raise an event marked late.
* A reading older than one of its series that was judged before moves no latch; if its condition holds it
  raises one late event until an old reading does not. A time that is ahead of the clock by more than
  `AHEAD_NS` makes nobody old, nor does any time while the clock is not trusted: one wrong stamp must not mute
  a rule.
* Latches are durable: every step is an operation in the commit of its reading, and its acknowledgement waits
  for it.
* The time since the last reading (silence), the previous value (rate, `previous`) begin anew at a start.

The quick test per reading is one comparison chain with bounds within which no threshold rule of the series
can change its mind. An event row is msgpack {rule, version, state (raised, cleared, reset, not_done), late,
value, since}; `not_done` tells of an actuation that was wanted and not carried out: value says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, assert_never

import msgspec

from headland.line.deciding import placeholders
from headland.line.deciding.actuation import Actuation, ActuationKey, Outcome
from headland.line.deciding.expressions import Compiled
from headland.line.deciding.latches import Latch, Latches
from headland.line.deciding.rules import Act, EventRule, Expression, Rate, Silence, Threshold
from headland.line.filtering.selection import matched
from headland.line.filtering.shape import Desk, Row, Rows, class_of
from headland.vocabulary import (
    NO_SEQUENCE,
    NO_TIME,
    Instant,
    RowFlag,
    RowKind,
    SeriesTable,
    Value,
)

NEVER = NO_TIME
AHEAD_NS = 2_000_000_000
NOT_DONE_MAX = 200
"""Characters of the reason in a row that tells of an actuation that was not done."""


class Raised(msgspec.Struct, frozen=True):
    """An event that was raised: rule name, series, and the time (ns) it is about."""

    rule: str
    sid: int
    when: int


class Decisions(msgspec.Struct, gc=False):
    """What one call decided."""

    actuations: list[Actuation] = []
    raised: list[Raised] = []


class Deciders:
    """All event rules of a line.

    Attributes:
        rules: The rules in order.
        versions: Digest of each rule.
        late_events: Events that were marked late.
        watched: Series that any rule is about.
    """

    def __init__(self, rules: Sequence[EventRule], versions: Sequence[str], table: SeriesTable) -> None:
        self.rules = tuple(rules)
        self.late_events = 0
        self.versions = tuple(versions)
        self._table = table
        self._latches = Latches()
        self._compiled = {
            index: Compiled(rule.when.expression, rule.name)
            for index, rule in enumerate(rules)
            if isinstance(rule.when, Expression)
        }
        self._low: list[float] = []
        self._high: list[float] = []
        self._checks: list[tuple[int, ...]] = []
        self._newest: list[int] = []
        self.watched: set[int] = set()
        self._silent: dict[int, tuple[int, ...]] = {}
        self._seen: dict[int, int] = {}
        self._previous: dict[tuple[int, int], tuple[int, float]] = {}
        self._old: set[tuple[int, int]] = set()
        self._pending: dict[tuple[int, int], tuple[int, Row | None]] = {}
        self._wake_at: int | None = None

    @property
    def failures(self) -> dict[str, int]:
        """Evaluations of each CEL rule that gave no truth value."""
        return {self.rules[index].name: one.failures for index, one in self._compiled.items()}

    def admit(self, sid: int) -> None:
        """A series begins: find its rules."""
        grow = sid + 1 - len(self._low)
        self._low += [-inf] * grow
        self._high += [inf] * grow
        self._checks += [()] * grow
        self._newest += [NEVER] * grow
        key = self._table.key(sid)
        checks: list[int] = []
        silent: list[int] = []
        for index, rule in enumerate(self.rules):
            if matched(key, rule.match, rule.labels) is None:
                continue
            if isinstance(rule.when, Silence):
                silent.append(index)
            else:
                checks.append(index)
            if index in self._compiled:
                self._compiled[index].bind(sid, key.name, dict(key.labels))
        if checks or silent:
            self.watched.add(sid)
        if silent:
            self._silent[sid] = tuple(silent)
            self._wake_at = 0
        self._checks[sid] = tuple(checks)
        self._aim(sid)

    def _aim(self, sid: int) -> None:
        """Bounds within which no rule of the series can take a step."""
        low, high = -inf, inf
        for index in self._checks[sid]:
            when = self.rules[index].when
            latch, _ = self._latches.get(index, sid)
            if not isinstance(when, Threshold) or latch in (Latch.PENDING, Latch.LATE, Latch.RAISED):
                low, high = inf, -inf
                break
            if when.above is not None:
                high = min(high, when.above)
            if when.below is not None:
                low = max(low, when.below)
        self._low[sid], self._high[sid] = low, high

    # ── readings ───────────────────────────────────────────────────────────────────────────────────
    def offer(self, rows: Rows, desk: Desk, out: Decisions) -> None:
        """Judge a batch in order of arrival."""
        if self.watched.isdisjoint(rows.sid):
            return
        low, high, newest = self._low, self._high, self._newest
        now = desk.now.monotonic_ns
        step = enumerate(zip(rows.sid, rows.when, rows.value, strict=True))
        i = -1
        while True:
            try:
                for i, (sid, when, value) in step:
                    if low[sid] <= value <= high[sid] and when >= newest[sid]:  # type: ignore[operator]
                        newest[sid] = when
                        continue
                    self._look(rows.row(i), desk, out)
                break
            except TypeError:
                self._look(rows.row(i), desk, out)
        if self._silent:
            for sid in self._silent.keys() & set(rows.sid):
                self._seen[sid] = now
                for index in self._silent[sid]:
                    if self._latches.get(index, sid)[0] != Latch.CLEAR:
                        self._wake_at = 0
                        last = len(rows.sid) - 1 - rows.sid[::-1].index(sid)
                        self._step(index, rows.row(last), holds=False, desk=desk, out=out)

    def _look(self, row: Row, desk: Desk, out: Decisions) -> None:
        sid = row.sid
        believed_ns = desk.now.wall_ns + AHEAD_NS if desk.now.trusted else NEVER
        old = row.when < self._newest[sid] <= believed_ns
        if not old:
            self._newest[sid] = row.when
        for index in self._checks[sid]:
            holds = self._holds(index, row, desk, old=old)
            if old:
                self._old_reading(index, row, holds=holds, desk=desk)
            else:
                self._step(index, row, holds=holds, desk=desk, out=out)
        self._aim(sid)

    def _holds(self, index: int, row: Row, desk: Desk, *, old: bool) -> bool:
        when = self.rules[index].when
        match when:
            case Threshold():
                raised = not old and self._latches.get(index, row.sid)[0] != Latch.CLEAR
                return _beyond(when, row.value, when.hysteresis if raised else 0.0)
            case Rate():
                return self._rate_holds(index, when, row, old=old)
            case Expression():
                severity = (row.flags >> RowFlag.SEVERITY_SHIFT & 0xFF) - 1
                age = age_ns(row, desk.now) / 1e9
                return self._compiled[index].holds(row.sid, row.value, row.when / 1e9, age, severity)
            case Silence():
                return False
            case _:
                assert_never(when)

    def _rate_holds(self, index: int, when: Rate, row: Row, *, old: bool) -> bool:
        if old or isinstance(row.value, str | bytes):
            return False
        before = self._previous.get((index, row.sid))
        self._previous[(index, row.sid)] = (row.when, row.value)
        if before is None or row.when <= before[0]:
            return False
        slope = (row.value - before[1]) / ((row.when - before[0]) / 1e9)
        return (when.above_per_s is not None and slope > when.above_per_s) or (
            when.below_per_s is not None and slope < when.below_per_s
        )

    def _old_reading(self, index: int, row: Row, *, holds: bool, desk: Desk) -> None:
        key = (index, row.sid)
        if holds and key not in self._old:
            self._old.add(key)
            self._tell(index, row, "raised", row.when, desk, late=True)
        elif not holds:
            self._old.discard(key)

    def _step(self, index: int, row: Row, *, holds: bool, desk: Desk, out: Decisions) -> None:
        """One step of the table in `latches`."""
        rule, sid = self.rules[index], row.sid
        latch, since = self._latches.get(index, sid)
        if not holds:
            if latch == Latch.CLEAR:
                return
            self._set(index, sid, Latch.CLEAR, 0, desk)
            self._pending.pop((index, sid), None)
            if latch != Latch.PENDING:
                young = age_ns(row, desk.now) <= rule.max_age_s * 1e9
                if rule.tell_clear:
                    self._tell(index, row, "cleared", since, desk, late=not young)
                if young:
                    self._act(rule, row, "clear", desk.now, out)
            return
        for_ns = int(getattr(rule.when, "for_s", 0.0) * 1e9)
        if latch == Latch.CLEAR and for_ns:
            self._set(index, sid, Latch.PENDING, row.when, desk)
            self._wait(index, row, desk.now)
            return
        if latch == Latch.PENDING and row.when - since < for_ns:
            arrival, _ = self._pending.get((index, sid), (desk.now.monotonic_ns, None))
            self._pending[(index, sid)] = (arrival, row)
            return
        if latch != Latch.RAISED:
            self._raise(index, row, since if latch == Latch.PENDING else row.when, desk, out)

    def _wait(self, index: int, row: Row, now: Instant) -> None:
        self._pending[(index, row.sid)] = (now.monotonic_ns, row)
        self._wake_at = 0

    def _raise(
        self, index: int, row: Row, since: int, desk: Desk, out: Decisions, *, never_young: bool = False
    ) -> None:
        rule, sid = self.rules[index], row.sid
        young = not never_young and age_ns(row, desk.now) <= rule.max_age_s * 1e9
        before, _ = self._latches.get(index, sid)
        self._pending.pop((index, sid), None)
        if not young and before == Latch.LATE:
            return
        self._set(index, sid, Latch.RAISED if young else Latch.LATE, since, desk)
        self._tell(index, row, "raised", since, desk, late=not young)
        out.raised.append(Raised(rule.name, sid, row.when))
        if young:
            self._act(rule, row, "raise", desk.now, out)

    def _set(self, index: int, sid: int, latch: Latch, since: int, desk: Desk) -> None:
        desk.op_of(sid, "e", index, sid, int(latch), since)
        self._latches.set(index, sid, latch, since)
        self._aim(sid)

    def state(self, steps: Iterable[tuple[int, int]], desk: Desk) -> None:
        """Note where latches (rule index, series) stand, whose steps are in no commit."""
        for index, sid in steps:
            latch, since = self._latches.get(index, sid)
            desk.op_of(sid, "e", index, sid, int(latch), since)

    def _tell(self, index: int, row: Row, state: str, since: int, desk: Desk, *, late: bool) -> None:
        rule = self.rules[index]
        self.late_events += late
        value = row.value.decode("utf-8", "replace") if isinstance(row.value, bytes) else row.value
        told = {
            "rule": rule.name,
            "version": self.versions[index],
            "state": state,
            "late": late,
            "value": value,
            "since": since,
        }
        flags = RowFlag.LATE if late else 0
        body = msgspec.msgpack.encode(told)
        cls = class_of(rule.urgency)
        desk.derive(row.sid, row.when, body, RowKind.EVENT, flags, cls, rule=rule.name)

    def _act(self, rule: EventRule, row: Row, on: str, now: Instant, out: Decisions) -> None:
        for act in rule.act:
            if act.on == on:
                out.actuations.append(self._actuation(rule, act, row, now))

    def _actuation(self, rule: EventRule, act: Act, row: Row, now: Instant) -> Actuation:
        series = self._table.key(row.sid)
        sequenced = row.ts == NO_TIME and row.seq != NO_SEQUENCE
        key = ActuationKey(rule.name, series.name, row.seq if sequenced else row.when, sequenced)
        words = {
            **{f"label.{name}": text for name, text in series.labels},
            **(matched(series, rule.match, rule.labels) or {}),
            "value": text_of(row.value),
            "name": series.name,
            "series": series.name,
            "rule": rule.name,
            "key": key.text(),
        }
        match act.kind:
            case "mqtt":
                target = placeholders.topic(act.target, words)
            case "http":
                target = placeholders.url(act.target, words)
            case "command":
                target = placeholders.Filled(act.target)
            case _:
                assert_never(act.kind)
        arguments = [placeholders.argument(one, words) for one in act.arguments]
        left_ns = int(rule.max_age_s * 1e9) - max(0, age_ns(row, now))
        return Actuation(
            act.kind,
            target.text,
            placeholders.payload(act.payload, words).encode(),
            key,
            act.limit_s,
            tuple(one.text for one in arguments),
            act.authorization,
            row.sid,
            rule.urgency,
            now.monotonic_ns + left_ns,
            next((one.unfit for one in (target, *arguments) if one.unfit), ""),
        )

    def not_done(self, actuation: Actuation, outcome: Outcome, why: str, desk: Desk) -> None:
        """An actuation was not carried out: an event row says so, late where that is the reason."""
        key = actuation.key
        rule = next((i for i, one in enumerate(self.rules) if one.name == key.rule), None)
        late = outcome == Outcome.LATE
        self.late_events += late
        told = {
            "rule": key.rule,
            "version": "" if rule is None else self.versions[rule],
            "state": "not_done",
            "late": late,
            "value": f"{outcome}: {why}"[:NOT_DONE_MAX] if why else str(outcome),
            "since": key.moment,
        }
        flags = RowFlag.LATE if late else 0
        body, cls = msgspec.msgpack.encode(told), class_of(actuation.urgency)
        desk.derive(actuation.sid, desk.now.wall_ns, body, RowKind.EVENT, flags, cls, rule=key.rule)

    # ── time ───────────────────────────────────────────────────────────────────────────────────────
    def next_wake(self) -> int | None:
        """Monotonic ns of the next silence or end of a `for_s`."""
        return self._wake_at

    def wake(self, desk: Desk, out: Decisions) -> None:
        """Raise what has lasted, and what is silent."""
        now = desk.now.monotonic_ns
        due: list[int] = []
        for (index, sid), (arrival, row) in list(self._pending.items()):
            at = arrival + int(getattr(self.rules[index].when, "for_s", 0.0) * 1e9)
            if at <= now:
                since = self._latches.get(index, sid)[1]
                lost = row is None
                self._raise(index, row or Row(sid, since, since, ""), since, desk, out, never_young=lost)
            else:
                due.append(at)
        for sid, rules in self._silent.items():
            seen = self._seen.setdefault(sid, now)
            for index in rules:
                when = self.rules[index].when
                if not isinstance(when, Silence) or self._latches.get(index, sid)[0] != Latch.CLEAR:
                    continue
                at = seen + int(when.after_s * 1e9)
                if at <= now:
                    row = Row(sid, NO_TIME, desk.now.wall_ns, (now - seen) / 1e9)
                    self._raise(index, row, desk.now.wall_ns - (now - seen), desk, out)
                else:
                    due.append(at)
        self._wake_at = min(due, default=None)

    def end(self, kept: dict[int, int], desk: Desk) -> None:
        """Rules other than `kept` (old to new number) end: their latches reset with an event."""
        for index, rule in enumerate(self.rules):
            if index in kept:
                continue
            for sid, latch, since in self._latches.of_rule(index):
                if latch in (Latch.LATE, Latch.RAISED):
                    row = Row(sid, NO_TIME, desk.now.wall_ns, rule.name)
                    self._tell(index, row, "reset", since, desk, late=False)

    def take_over(self, before: Deciders, kept: dict[int, int]) -> None:
        """Keep what unchanged rules (old to new number) knew."""
        for old, new in kept.items():
            for sid, latch, since in before._latches.of_rule(old):
                self._latches.set(new, sid, latch, since)
        self._newest[: len(before._newest)] = before._newest
        self._seen = dict(before._seen)
        self._previous = {
            (kept[old], sid): value for (old, sid), value in before._previous.items() if old in kept
        }
        self._pending = {(kept[o], sid): one for (o, sid), one in before._pending.items() if o in kept}
        self._wake_at = 0
        self.aim_all()

    def aim_all(self) -> None:
        """Bounds of every admitted series."""
        for sid in range(1, len(self._checks)):
            self._aim(sid)

    def replay_op(self, index: int, sid: int, latch: int, since: int, now: Instant) -> None:
        """A step of a latch in a recovered frame."""
        self._latches.set(index, sid, Latch(latch), since)
        self._revive(index, sid, now)
        self._aim(sid)

    def _revive(self, index: int, sid: int, now: Instant) -> None:
        """A pending latch waits again; its reading is not known, so only another one can actuate."""
        self._pending.pop((index, sid), None)
        if self._latches.get(index, sid)[0] == Latch.PENDING:
            self._pending[(index, sid)] = (now.monotonic_ns, None)
            self._wake_at = 0

    def snapshot(self) -> Any:
        """Latches."""
        return self._latches.snapshot()

    def restore(self, state: Any, now: Instant) -> None:
        """Take over latches."""
        self._latches.restore(state)
        for index, sid, _ in self._latches.of_state(Latch.PENDING):
            self._revive(index, sid, now)
        self.aim_all()


def age_ns(row: Row, now: Instant) -> int:
    """Age of a reading: by device time where the clock can judge it, else it has just arrived."""
    if row.ts == NO_TIME or not now.trusted:
        return 0
    return now.wall_ns - row.ts


def text_of(value: Value) -> str:
    """A value as it is written into a payload."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _beyond(when: Threshold, value: Value, slack: float) -> bool:
    """Whether a number is beyond a bound that hysteresis has moved inward."""
    if isinstance(value, str | bytes):
        return False
    return (when.above is not None and value > when.above - slack) or (
        when.below is not None and value < when.below + slack
    )
