"""Actuations of a node: handed over before anything else that their event causes, and what became of each.

One that was not done is counted by its rule, said, and told north by an event row (`not_done`); the first of
a rule since it last succeeded is an alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from headland.line.deciding import Actuation, Outcome
from headland.node import events as ev

if TYPE_CHECKING:
    from headland.node.core import Node

RULES_MAX = 1_000
"""Rules whose figures are kept; those of rules that are gone are forgotten beyond it."""


class Acts(msgspec.Struct):
    """Figures of one rule since the start: what was wanted, and what became of it; the rest is under way."""

    wanted: int = 0
    done: int = 0
    failed: int = 0
    late: int = 0
    dropped: int = 0


class Acting:
    """Hands actuations over, and keeps their figures.

    Attributes:
        by_rule: Figures of each rule that has acted.
    """

    def __init__(self) -> None:
        self.by_rule: dict[str, Acts] = {}
        self._in_trouble: set[str] = set()

    def act(self, node: Node, actuations: Sequence[Actuation]) -> None:
        """Publish, or hand over to those who post and execute."""
        for one in actuations:
            self._acts(node, one.key.rule).wanted += 1
            why = one.unfit or (node.parts.broker.refuses(one.target) if one.kind == "mqtt" else "")
            if why:
                self.acted(node, one, Outcome.FAILED, why)
            elif one.kind == "mqtt":
                node.publish(one.target, one.payload, one.key.text())
                self.acted(node, one, Outcome.DONE, "")
            else:
                node.emit(ev.Actuate(one))

    def acted(self, node: Node, actuation: Actuation, outcome: Outcome, why: str) -> None:
        """Take what became of one."""
        rule = actuation.key.rule
        acts = self._acts(node, rule)
        setattr(acts, outcome.value, getattr(acts, outcome.value) + 1)
        if outcome == Outcome.DONE:
            self._in_trouble.discard(rule)
            return
        node.begin(node.now)
        node.parts.intake.line.not_done(actuation, outcome, why, node.now, node.draft)
        about = {"rule": rule, "key": actuation.key.text(), "outcome": str(outcome), "reason": why}
        node.say("error", "actuation_not_done", **about)
        if rule not in self._in_trouble:
            self._in_trouble.add(rule)
            node.alarm("actuation", f"rule {rule}, series {actuation.key.series}: {outcome}: {why}")

    def _acts(self, node: Node, rule: str) -> Acts:
        acts = self.by_rule.get(rule)
        if acts is None:
            if len(self.by_rule) >= RULES_MAX:
                named = {one.name for one in node.parts.intake.line.rules.events}
                self.by_rule = {name: one for name, one in self.by_rule.items() if name in named}
                self._in_trouble &= named
            acts = self.by_rule[rule] = Acts()
        return acts
