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
k     class, row index                                        a kept row of a mixed plan, at its place
f     filter index, operation                                 what a filter's wake did
x     {class: rows}, [series ids]                             references forgotten (tombstone)
c     {class: rows}, canonical rules                          the rules changed
====  =====================================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from headland.line.deciding import Actuation
from headland.line.filtering import Filter, Plan, Rows
from headland.line.filtering.selection import filled, matched
from headland.line.filtering.shape import FLAGS_OF, HOLD, KEEP, Desk, OpenCommit, Row, class_of
from headland.line.ingest import Ingest
from headland.line.rules import LineRules, SeriesRule
from headland.vocabulary import (
    NO_SEQUENCE,
    NO_TIME,
    Account,
    Batch,
    Columns,
    DefectError,
    Instant,
    RowClass,
    RowFlag,
    RowKind,
    SeriesTable,
)

NORTH = (RowClass.CRITICAL, RowClass.HIGH, RowClass.NORMAL, RowClass.LOW)


class Offered(msgspec.Struct, frozen=True):
    """What became of a batch.

    Attributes:
        needs_n: Commit that has to be durable before the batch's acknowledgements leave.
        actuations: What to do at once, before the commit.
        duplicates: Readings proved repeats.
    """

    needs_n: int
    actuations: tuple[Actuation, ...] = ()
    duplicates: int = 0


class Line:
    """Ingest, rules and filters of one node, over one series table."""

    def __init__(self, rules: LineRules, table: SeriesTable) -> None:
        self._table = table
        self._ingest = Ingest()
        self._draft_n = -1
        self._node_ns = 0
        self._timed = False
        self._install(rules)

    # ── rules and plans ────────────────────────────────────────────────────────────────────────────
    def _install(self, rules: LineRules) -> None:
        self.rules = rules
        self._order = (*rules.series, rules.default)
        self._filters: list[Filter] = []
        self._plan_of: list[Plan] = []
        for index, rule in enumerate(self._order):
            one = rule.filter.build(rule.name, rule.version, class_of(rule.urgency))
            one.index = index
            one.plans = self._plan_of
            self._filters.append(one)
        self._plans: dict[tuple[tuple[int, ...], str], Plan] = {}

    def _admit_series(self) -> None:
        """Give a plan to every series that the table has numbered since."""
        if not self._plan_of:
            self._plan_of.append(self._plan_for((len(self._order) - 1,), ""))
        for sid in range(len(self._plan_of), len(self._table) + 1):
            key = self._table.key(sid)
            chosen: list[int] = []
            group = ""
            for index, rule in enumerate(self._order):
                captures = matched(key, rule.match, rule.labels)
                if captures is None and rule is not self.rules.default:
                    continue
                chosen.append(index)
                if not group:
                    group = filled(rule.group, key, captures or {}, rule.name) or rule.name
                if rule.final:
                    break
            plan = self._plan_for(tuple(chosen), group)
            for one in plan.filters:
                one.admit(sid)
            self._plan_of.append(plan)

    def _plan_for(self, chosen: tuple[int, ...], group: str) -> Plan:
        plan = self._plans.get((chosen, group))
        if plan is None:
            rules: list[SeriesRule] = [self._order[index] for index in chosen]
            plan = Plan(
                len(self._plans),
                tuple(self._filters[index] for index in chosen),
                "+".join(rule.name for rule in rules),
                group,
                class_of(min(rule.urgency for rule in rules)),
                any(rule.durability == "volatile" for rule in rules),
            )
            self._plans[(chosen, group)] = plan
        return plan

    # ── offering ───────────────────────────────────────────────────────────────────────────────────
    def offer(
        self,
        client: str,
        batch: Batch,
        now: Instant,
        draft: OpenCommit,
        *,
        duplicate_suspect: list[bool] | None = None,
    ) -> Offered:
        """Take a batch into the open commit.

        Args:
            client: Who sent it; the index of repeats is kept per client.
            batch: Columns of readings, ids of this node's table.
            now: The moment it was read.
            draft: The open commit.
            duplicate_suspect: For each message, whether it was marked as a repeat; None when the source has
            no
                such mark (nothing is indexed then).
        """
        if not batch.sid:
            return Offered(0)
        desk = self._desk(draft, now)
        admitted = self._ingest.admit(client, batch, now, desk.n, desk.node_ns, duplicate_suspect)
        if len(self._plan_of) <= len(self._table):
            self._admit_series()
        needs = admitted.duplicates_n
        if admitted.duplicates:
            self._book_duplicates(batch, admitted.duplicates, desk)
        rows = admitted.rows
        if rows.sid:
            desk.timeless = admitted.timeless and not self._timed
            if admitted.implausible:
                rows = self._keep_implausible(rows, desk)
            for plan, part in self._parts(rows):
                desk.plan = plan
                size = sum(part.size)
                desk.book(Account.OFFERED, len(part.sid), size)
                if len(plan.filters) == 1 and not plan.mixed:
                    plan.filters[0].offer(part, desk)
                else:
                    self._offer_mixed(plan, part, desk)
                if not desk.wrote:
                    for one in plan.filters:
                        needs = max(needs, one.needs(part.sid))
        self._timed = self._timed or (desk.wrote and desk.timeless)
        desk.close()
        return Offered(desk.n if desk.wrote else needs, (), len(admitted.duplicates))

    def _desk(self, draft: OpenCommit, now: Instant) -> Desk:
        if draft.n != self._draft_n:
            self._draft_n = draft.n
            self._node_ns = now.wall_ns
            self._timed = False
        return Desk(draft, self._node_ns, now, self._plan_of)

    def _parts(self, rows: Rows) -> Iterable[tuple[Plan, Rows]]:
        """The rows by plan, each in order of arrival."""
        try:
            plans = list(map(self._plan_of.__getitem__, rows.sid))
        except IndexError:
            raise DefectError("a reading names a series that the table has not numbered") from None
        distinct = set(plans)
        if len(distinct) == 1:
            return [(plans[0], rows)]
        index: dict[Plan, list[int]] = {}
        for i, plan in enumerate(plans):
            if plan in index:
                index[plan].append(i)
            else:
                index[plan] = [i]
        return [(plan, rows.take(where)) for plan, where in index.items()]

    def _book_duplicates(self, batch: Batch, repeats: list[int], desk: Desk) -> None:
        for i in repeats:
            desk.plan = self._plan_of[batch.sid[i]]
            desk.book(Account.OFFERED, 1, batch.size[i])
            desk.book(Account.DUPLICATE, 1, batch.size[i])

    def _keep_implausible(self, rows: Rows, desk: Desk) -> Rows:
        """Rows whose device time cannot be: kept as themselves, touching no state."""
        assert rows.flags is not None
        odd = [i for i, flag in enumerate(rows.flags) if flag & RowFlag.TIME_IMPLAUSIBLE]
        gone = set(odd)
        for plan, part in self._parts(rows.take(odd)):
            desk.plan = plan
            desk.book(Account.OFFERED, len(part.sid), sum(part.size))
            desk.keep(part)
        return rows.take([i for i in range(len(rows.sid)) if i not in gone])

    def _offer_mixed(self, plan: Plan, rows: Rows, desk: Desk) -> None:
        """Row by row: the strongest verdict of all filters is final, and every filter applies it."""
        for i in range(len(rows.sid)):
            row = rows.row(i)
            verdicts = [one.judge(row) for one in plan.filters]
            final = max(verdicts)
            if final >= KEEP:
                if not plan.volatile:
                    desk.op_kept()
                desk.keep(rows.take([i]), [FLAGS_OF[final]])
            elif final == HOLD:
                desk.hold(rows.take([i]))
            else:
                desk.drop(1, row.size)
            _apply(plan, row, verdicts, final, desk.n, desk)

    # ── time ───────────────────────────────────────────────────────────────────────────────────────
    def next_wake(self) -> int | None:
        """Monotonic ns of the next thing to do, or None."""
        return min((due for one in self._filters if (due := one.next_wake()) is not None), default=None)

    def wake(self, now: Instant, draft: OpenCommit) -> tuple[Actuation, ...]:
        """Close what is due; returns actuations."""
        desk = self._desk(draft, now)
        for one in self._filters:
            due = one.next_wake()
            if due is not None and due <= now.monotonic_ns:
                one.wake(desk)
        desk.close()
        return ()

    def refresh(self, sids: Iterable[int], now: Instant, draft: OpenCommit) -> None:
        """A tombstone covers these series: their next reading is a fresh reference."""
        desk = self._desk(draft, now)
        wanted = list(sids)
        desk.op("x", {cls: desk.kept_count(cls) for cls in NORTH}, wanted)
        self._refresh(wanted)
        desk.close()

    def _refresh(self, sids: Iterable[int]) -> None:
        for sid in sids:
            for one in self._filters:
                one.refresh(sid)

    def apply_row(self, row: Row, verdict: int, n: int, *, noted: bool) -> None:
        """Apply a recovered row to its filters; kept rows of mixed plans only where their place was noted."""
        plan = self._plan_of[row.sid]
        if noted or not plan.mixed:
            _apply(plan, row, [one.judge(row) for one in plan.filters], verdict, n, None)

    def apply_derived(self, sid: int, value: bytes) -> None:
        """A derived row of a recovered frame: it is all that is known of a volatile series."""
        plan = self._plan_of[sid]
        if plan.volatile:
            for one in plan.filters:
                one.replay_derived(sid, value)

    # ── recovery ───────────────────────────────────────────────────────────────────────────────────
    def snapshot(self) -> bytes:
        """State at a commit boundary: nothing in it rests on a draft that is still open."""
        return msgspec.msgpack.encode(
            [1, self.rules.canonical(), [one.snapshot() for one in self._filters], self._ingest.snapshot()]
        )

    def restore(self, data: bytes, now: Instant) -> None:
        """Take over a snapshot, with the rules that were in force."""
        version, rules, filters, index = msgspec.msgpack.decode(data)
        if version != 1:
            raise DefectError(f"line snapshot of version {version}")
        self._install(msgspec.json.decode(rules, type=LineRules))
        self._admit_series()
        for one, state in zip(self._filters, filters, strict=True):
            one.restore(state, now)
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
        replay = _Replay(self, rows, n, node_ns)
        for op in ops:
            replay.until(op[0])
            self._replay_op(op, replay)
        replay.finish()
        for cls, columns in rows.items():
            if (cls in NORTH or cls == RowClass.HELD) and columns.sid:
                self._index_recovered(n, columns)

    def _replay_op(self, op: list[Any], replay: _Replay) -> None:
        match op[1]:
            case "t":
                pass
            case "k":
                replay.one(RowClass(op[2]), op[3])
            case "f":
                self._filters[op[2]].replay_op(op[3])
            case "x":
                replay.kept_until(op[2])
                self._refresh(op[3])
            case _:
                raise DefectError(f"unknown operation {op[1]!r} in the journal")

    def _index_recovered(self, n: int, columns: Columns) -> None:
        kind = columns.kind
        if kind is None:
            self._ingest.recovered(n, columns.sid, columns.ts, columns.seq, columns.value)
            return
        where = [i for i, one in enumerate(kind) if one == RowKind.READING]
        self._ingest.recovered(
            n,
            [columns.sid[i] for i in where],
            [columns.ts[i] for i in where],
            None if columns.seq is None else [columns.seq[i] for i in where],
            [columns.value[i] for i in where],
        )


class _Replay:
    """Cursor over the rows of one recovered frame."""

    def __init__(self, line: Line, rows: dict[RowClass, Columns], n: int, node_ns: int) -> None:
        self._line = line
        self._rows = rows
        self._n = n
        self._node_ns = node_ns
        self._at = dict.fromkeys(rows, 0)

    def until(self, held: int) -> None:
        """Apply held rows before position `held`."""
        self._advance(RowClass.HELD, held)

    def kept_until(self, positions: dict[int, int]) -> None:
        """Apply kept rows before these positions."""
        for cls, position in positions.items():
            self._advance(RowClass(cls), position)

    def one(self, cls: RowClass, index: int) -> None:
        """Apply one kept row of a mixed plan."""
        self._apply(cls, index, noted=True)

    def finish(self) -> None:
        """Apply all that is left."""
        for cls in self._rows:
            if cls in NORTH or cls == RowClass.HELD:
                self._advance(cls, len(self._rows[cls].sid))

    def _advance(self, cls: RowClass, end: int) -> None:
        if cls not in self._rows:
            return
        for index in range(self._at[cls], end):
            self._apply(cls, index, noted=cls == RowClass.HELD)
        self._at[cls] = max(self._at[cls], end)

    def _apply(self, cls: RowClass, index: int, *, noted: bool) -> None:
        columns = self._rows[cls]
        sid, ts, value = columns.sid[index], columns.ts[index], columns.value[index]
        kind = RowKind.READING if columns.kind is None else columns.kind[index]
        if kind == RowKind.WINDOW and isinstance(value, bytes):
            self._line.apply_derived(sid, value)
        flags = 0 if columns.flags is None else columns.flags[index]
        if kind == RowKind.READING and not flags & RowFlag.TIME_IMPLAUSIBLE:
            row = Row(
                sid,
                ts,
                self._node_ns if ts == NO_TIME else ts,
                value,
                0 if columns.size is None else columns.size[index],
                NO_SEQUENCE if columns.seq is None else columns.seq[index],
                flags,
            )
            self._line.apply_row(row, HOLD if cls == RowClass.HELD else KEEP, self._n, noted=noted)


def _apply(plan: Plan, row: Row, verdicts: list[int], final: int, n: int, desk: Desk | None) -> None:
    """Every filter of a plan takes over a row; the first that holds it owns its account."""
    owner = verdicts.index(HOLD) if final == HOLD and HOLD in verdicts else -1
    for place, one in enumerate(plan.filters):
        one.apply(row, final, n, desk, owns=place == owner)
