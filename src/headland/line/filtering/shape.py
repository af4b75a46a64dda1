"""The one shape of a filter: a config struct (schema, documentation, defaults, factory) and its state.

Duties of every filter, which one contract suite checks (`tests/line/test_filter_contract.py`):

* Every row that it is offered gets exactly one verdict, and is booked once: kept, held or dropped.
* `judge` changes nothing; `apply` changes state from the row and its final verdict alone, never from a clock,
  so the rows of a recovered frame rebuild the state exactly.
* What a wake changes is written as an operation (`Desk.op`) and `replay_op` does it again.
* Held rows end: `end_series` gives every one of them back (folded, dropped or kept).
* Held rows are told: `owed` says of how many it will settle the account.
* Input of any type, NaN, infinities and readings without time are judged without an exception.
* Its loss is declared by the config (`loss`), in words and as numbers.

Verdicts are small integers: ``DROP < HOLD < KEEP``; of several filters on one series the largest wins, and
what one of them calls late is flagged LATE whatever the others say (`strongest`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol

import msgspec

from headland.vocabulary import NO_SEQUENCE, Account, Columns, Instant, Priority, RowClass, RowFlag, Value

DROP = 0
HOLD = 1
KEEP = 2
KEEP_REFERENCE = 3
KEEP_LATE = 4
KEEP_BOOST = 5
KEEP_LATE_BOOST = 6

FLAGS_OF = (0, 0, 0, RowFlag.REFERENCE, RowFlag.LATE, RowFlag.BOOST, RowFlag.LATE | RowFlag.BOOST)
"""Row flags of each verdict."""


def strongest(verdicts: list[int]) -> int:
    """The final verdict on a row, given those of all filters of its series."""
    final = max(verdicts)
    return KEEP_LATE_BOOST if final == KEEP_BOOST and KEEP_LATE in verdicts else final


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader north cannot know any more.

    Attributes:
        text: One sentence for people.
        error_ratio: Largest error of a value, as a share of the value that the reader sees; None = unbounded.
        error_floor: Largest error in the series' unit where the share gives less; None = unbounded.
        time_s: How far a reading's time can be known, in seconds (0 = exactly; windows: their length).
    """

    text: str
    error_ratio: float | None = None
    error_floor: float | None = None
    time_s: float = 0.0


class Row(msgspec.Struct, gc=False, array_like=True):
    """One reading, where a filter has to look at each alone; fields as in `Rows`."""

    sid: int
    ts: int
    when: int
    value: Value
    size: int = 0
    seq: int = NO_SEQUENCE
    flags: int = 0


class Rows(msgspec.Struct, gc=False):
    """Readings of one plan, after ingest; columns as in `Batch`.

    Attributes:
        sid: Series ids.
        ts: Device time, ns UTC, or NO_TIME.
        when: Time to place the reading by: device time, or this commit's node time where it has none.
        value: Values.
        size: Payload bytes.
        seq: Sequences or None.
        flags: Flags and severities set by ingest, or None.
    """

    sid: list[int]
    ts: list[int]
    when: list[int]
    value: list[Value]
    size: list[int]
    seq: list[int] | None = None
    flags: list[int] | None = None

    def row(self, i: int) -> Row:
        """The row at `i`."""
        return Row(
            self.sid[i],
            self.ts[i],
            self.when[i],
            self.value[i],
            self.size[i],
            NO_SEQUENCE if self.seq is None else self.seq[i],
            0 if self.flags is None else self.flags[i],
        )

    def take(self, index: list[int]) -> Rows:
        """The rows at `index`."""
        sid, ts, when, value, size = self.sid, self.ts, self.when, self.value, self.size
        taken = [ts[i] for i in index]
        return Rows(
            [sid[i] for i in index],
            taken,
            taken if when is ts else [when[i] for i in index],
            [value[i] for i in index],
            [size[i] for i in index],
            None if self.seq is None else [self.seq[i] for i in index],
            None if self.flags is None else [self.flags[i] for i in index],
        )


class OpenCommit(Protocol):
    """What the line needs of the journal's draft."""

    n: int

    def rows(self, cls: RowClass) -> Columns:
        """Rows of a class in this commit."""
        ...

    def state(self, owner: str, data: bytes) -> None:
        """Append a state section."""
        ...

    def book(
        self, account: Account, group: str, cls: int, rule: str, readings: int, payload_bytes: int
    ) -> None:
        """Add to the books."""
        ...

    def derived(self, value_bytes: int) -> None:
        """A row that this node made is in it, with a value of this size."""
        ...


class Plan:
    """What happens to a set of series: the same rules, group, class and durability.

    Attributes:
        index: Its number in the line.
        filters: Its filters, a boost first; the first that holds owns the account of a held reading.
        rule: Name in the ledger (rule names joined by "+").
        group: Series group in the ledger.
        cls: Class of every row of these series, so that their order is never split over classes.
        volatile: Whether held rows stay in memory.
        mixed: Whether kept rows change the state of held ones, so that their order is noted.
        placed: Whether any filter places readings in event time.
        signature: What must be equal for held readings to outlive a change of the rules.
    """

    __slots__ = ("cls", "filters", "group", "index", "mixed", "placed", "rule", "signature", "volatile")

    def __init__(
        self, index: int, filters: tuple[Filter, ...], rule: str, group: str, cls: RowClass, volatile: bool
    ) -> None:
        self.index = index
        self.filters = tuple(sorted(filters, key=lambda one: not one.mixed))
        self.rule = rule
        self.group = group
        self.cls = cls
        self.volatile = volatile
        self.mixed = len(filters) > 1 or any(one.mixed for one in filters)
        self.placed = any(one.placed for one in filters)
        self.signature = (tuple(one.version for one in filters), group, cls, volatile)


class Desk:
    """One offer's (or wake's) way into the open commit: rows, books and operations.

    Attributes:
        n: Number of the open commit.
        node_ns: Node time that all readings without device time in this commit share.
        now: The moment of the call.
        plan: The plan whose rows are being offered.
        wrote: Whether anything was written that an acknowledgement must wait for.
        touched: Series of which something was written.
        for_all: Whether something was written that every acknowledgement of this call must wait for.
        timeless: Whether the call brought readings without device time and the commit's node time is not yet
            noted; it is noted with the first thing that has to be durable.
    """

    __slots__ = (
        "_draft",
        "_ops",
        "_plans",
        "for_all",
        "n",
        "node_ns",
        "now",
        "plan",
        "timeless",
        "touched",
        "wrote",
    )

    def __init__(self, draft: OpenCommit, node_ns: int, now: Instant, plans: Sequence[Plan]) -> None:
        self._draft = draft
        self._plans = plans
        self.n = draft.n
        self.node_ns = node_ns
        self.now = now
        self.plan: Plan
        self.wrote = False
        self.for_all = False
        self.touched: set[int] = set()
        self.timeless = False
        self._ops: list[list[Any]] = []

    def book(self, account: Account, readings: int, size: int) -> None:
        """Add to the books of the current plan."""
        plan = self.plan
        self._draft.book(account, plan.group, plan.cls, plan.rule, readings, size)

    def held_count(self) -> int:
        """Rows held in this commit so far: the position operations are noted at."""
        return len(self._draft.rows(RowClass.HELD).sid)

    def kept_count(self, cls: RowClass) -> int:
        """Rows of `cls` in this commit so far."""
        return len(self._draft.rows(cls).sid)

    def keep(self, rows: Rows, flags: list[int] | None = None) -> None:
        """Send rows north in the plan's class and book them kept; `flags` are added to the rows' own."""
        if not rows.sid:
            return
        self.wrote = True
        self.touched.update(rows.sid)
        put(self._draft.rows(self.plan.cls), rows, joined_flags(rows.flags, flags))
        self.book(Account.KEPT, len(rows.sid), sum(rows.size))

    def hold(self, rows: Rows) -> None:
        """Hold rows: on disk, or (volatile series) in memory outside the promise."""
        if not rows.sid:
            return
        if self.plan.volatile:
            self.book(Account.VOLATILE, len(rows.sid), sum(rows.size))
            return
        self.wrote = True
        self.touched.update(rows.sid)
        put(self._draft.rows(RowClass.HELD), rows, rows.flags)
        self.book(Account.HELD, len(rows.sid), sum(rows.size))

    def drop(self, readings: int, size: int) -> None:
        """Book readings dropped: their count rides in whichever commit comes next."""
        if readings:
            self.book(Account.DROPPED, readings, size)

    def fold(self, sid: int, readings: int, size: int) -> None:
        """Held readings of a series are now in a derived row (volatile ones stay where they are booked)."""
        self._end(sid, Account.FOLDED, readings, size)

    def discard(self, sid: int, readings: int, size: int) -> None:
        """Held readings of a series turned out not to matter."""
        self._end(sid, Account.DROPPED, readings, size)

    def release(self, rows: Sequence[Row], flag: int) -> None:
        """Held readings of one series are kept after all."""
        if not rows:
            return
        plan = self._plans[rows[0].sid]
        self.wrote = True
        self.touched.add(rows[0].sid)
        columns = self._draft.rows(plan.cls)
        size = 0
        for row in rows:
            columns.append(row.sid, row.ts, row.value, row.seq, 0, row.flags | flag, row.size)
            size += row.size
        self._move(plan, Account.VOLATILE if plan.volatile else Account.HELD, Account.KEPT, len(rows), size)

    def _end(self, sid: int, account: Account, readings: int, size: int) -> None:
        plan = self._plans[sid]
        if readings and not plan.volatile:
            self._move(plan, Account.HELD, account, readings, size)

    def _move(self, plan: Plan, source: Account, target: Account, readings: int, size: int) -> None:
        self._draft.book(source, plan.group, plan.cls, plan.rule, -readings, -size)
        self._draft.book(target, plan.group, plan.cls, plan.rule, readings, size)

    def derive(
        self, sid: int, ts: int, value: bytes, kind: int, flags: int, cls: RowClass, *, rule: str = ""
    ) -> None:
        """Write a row that this node made (window, event, features), booked derived; `rule` = the plan's."""
        plan = self._plans[sid]
        self.wrote = True
        self.touched.add(sid)
        self._draft.rows(cls).append(sid, ts, value, kind=kind, flags=flags)
        self._draft.derived(len(value))
        self._draft.book(Account.DERIVED, plan.group, cls, rule or plan.rule, 1, 0)

    def op(self, *operation: Any) -> None:
        """Note what a clock decided, at its place among the held rows, so that a recovery does it again."""
        self.for_all = True
        self._note(*operation)

    def op_of(self, sid: int, *operation: Any) -> None:
        """Note what happened to one series, likewise; only what is said of this series waits for it."""
        self.touched.add(sid)
        self._note(*operation)

    def _note(self, *operation: Any) -> None:
        self.wrote = True
        self._ops.append([self.held_count(), *operation])

    def op_on(self, sid: int, filter_index: int, operation: list[Any]) -> None:
        """Note what a filter did to a series; a volatile one is not rebuilt, so nothing is noted."""
        if not self._plans[sid].volatile:
            self.op_of(sid, "f", filter_index, operation)

    def ops_kept(self, before: list[int]) -> None:
        """Note the places of rows kept next: how many rows will be held from now on before each of them."""
        if not self.plan.volatile:
            cls = self.plan.cls
            self._note("k", int(cls), self.kept_count(cls), before)

    def close(self) -> None:
        """Write the operations of this call as one state section."""
        if self.timeless and self.wrote:
            self.op("t", self.node_ns)
        if self._ops:
            self._draft.state("line", msgspec.msgpack.encode(self._ops))
            self._ops = []


class Filter:
    """State of one rule over all its series. Subclasses override what they need.

    Attributes:
        mixed: Whether kept rows change state that held rows also change.
        learns_from_kept: Whether kept rows of series that have this filter alone change its state.
        index: The rule's number; operations carry it.
        plans: Plan of every series of the line.
        since: What rows over a span say: see `stamp`.
    """

    __slots__ = ("cls", "index", "plans", "rule", "since", "version")
    mixed: ClassVar[bool] = False
    learns_from_kept: ClassVar[bool] = False

    def __init__(self, rule: str = "", version: str = "", cls: RowClass = RowClass.NORMAL) -> None:
        self.rule = rule
        self.version = version
        self.cls = cls
        self.index = 0
        self.since = 0
        self.plans: Sequence[Plan] = ()

    @property
    def placed(self) -> bool:
        """Whether readings are placed in event time, so that one without a trusted time cannot enter."""
        return False

    def admit(self, sid: int) -> None:
        """A series begins to be this rule's business."""

    def judge(self, row: Row) -> int:
        """Verdict on one row; changes nothing."""
        raise_undefined(self)
        return KEEP

    def apply(self, row: Row, verdict: int, n: int, desk: Desk | None, *, owns: bool) -> None:
        """Take over one row with its final verdict.

        Args:
            row: The reading.
            verdict: The strongest verdict of all filters of its series.
            n: Commit that the row is in.
            desk: Where to write; None while a recovered frame is replayed.
            owns: Whether this filter settles the account of the held row.
        """

    def offer(self, rows: Rows, desk: Desk) -> None:
        """Judge, book and write rows of series that have this filter alone. Subclasses make it fast."""
        kept: list[int] = []
        held: list[int] = []
        flags: list[int] = []
        dropped = dropped_size = 0
        for i in range(len(rows.sid)):
            row = rows.row(i)
            verdict = self.judge(row)
            self.apply(row, verdict, desk.n, desk, owns=verdict == HOLD)
            if verdict >= KEEP:
                kept.append(i)
                flags.append(FLAGS_OF[verdict])
            elif verdict == HOLD:
                held.append(i)
            else:
                dropped += 1
                dropped_size += row.size
        desk.keep(rows.take(kept), flags)
        desk.hold(rows.take(held))
        desk.drop(dropped, dropped_size)

    def replay(self, rows: Rows, verdict: int, n: int) -> None:
        """Apply recovered rows of series that have this filter alone. Subclasses make it fast."""
        for i in range(len(rows.sid)):
            self.apply(rows.row(i), verdict, n, None, owns=verdict == HOLD)

    def needs(self, sids: Iterable[int]) -> int:
        """Largest commit number of the state that drops of these series rest on."""
        return 0

    def refresh(self, sid: int) -> None:
        """A tombstone covers this series: what the reader holds is no longer certain."""

    def adopt(self, row: Row) -> bool:
        """Own the account of a held row from now on; False when it is already in a published row."""
        return False

    def owed(self) -> Iterable[tuple[int, int, int]]:
        """Held rows whose account it settles: (series, readings, payload bytes), a series once or more."""
        return ()

    def trigger(self, rule: str, sid: int, when: int, desk: Desk) -> None:
        """A deciding rule raised an event on a series."""

    def interrupt(self, sid: int) -> None:
        """Held rows of this (volatile) series were lost with the memory they were in."""

    def replay_derived(self, sid: int, value: bytes) -> None:
        """A derived row of a volatile series is in a recovered frame."""

    def next_wake(self) -> int | None:
        """Monotonic ns of the next thing to do, or None."""
        return None

    def wake(self, desk: Desk) -> None:
        """Do what is due at `desk.now`."""

    def stamp(self, change: int) -> None:
        """Spans that begin from now on are of readings since this change (see `Line.begin_epoch`)."""
        self.since = change

    def cut(self, desk: Desk | None) -> None:
        """The process that left this state is gone: emit what its open spans hold, as far as it is untold."""

    def begin(self, sid: int, change: int) -> None:
        """A series is treated otherwise than before since this change of the rules."""

    def end_series(self, sid: int, desk: Desk | None) -> None:
        """The rule ends for a series: emit what is there, give every held row back, forget it all."""

    def replay_op(self, operation: list[Any]) -> None:
        """Do again what `wake` noted; what it speaks of may be missing after damage."""

    def snapshot(self) -> Any:
        """State as plain msgpack values."""
        return None

    def restore(self, state: Any, now: Instant) -> None:
        """Take over a snapshot."""


def raise_undefined(one: object) -> None:
    """A filter without `judge` is a defect of its author."""
    raise TypeError(f"{type(one).__name__} does not define this")


class FilterConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """Base of every filter's declaration: its fields are schema, documentation and defaults."""

    def build(self, rule: str, version: str, cls: RowClass) -> Filter:
        """The filter's state for a rule of this name and version."""
        raise_undefined(self)
        return Filter(rule, version, cls)

    def loss(self) -> Loss:
        """What is lost, declared."""
        raise_undefined(self)
        return Loss(text="")


def class_of(priority: Priority) -> RowClass:
    """The class of rows of a priority."""
    return RowClass(int(priority))


def joined_flags(own: list[int] | None, added: list[int] | None) -> list[int] | None:
    """Two optional flag columns as one; None when nothing is set."""
    if added is not None and not any(added):
        added = None
    if own is None or added is None:
        return own if added is None else added
    return [a | b for a, b in zip(own, added, strict=True)]


def put(columns: Columns, rows: Rows, flags: list[int] | None) -> None:
    """Append rows to the columns of a class."""
    before, added = len(columns.sid), len(rows.sid)
    columns.sid += rows.sid
    columns.ts += rows.ts
    columns.value += rows.value
    if columns.size is None:
        columns.size = [0] * before
    columns.size += rows.size
    if rows.seq is not None and columns.seq is None:
        columns.seq = [NO_SEQUENCE] * before
    if columns.seq is not None:
        columns.seq += [NO_SEQUENCE] * added if rows.seq is None else rows.seq
    if flags is not None and columns.flags is None:
        columns.flags = [0] * before
    if columns.flags is not None:
        columns.flags += [0] * added if flags is None else flags
    if columns.kind is not None:
        columns.kind += [0] * added
