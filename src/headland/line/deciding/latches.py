"""Latches: where each rule stands on each series, and the steps between.

===========  ==============================  =====================================================
state        when the condition holds        when it does not
===========  ==============================  =====================================================
CLEAR        PENDING if `for_s`, else raise   stays
PENDING      raise once `for_s` has passed    CLEAR
LATE         raise if the reading is young    CLEAR
RAISED       stays                            CLEAR, told
===========  ==============================  =====================================================

Raise: RAISED with its actuations when the reading is young, else LATE (an event row marked late and no
actuation; the first young reading that still holds raises it). Every step is durable: an operation in the
commit of its reading.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec


class Latch(IntEnum):
    """Where a rule stands on a series."""

    CLEAR = 0
    PENDING = 1
    LATE = 2
    RAISED = 3


class Latches:
    """Latches that are not CLEAR, by (rule, series), with the time (ns) since which they hold."""

    def __init__(self) -> None:
        self._at: dict[tuple[int, int], tuple[Latch, int]] = {}

    def get(self, rule: int, sid: int) -> tuple[Latch, int]:
        """State and since when."""
        return self._at.get((rule, sid), (Latch.CLEAR, 0))

    def set(self, rule: int, sid: int, latch: Latch, since: int) -> None:
        """Take a step."""
        if latch == Latch.CLEAR:
            self._at.pop((rule, sid), None)
        else:
            self._at[(rule, sid)] = (latch, since)

    def of_state(self, latch: Latch) -> list[tuple[int, int, int]]:
        """(rule, series, since) of all in a state."""
        return [(rule, sid, since) for (rule, sid), (one, since) in self._at.items() if one == latch]

    def of_rule(self, rule: int) -> list[tuple[int, Latch, int]]:
        """(series, state, since) of a rule's latches."""
        return [
            (sid, one, since) for (number, sid), (one, since) in sorted(self._at.items()) if number == rule
        ]

    def snapshot(self) -> list[list[int]]:
        """As plain values."""
        return [[rule, sid, int(latch), since] for (rule, sid), (latch, since) in sorted(self._at.items())]

    def restore(self, state: Any) -> None:
        """From `snapshot`."""
        rows = msgspec.convert(state, list[tuple[int, int, int, int]])
        self._at = {(rule, sid): (Latch(latch), since) for rule, sid, latch, since in rows}
