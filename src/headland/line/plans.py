"""Which rules each series takes: filters built once per rule, plans shared by series treated alike."""

from __future__ import annotations

from headland.line.filtering import Filter, Plan
from headland.line.filtering.pair import Pair, pair_of
from headland.line.filtering.selection import filled, matched
from headland.line.filtering.shape import Desk, class_of
from headland.line.rules import LineRules, SeriesRule
from headland.vocabulary import SeriesKey, SeriesTable


class Plans:
    """Filters and plans of one set of rules.

    Attributes:
        rules: The rules.
        filters: One filter a rule, in order, the default rule's last.
        of: Plan of every series by id; `of[0]` belongs to no series.
        pairs: Plans that are a dead band and a summary.
    """

    def __init__(self, rules: LineRules, table: SeriesTable) -> None:
        self.rules = rules
        self.filters: list[Filter] = []
        self.of: list[Plan] = []
        self.pairs: dict[Plan, Pair] = {}
        self._table = table
        self._order = (*rules.series, rules.default)
        self.some_volatile = any(rule.durability == "volatile" for rule in self._order)
        self._shared: dict[tuple[tuple[int, ...], str], Plan] = {}
        for index, rule in enumerate(self._order):
            self._place(index, rule.filter.build(rule.name, rule.version, class_of(rule.urgency)))

    def _place(self, index: int, one: Filter) -> None:
        one.index = index
        one.plans = self.of
        self.filters[index : index + 1] = [one]

    def admit(self) -> range:
        """Give a plan to every series that the table has numbered since; returns their ids."""
        if not self.of:
            self.of.append(self._plan_for((len(self._order) - 1,), ""))
        new = range(len(self.of), len(self._table) + 1)
        for sid in new:
            key = self._table.key(sid)
            chosen: list[int] = []
            group = ""
            for index, rule in enumerate(self._order):
                captures = matched(key, rule.match, rule.labels)
                if captures is None and rule is not self.rules.default:
                    continue
                chosen.append(index)
                group = group or filled(rule.group, key, captures or {}, rule.name) or rule.name
                if rule.final:
                    break
            plan = self._plan_for(tuple(chosen), group)
            for one in plan.filters:
                one.admit(sid)
            self.of.append(plan)
        return new

    def volatile(self) -> list[SeriesKey]:
        """Series whose held rows stay in memory: what is acknowledged of them is received, not stored."""
        if not self.some_volatile:
            return []
        return [self._table.key(sid) for sid in range(1, len(self.of)) if self.of[sid].volatile]

    def _plan_for(self, chosen: tuple[int, ...], group: str) -> Plan:
        plan = self._shared.get((chosen, group))
        if plan is None:
            rules: list[SeriesRule] = [self._order[index] for index in chosen]
            plan = self._shared[(chosen, group)] = Plan(
                len(self._shared),
                tuple(self.filters[index] for index in chosen),
                "+".join(rule.name for rule in rules),
                group,
                class_of(min(rule.urgency for rule in rules)),
                any(rule.durability == "volatile" for rule in rules),
            )
            pair = pair_of(plan)
            if pair is not None:
                self.pairs[plan] = pair
        return plan

    def succeed(self, before: Plans, fates: Plans, desk: Desk | None, change: int) -> None:
        """Take over from the plans before: series treated as before keep their state, others end theirs.

        Args:
            before: Plans of the old rules, every series admitted.
            fates: Other plans of these rules, every series admitted.
            desk: Where what ends is written, under the old plans; None in a replay.
            change: Its number (`Line.begin_epoch`).
        """
        other = [
            sid for sid in range(1, len(before.of)) if before.of[sid].signature != fates.of[sid].signature
        ]
        for sid in other:
            for one in before.of[sid].filters:
                one.end_series(sid, desk)
        for one in self.filters:
            one.stamp(change)
        known = {one.version: one for one in before.filters}
        for index, rule in enumerate(self._order):
            if rule.version in known:
                self._place(index, known[rule.version])
        self.admit()
        for sid in other:
            for one in self.of[sid].filters:
                one.begin(sid, change)
