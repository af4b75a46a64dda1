"""How long the phases of one event take: the executor says when it begins, the line says what it has done.

Time is handed in: whoever wants it measured gives a clock; without one every phase takes nothing.
"""

from __future__ import annotations

from collections.abc import Callable


def no_clock() -> int:
    """Nothing is measured."""
    return 0


class Pace:
    """Phases of the event in hand, ns; an event may bring several batches.

    Attributes:
        clock: Monotonic ns.
        readings: Readings that were judged.
        link_ns: What was done for children and the parent before the readings were.
        decoding_ns: Bytes to packets, payloads to readings.
        rules_ns: Repeats, times, event rules.
        filters_ns: Filters, to rows in the open commit.
        settled_ns: Moment at which all that was brought had been taken.
    """

    __slots__ = (
        "_since_ns",
        "clock",
        "decoding_ns",
        "filters_ns",
        "link_ns",
        "readings",
        "rules_ns",
        "settled_ns",
    )

    def __init__(self, clock: Callable[[], int] = no_clock) -> None:
        self.clock = clock
        self.begin(0)

    def begin(self, now_ns: int) -> None:
        """An event begins."""
        self._since_ns = self.settled_ns = now_ns
        self.readings = self.link_ns = self.decoding_ns = self.rules_ns = self.filters_ns = 0

    def linked(self) -> None:
        """What came from children and the parent is done."""
        since, self._since_ns = self._since_ns, self.clock()
        self.link_ns += self._since_ns - since

    def decoded(self) -> None:
        """Readings are there."""
        since, self._since_ns = self._since_ns, self.clock()
        self.decoding_ns += self._since_ns - since

    def decided(self) -> None:
        """They have been decided on."""
        since, self._since_ns = self._since_ns, self.clock()
        self.rules_ns += self._since_ns - since

    def filtered(self, readings: int) -> None:
        """They have been filtered."""
        since, self._since_ns = self._since_ns, self.clock()
        self.filters_ns += self._since_ns - since
        self.readings += readings

    def settled(self) -> None:
        """All that the event brought has been taken."""
        self.settled_ns = self.clock()
