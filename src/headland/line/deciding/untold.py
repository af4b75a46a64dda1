"""What rules had to say while there was no room for it: it is said as soon as there is.

    no room ─► rules act; events are kept here, in order, with the latches that took a step
    room    ─► all of it goes into the open commit, in order; what a clock raised since may stand before it

Bounds: `EVENTS_MAX` events of `BYTES_MAX` together. What comes beyond is counted and not said; of latches the
place is kept, not the steps, so what is said of them in the end is where they stand.
A checkpoint holds it, as it holds the latches. From the log alone a restart knows neither: a reading that is
sent again is decided on anew then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headland.line.filtering.shape import Desk, OpenCommit, Plan
from headland.vocabulary import Instant, RowClass

EVENTS_MAX = 4_096
BYTES_MAX = 1 << 20


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A row that was to be derived: what `Desk.derive` is given."""

    sid: int
    ts: int
    value: bytes
    kind: int
    flags: int
    cls: RowClass
    rule: str


class Untold:
    """See the module.

    Attributes:
        steps: Latches (rule index, series) that took a step that is in no commit.
    """

    def __init__(self) -> None:
        self.steps: dict[tuple[int, int], None] = {}
        self._events: list[Event] = []
        self._bytes = 0
        self._lost = 0

    def __bool__(self) -> bool:
        """Whether anything is going to be said."""
        return bool(self._events or self.steps)

    def add(self, event: Event) -> None:
        """Keep an event, or count it."""
        if len(self._events) >= EVENTS_MAX or self._bytes + len(event.value) > BYTES_MAX:
            self._lost += 1
            return
        self._events.append(event)
        self._bytes += len(event.value)

    def take_lost(self) -> int:
        """Events that found no place here, since this was last asked."""
        lost, self._lost = self._lost, 0
        return lost

    def dump(self) -> list[Any]:
        """Everything, for a snapshot."""
        return [list(self.steps), self._events, self._lost]

    def load(self, dumped: list[Any]) -> None:
        """Take over a snapshot."""
        steps, events, self._lost = dumped
        self.steps = dict.fromkeys((index, sid) for index, sid in steps)
        self._events = msgspec.convert(events, list[Event])
        self._bytes = sum(len(one.value) for one in self._events)

    def say(self, desk: Desk) -> list[tuple[int, int]]:
        """Write every event, and forget it; the latches of which something is to be said, too."""
        for one in self._events:
            desk.derive(one.sid, one.ts, one.value, one.kind, one.flags, one.cls, rule=one.rule)
        steps = list(self.steps)
        self._events, self._bytes = [], 0
        self.steps.clear()
        return steps


class Muted(Desk):
    """A desk of a commit that has no room for events: books only."""

    __slots__ = ("_untold",)

    def __init__(
        self, untold: Untold, draft: OpenCommit, node_ns: int, now: Instant, plans: Sequence[Plan]
    ) -> None:
        super().__init__(draft, node_ns, now, plans)
        self._untold = untold

    def derive(
        self, sid: int, ts: int, value: bytes, kind: int, flags: int, cls: RowClass, *, rule: str = ""
    ) -> None:
        """Keep it until there is room."""
        self._untold.add(Event(sid, ts, value, kind, flags, cls, rule))

    def _note(self, *operation: Any) -> None:
        if operation[0] == "e":
            self._untold.steps[operation[1], operation[2]] = None
