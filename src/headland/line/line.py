"""The line: a batch comes in, is decided on, filtered, and its rows and books are in the open commit.

Laws:

* Every reading offered is booked once: duplicate, kept, held, dropped (or volatile), in the same draft as its
  row; ``offered = duplicate + held + folded + dropped + kept + volatile`` holds after every call, per plan.
* `Offered.needs_n` is the commit that everything in the batch rests on: the open one when anything was
  written, else the newest commit of the state that the drops were judged against.
* State is a fold over rows and operations: `replay_frame` of the committed frames after a snapshot gives the
  same state as the live line had.
* The device-to-actuation path touches nothing but memory.

State section (owner "line"), msgpack: list of operations [held_position, code, ...]:

====  =====================================================  ==========================================
code  fields                                                  meaning
====  =====================================================  ==========================================
t     node_ns                                                 node time of rows without device time
k     class, first row, [held rows before each]               kept rows of a mixed plan, at their places
f     filter index, operation                                 what a filter's wake did
e     rule index, series, latch, since                        a latch took a step
x     {class: rows}, [series ids]                             references forgotten (tombstone)
c     {class: rows}, canonical rules                          the rules changed
i     [series ids]                                            held rows of volatile series were lost
====  =====================================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from headland.line.deciding import Actuation, Deciders, Decisions, Once, Outcome
from headland.line.deciding.untold import Muted, Untold
from headland.line.filtering import Plan, Rows
from headland.line.filtering.pair import offer_pair
from headland.line.filtering.shape import FLAGS_OF, HOLD, KEEP, Desk, OpenCommit, Row, strongest
from headland.line.ingest import Admitted, Ingest, Senders
from headland.line.pace import Pace
from headland.line.plans import Plans
from headland.line.replay import NORTH, FrameRows, readings_of
from headland.line.resting import Resting
from headland.line.rules import LineRules, digest_of, told
from headland.vocabulary import (
    NO_TIME,
    Account,
    Batch,
    Columns,
    DefectError,
    Instant,
    RowClass,
    RowFlag,
    RowKind,
    SeriesKey,
    SeriesTable,
)

RULES_SERIES = SeriesKey("headland/rules")
"""Series of the rows that say which rules are in force."""
SINCE_BYTES = 6
"""Of an epoch, as the number that changes of its rules count on from: exact in JSON."""
UNPLACED_NS = 3_600_000_000_000
"""How long after the start readings without any trusted time stay out of windows."""


class Offered(msgspec.Struct, frozen=True):
    """What became of a batch.

    Attributes:
        needs: Commits that have to be durable before the acknowledgements leave, one a sender.
        actuations: What to do at once, before the commit.
        duplicates: Readings proved repeats.
    """

    needs: list[int]
    actuations: tuple[Actuation, ...] = ()
    duplicates: int = 0

    @property
    def needs_n(self) -> int:
        """The commit that all of it rests on."""
        return max(self.needs)


class Ready(msgspec.Struct, frozen=True):
    """Rules that can be put in force.

    Attributes:
        rules: The rules.
        plans: Theirs, without a series.
        fates: The same with every series, to see what each will be under.
        deciders: Their event rules, with every series.
    """

    rules: LineRules
    plans: Plans
    fates: Plans
    deciders: Deciders


class Line:
    """Ingest, rules and filters of one node, over one series table.

    Attributes:
        pace: Told what has been done, for those who measure.
    """

    def __init__(self, rules: LineRules, table: SeriesTable) -> None:
        self._table = table
        self._ingest = Ingest()
        self.once = Once()
        self.untold = Untold()
        self._draft_n = -1
        self._node_ns = 0
        self._timed = False
        self._untrusted_since: int | None = None
        self._resting = Resting()
        self._plans = Plans(rules, table)
        self._changes = 0
        self._deciders = _deciders_of(rules, table)
        self.pace = Pace()

    @property
    def rules(self) -> LineRules:
        """The rules in force."""
        return self._plans.rules

    @property
    def volatile(self) -> list[SeriesKey]:
        """Series of which an acknowledgement means received, not stored."""
        return self._plans.volatile()

    @property
    def suspected(self) -> int:
        """Readings marked as repeats that nothing can prove."""
        return self._ingest.suspected

    @property
    def late_events(self) -> int:
        """Events that were marked late."""
        return self._deciders.late_events

    @property
    def expression_failures(self) -> dict[str, int]:
        """Evaluations of each CEL rule that gave no truth value."""
        return self._deciders.failures

    def mixes(self, sids: Iterable[int]) -> bool:
        """Whether some of these series are volatile and some durable: one acknowledgement cannot say both."""
        if not self._plans.some_volatile:
            return False
        if len(self._plans.of) <= len(self._table):
            self._admit_series()
        return len({self._plans.of[sid].volatile for sid in sids}) > 1

    def _admit_series(self) -> None:
        for sid in self._plans.admit():
            self._deciders.admit(sid)

    # ── offering ───────────────────────────────────────────────────────────────────────────────────
    def offer(
        self,
        senders: Senders | str,
        batch: Batch,
        now: Instant,
        draft: OpenCommit,
        *,
        duplicate_suspect: list[bool] | None = None,
    ) -> Offered:
        """Take a batch into the open commit.

        Args:
            senders: Who sent it; the index of repeats is kept per client.
            batch: Columns of readings, ids of this node's table.
            now: The moment it was read.
            draft: The open commit.
            duplicate_suspect: For each message, whether it was marked as a repeat (then there is one sender);
                None when the source has no such mark (nothing is indexed then).
        """
        if isinstance(senders, str):
            senders = Senders((senders,), (len(batch.message_ends),))
        if not batch.sid:
            return Offered([0] * len(senders.ends))
        self.pace.decoded()
        desk = self._desk(draft, now)
        admitted = self._ingest.admit(senders, batch, now, desk.n, desk.node_ns, duplicate_suspect)
        if len(self._plans.of) <= len(self._table):
            self._admit_series()
        if admitted.duplicates:
            self._book_duplicates(batch, admitted.duplicates, desk)
        out = Decisions()
        if admitted.rows.sid:
            self._take(admitted, desk, out)
        needs = self._resting.needs(senders, batch, admitted, desk, self._plans.of)
        self._timed = self._timed or (desk.wrote and desk.timeless)
        desk.close()
        self.pace.filtered(len(batch.sid))
        return Offered(needs, tuple(out.actuations), len(admitted.duplicates))

    def _desk(self, draft: OpenCommit, now: Instant) -> Desk:
        if draft.n != self._draft_n:
            self._resting.next_commit()
            self._draft_n = draft.n
            self._node_ns = now.wall_ns
            self._timed = False
        return Desk(draft, self._node_ns, now, self._plans.of)

    def decide(
        self, batch: Batch, now: Instant, draft: OpenCommit, *, refused: bool = False, told: bool = True
    ) -> tuple[Actuation, ...]:
        """Decide on a batch that cannot be stored now (disk full); events go into the open commit.

        Args:
            batch: Columns of readings.
            now: The moment it was read.
            draft: The open commit.
            refused: Whether it will never be stored (QoS 0): then it is booked refused. Otherwise it comes
                again: what is known then (`headland.line.deciding.once`) is not decided on twice.
            told: Whether events have room. If not, they wait (`say`), and no filter keeps more around them.
        """
        if not batch.sid:
            return ()
        self.pace.decoded()
        desk = self._desk(draft, now)
        if not told:
            desk = Muted(self.untold, draft, desk.node_ns, now, self._plans.of)
        nobody = Senders((), ())
        rows = self._ingest.admit(nobody, batch, now, desk.n, desk.node_ns, None).rows
        if len(self._plans.of) <= len(self._table):
            self._admit_series()
        out = Decisions()
        if not refused:
            rows = self.once.first(rows, self._deciders.watched)
        self._deciders.offer(rows, desk, out)
        if told:
            self._trigger(out, desk)
        self.pace.decided()
        if refused:
            for plan, part in self._parts(rows):
                desk.plan = plan
                desk.book(Account.OFFERED, len(part.sid), sum(part.size))
                desk.book(Account.REFUSED, len(part.sid), sum(part.size))
        desk.close()
        self.pace.filtered(len(batch.sid))
        return tuple(out.actuations)

    def say(self, now: Instant, draft: OpenCommit) -> None:
        """Write the events that found no room, and where their latches stand now, into the open commit."""
        desk = self._desk(draft, now)
        self._deciders.state(self.untold.say(desk), desk)
        desk.close()

    def not_done(
        self, actuation: Actuation, outcome: Outcome, why: str, now: Instant, draft: OpenCommit
    ) -> None:
        """An actuation was wanted and not carried out: an event row of its series says so."""
        if len(self._plans.of) <= len(self._table):
            self._admit_series()
        desk = self._desk(draft, now)
        self._deciders.not_done(actuation, outcome, why, desk)
        desk.close()

    def _trigger(self, out: Decisions, desk: Desk) -> None:
        """Tell filters that keep more around an event."""
        for one in out.raised:
            for filter_ in self._plans.of[one.sid].filters:
                filter_.trigger(one.rule, one.sid, one.when, desk)

    def _take(self, admitted: Admitted, desk: Desk, out: Decisions) -> None:
        """Decide on the rows, then filter them."""
        rows = admitted.rows
        desk.timeless = admitted.timeless and not self._timed
        self._deciders.offer(self.once.taken(rows), desk, out)
        self._trigger(out, desk)
        self.pace.decided()
        if admitted.timeless and self._unplaced(desk.now):
            self._mark_unplaced(admitted)
        if admitted.implausible:
            rows = self._keep_implausible(rows, desk)
        for plan, part in self._parts(rows):
            desk.plan = plan
            desk.book(Account.OFFERED, len(part.sid), sum(part.size))
            if plan.mixed:
                self._offer_mixed(plan, part, desk)
            else:
                plan.filters[0].offer(part, desk)

    def _parts(self, rows: Rows) -> Iterable[tuple[Plan, Rows]]:
        """The rows by plan, each in order of arrival."""
        if not rows.sid:
            return []
        try:
            plans = list(map(self._plans.of.__getitem__, rows.sid))
        except IndexError:
            raise DefectError("a reading names a series that the table has not numbered") from None
        distinct = set(plans)
        if len(distinct) == 1:
            return [(plans[0], rows)]
        index: dict[Plan, list[int]] = {plan: [] for plan in distinct}
        for i, plan in enumerate(plans):
            index[plan].append(i)
        return [(plan, rows.take(where)) for plan, where in sorted(index.items(), key=_order)]

    def _book_duplicates(self, batch: Batch, repeats: list[int], desk: Desk) -> None:
        for i in repeats:
            desk.plan = self._plans.of[batch.sid[i]]
            desk.book(Account.OFFERED, 1, batch.size[i])
            desk.book(Account.DUPLICATE, 1, batch.size[i])

    def _unplaced(self, now: Instant) -> bool:
        """Whether a reading without device time has no time at all."""
        if now.trusted:
            self._untrusted_since = None
            return False
        if self._untrusted_since is None:
            self._untrusted_since = now.monotonic_ns
        return now.monotonic_ns - self._untrusted_since < UNPLACED_NS

    def _mark_unplaced(self, admitted: Admitted) -> None:
        """Readings without any trusted time enter no event-time window: they are kept as themselves."""
        rows = admitted.rows
        plans = self._plans.of
        own = rows.flags or [0] * len(rows.sid)
        rows.flags = [
            flag | RowFlag.TIME_IMPLAUSIBLE if ts == NO_TIME and plans[sid].placed else flag
            for sid, ts, flag in zip(rows.sid, rows.ts, own, strict=True)
        ]
        admitted.implausible = True

    def _keep_implausible(self, rows: Rows, desk: Desk) -> Rows:
        """Rows whose time cannot be: kept as themselves, touching no state."""
        flags = rows.flags or []
        odd = [i for i, flag in enumerate(flags) if flag & RowFlag.TIME_IMPLAUSIBLE]
        gone = set(odd)
        for plan, part in self._parts(rows.take(odd)):
            desk.plan = plan
            desk.book(Account.OFFERED, len(part.sid), sum(part.size))
            desk.keep(part)
        return rows.take([i for i in range(len(rows.sid)) if i not in gone])

    def _offer_mixed(self, plan: Plan, rows: Rows, desk: Desk) -> None:
        """Row by row: the strongest verdict of all filters is final, and every filter applies it."""
        pair = self._plans.pairs.get(plan)
        if pair is not None and offer_pair(pair, rows, desk):
            return
        for i in range(len(rows.sid)):
            row = rows.row(i)
            verdicts = [one.judge(row) for one in plan.filters]
            final = strongest(verdicts)
            if final >= KEEP:
                desk.ops_kept([0])
                desk.keep(rows.take([i]), [FLAGS_OF[final]])
            elif final == HOLD:
                desk.hold(rows.take([i]))
            else:
                desk.drop(1, row.size)
            _apply(plan, row, verdicts, final, desk.n, desk)

    # ── time and change ────────────────────────────────────────────────────────────────────────────
    def next_wake(self) -> int | None:
        """Monotonic ns of the next thing to do, or None."""
        due = [one.next_wake() for one in self._plans.filters]
        due.append(self._deciders.next_wake())
        return min((one for one in due if one is not None), default=None)

    def wake(self, now: Instant, draft: OpenCommit) -> tuple[Actuation, ...]:
        """Do what is due; returns actuations."""
        desk = self._desk(draft, now)
        out = Decisions()
        due = self._deciders.next_wake()
        if due is not None and due <= now.monotonic_ns:
            self._deciders.wake(desk, out)
            self._trigger(out, desk)
        for filter_ in self._plans.filters:
            due = filter_.next_wake()
            if due is not None and due <= now.monotonic_ns:
                filter_.wake(desk)
        desk.close()
        return tuple(out.actuations)

    def refresh(self, sids: Iterable[int], now: Instant, draft: OpenCommit) -> None:
        """A tombstone covers these series: their next reading is a fresh reference."""
        desk = self._desk(draft, now)
        wanted = list(sids)
        desk.op("x", _positions(desk), wanted)
        self._refresh(wanted)
        desk.close()

    def _refresh(self, sids: Iterable[int]) -> None:
        for sid in sids:
            for one in self._plans.filters:
                one.refresh(sid)

    def prepare(self, rules: LineRules) -> Ready | None:
        """Build what other rules need, for every series there is; None when they are those in force.

        Raises:
            ConfigurationError: a rule cannot be built. Nothing of the line has changed, whatever is raised.
        """
        if rules.version == self.rules.version:
            return None
        self._table.intern(RULES_SERIES)
        return self._prepared(rules)

    def _prepared(self, rules: LineRules) -> Ready:
        self._admit_series()
        fates = Plans(rules, self._table)
        fates.admit()
        deciders = _deciders_of(rules, self._table)
        for sid in range(1, len(fates.of)):
            deciders.admit(sid)
        return Ready(rules, Plans(rules, self._table), fates, deciders)

    def reconfigure(self, rules: LineRules, now: Instant, draft: OpenCommit) -> bool:
        """Prepare other rules and put them in force, in this commit; whether anything changed.

        Raises:
            ConfigurationError: a rule cannot be built (then nothing has changed).
        """
        ready = self.prepare(rules)
        if ready is not None:
            self.change(ready, now, draft)
        return ready is not None

    def change(self, ready: Ready, now: Instant, draft: OpenCommit) -> None:
        """Put prepared rules in force, in this commit; no series may have begun since they were prepared.

        Held readings of series that are treated otherwise from now on end under the old version; latches of
        changed event rules reset with an event; the canonical rules travel north as a row.
        """
        self.say(now, draft)
        desk = self._desk(draft, now)
        desk.op("c", _positions(desk), ready.rules.canonical().decode())
        previous = self.rules.version
        self._deciders.end(_kept_rules(self._deciders, ready.deciders), desk)
        self._changes += 1
        ready.plans.succeed(self._plans, ready.fates, desk, self._changes)
        self._switch(ready.plans, ready.deciders)
        self._tell_rules(self._table.intern(RULES_SERIES), previous, now, draft)
        desk.close()

    def declare(self, now: Instant, draft: OpenCommit) -> None:
        """Say north which rules a new node begins with: readers know under which rules each row was kept."""
        sid = self._table.intern(RULES_SERIES)
        self._admit_series()
        self._tell_rules(sid, "", now, draft)

    def _tell_rules(self, sid: int, previous: str, now: Instant, draft: OpenCommit) -> None:
        if sid:
            desk = self._desk(draft, now)
            body = told(self.rules, previous, [desk.kept_count(cls) for cls in NORTH])
            desk.derive(sid, now.wall_ns, body, RowKind.CONFIG, 0, RowClass.HIGH)

    def _switch(self, plans: Plans, deciders: Deciders) -> None:
        deciders.take_over(self._deciders, _kept_rules(self._deciders, deciders))
        self._plans, self._deciders = plans, deciders
        self.once.clear()

    # ── recovery ───────────────────────────────────────────────────────────────────────────────────
    def snapshot(self) -> bytes:
        """State at a commit boundary: nothing in it rests on a draft that is still open."""
        filters = [one.snapshot() for one in self._plans.filters]
        rest = [self._deciders.snapshot(), self._ingest.snapshot()]
        told = [self._changes, [one.since for one in self._plans.filters], self.untold.dump()]
        return msgspec.msgpack.encode([3, self.rules.canonical(), filters, *told, *rest])

    def restore(self, data: bytes, now: Instant) -> None:
        """Take over a snapshot, with the rules that were in force; the series table is restored before."""
        version, text, filters, *told, latches, index = msgspec.msgpack.decode(data)
        if version not in (1, 2, 3):
            raise DefectError(f"line snapshot of version {version}")
        self._changes = told[0] if told else 0
        rules = msgspec.json.decode(text, type=LineRules)
        self._plans, self._deciders = Plans(rules, self._table), _deciders_of(rules, self._table)
        self._admit_series()
        for one, state in zip(self._plans.filters, filters, strict=True):
            one.restore(state, now)
        for one, since in zip(self._plans.filters, told[1] if len(told) > 1 else (), strict=False):
            one.stamp(since)
        if len(told) > 2:
            self.untold.load(told[2])
        self._deciders.restore(latches, now)
        self._ingest.restore(index)

    def replay_frame(
        self, rows: dict[RowClass, Columns], states: Iterable[bytes], n: int, node_ns: int, now: Instant
    ) -> None:
        """Apply one recovered frame: its rows by class and this machine's state sections, in order."""
        ops: list[list[Any]] = []
        for data in states:
            ops += msgspec.msgpack.decode(data, type=list[list[Any]])
        for op in ops:
            if op[1] == "t":
                node_ns = op[2]
        self._admit_series()

        def apply_rows(some: Rows, verdict: int, noted: bool) -> None:
            for plan, part in self._parts(some):
                if plan.mixed:
                    if noted:
                        self._replay_mixed(plan, part, verdict, n)
                elif noted or plan.filters[0].learns_from_kept:
                    plan.filters[0].replay(part, verdict, n)

        frame = FrameRows(rows, node_ns, apply_rows, self._apply_derived)
        for op in ops:
            frame.until(op[0])
            self._replay_op(op, frame, now)
        frame.finish()
        for cls, columns in rows.items():
            if cls in NORTH or cls == RowClass.HELD:
                taken = readings_of(columns)
                self._ingest.recovered(n, taken.sid, taken.ts, taken.seq, taken.value)

    def _replay_mixed(self, plan: Plan, rows: Rows, verdict: int, n: int) -> None:
        pair = self._plans.pairs.get(plan)
        if pair is not None and verdict == HOLD and pair[1].takes_all(rows):
            pair[1].fold_in(rows, rows.size, None)
            return
        for i in range(len(rows.sid)):
            row = rows.row(i)
            _apply(plan, row, [one.judge(row) for one in plan.filters], verdict, n, None)

    def _apply_derived(self, sid: int, value: bytes) -> None:
        """A derived row of a recovered frame: it is all that is known of a volatile series."""
        plan = self._plans.of[sid]
        if plan.volatile:
            for one in plan.filters:
                one.replay_derived(sid, value)

    def _replay_op(self, op: list[Any], frame: FrameRows, now: Instant) -> None:
        match op[1]:
            case "t":
                pass
            case "k":
                for place, before in enumerate(op[4]):
                    frame.until(op[0] + before)
                    frame.one(RowClass(op[2]), op[3] + place)
            case "f":
                self._plans.filters[op[2]].replay_op(op[3])
            case "e":
                self._deciders.replay_op(op[2], op[3], op[4], op[5], now)
            case "x":
                frame.kept_until(op[2])
                self._refresh(op[3])
            case "c":
                frame.kept_until(op[2])
                ready = self._prepared(msgspec.json.decode(op[3], type=LineRules))
                self._changes += 1
                ready.plans.succeed(self._plans, ready.fates, None, self._changes)
                self._switch(ready.plans, ready.deciders)
            case "i":
                self._interrupt(op[2])
            case _:
                raise DefectError(f"unknown operation {op[1]!r} in the journal")

    def with_rules(self, rules: LineRules) -> Line:
        """One of the same beginning and of other rules; nothing has been offered or replayed yet."""
        line = Line(rules, self._table)
        line._changes = self._changes
        for one in line._plans.filters:
            one.stamp(self._changes)
        return line

    def begin_epoch(self, epoch: bytes, desk: Desk | None = None) -> None:
        """Another process begins: spans that the one before left open end, its own are told apart.

        In a replay before the first frame of an epoch. Changes of the rules count on from a number that the
        epoch gives, so that no two processes call different readings by one key, be one a copy of the other.
        """
        for one in self._plans.filters:
            one.cut(desk)
        self._changes = int.from_bytes(epoch[:SINCE_BYTES], "big")
        for one in self._plans.filters:
            one.stamp(self._changes)

    def recovered(self, now: Instant, draft: OpenCommit, epoch: bytes = b"") -> int:
        """The recovery is over: what it brought back is indexed, before any client waits for it.

        After a crash every volatile series says that it was interrupted; returns their number. Call it once,
        with the first draft after `replay_frame` and the epoch that it opens.
        """
        self._admit_series()
        self._ingest.prepare()
        begun = self._desk(draft, now)
        self.begin_epoch(epoch, begun)
        begun.close()
        lost = [sid for sid, plan in enumerate(self._plans.of) if sid and plan.volatile]
        if lost:
            desk = self._desk(draft, now)
            desk.op("i", lost)
            self._interrupt(lost)
            for sid in lost:
                plan = self._plans.of[sid]
                body = msgspec.msgpack.encode({"rule": plan.rule, "state": "interrupted"})
                desk.derive(sid, now.wall_ns, body, RowKind.EVENT, RowFlag.INTERRUPTED, plan.cls)
            desk.close()
        return len(lost)

    def held(self) -> dict[tuple[str, int, str], tuple[int, int]]:
        """Readings and payload bytes held on disk, by (group, class, rule), as the filters know them."""
        found: dict[tuple[str, int, str], tuple[int, int]] = {}
        for one in self._plans.filters:
            for sid, readings, size in one.owed():
                plan = self._plans.of[sid]
                if readings and not plan.volatile:
                    flow = (plan.group, int(plan.cls), plan.rule)
                    before = found.get(flow, (0, 0))
                    found[flow] = before[0] + readings, before[1] + size
        return found

    def _interrupt(self, sids: Iterable[int]) -> None:
        for sid in sids:
            for one in self._plans.of[sid].filters:
                one.interrupt(sid)


def _apply(plan: Plan, row: Row, verdicts: list[int], final: int, n: int, desk: Desk | None) -> None:
    """Every filter of a plan takes over a row; the first that holds it owns its account."""
    owner = verdicts.index(HOLD) if final == HOLD and HOLD in verdicts else -1
    for place, one in enumerate(plan.filters):
        one.apply(row, final, n, desk, owns=place == owner)


def _order(item: tuple[Plan, list[int]]) -> int:
    return item[1][0]


def _positions(desk: Desk) -> dict[int, int]:
    """Where each class that goes north stands in the open commit."""
    return {int(cls): desk.kept_count(cls) for cls in NORTH}


def _deciders_of(rules: LineRules, table: SeriesTable) -> Deciders:
    return Deciders(rules.events, [digest_of(rule) for rule in rules.events], table)


def _kept_rules(before: Deciders, after: Deciders) -> dict[int, int]:
    """Old to new number of event rules that are the same."""
    new = {version: index for index, version in enumerate(after.versions)}
    return {old: new[version] for old, version in enumerate(before.versions) if version in new}
