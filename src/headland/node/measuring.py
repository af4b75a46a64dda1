"""Where the time of an event goes: phases of the one in hand, and what held the loop before it.

The machines are told a clock and no more (`Pace.clock`); it costs them three looks at it an event, whatever
the number of its readings. What took long is remembered as a spell, so that a decision that had to wait can
say what it waited for.

Bounds: the last `SPELLS_MAX` spells of at least `SPELL_NS` are known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from headland.line.pace import Pace
from headland.line.stages import Cause, StageName, Stages

SPELLS_MAX = 256
SPELL_NS = 100_000


class Spells:
    """What held the loop, by time."""

    def __init__(self) -> None:
        self._spells: deque[tuple[int, int, Cause]] = deque(maxlen=SPELLS_MAX)

    def add(self, begun_ns: int, ended_ns: int, cause: Cause) -> None:
        """Something held the loop for so long."""
        if ended_ns - begun_ns >= SPELL_NS:
            self._spells.append((begun_ns, ended_ns, cause))

    def between(self, begun_ns: int, ended_ns: int) -> dict[Cause, int]:
        """How long (ns) which cause held the loop in this time."""
        found: dict[Cause, int] = {}
        for since, until, cause in self._spells:
            shared = min(until, ended_ns) - max(since, begun_ns)
            if shared > 0:
                found[cause] = found.get(cause, 0) + shared
        return found


class Measuring:
    """Observes the stages of deciding and filtering, of events that brought readings and of no others.

    Attributes:
        pace: Phases of the event in hand.
        spells: What held the loop lately.
    """

    def __init__(self, stages: Stages, clock: Callable[[], int]) -> None:
        self.pace = Pace(clock)
        self.spells = Spells()
        self._decide = stages[StageName.DECIDE]
        self._filter = stages[StageName.FILTER]
        self._held_ns = 0

    def held(self, held: bool, now_ns: int) -> None:
        """Some connection is not read because commits have to catch up (or none is any more)."""
        if held and not self._held_ns:
            self._held_ns = now_ns
        elif not held and self._held_ns:
            self.spells.add(self._held_ns, now_ns, Cause.DISK)
            self._held_ns = 0

    def acted(self, arrived_ns: int, begun_ns: int, left_ns: int) -> None:
        """The actuations of an event have been handed over.

        Args:
            arrived_ns: When its oldest bytes were read, or its source asked.
            begun_ns: When the core was given it.
            left_ns: When the core was done with it.
        """
        pace = self.pace
        readings = pace.readings
        now_ns = pace.clock()
        took_ns, judged_ns = now_ns - arrived_ns, pace.rules_ns + pace.filters_ns
        cause = Cause.UNKNOWN
        if not self._decide.fits(took_ns) or not self._filter.fits(judged_ns):
            cause = self._cause(arrived_ns, begun_ns, left_ns, now_ns)
        self._decide.observe(took_ns, cause, readings)
        if cause not in JUDGING:
            cause = Cause.RULES if pace.rules_ns > pace.filters_ns else Cause.FILTERS
        self._filter.observe(judged_ns, cause, readings)

    def _cause(self, arrived_ns: int, begun_ns: int, left_ns: int, now_ns: int) -> Cause:
        """Where most of the time went."""
        pace = self.pace
        if self._held_ns:
            self.spells.add(self._held_ns, now_ns, Cause.DISK)
            self._held_ns = now_ns
        shares = self.spells.between(arrived_ns, begun_ns)
        garbage_ns = self.spells.between(begun_ns, now_ns).get(Cause.GARBAGE, 0)
        known_ns = sum(shares.values())
        shares[Cause.WAITED] = shares.get(Cause.WAITED, 0) + max(0, begun_ns - arrived_ns - known_ns)
        shares[Cause.GARBAGE] = shares.get(Cause.GARBAGE, 0) + garbage_ns
        if 2 * shares[Cause.GARBAGE] >= now_ns - arrived_ns:
            return Cause.GARBAGE
        shares[Cause.DECODING] = pace.decoding_ns
        shares[Cause.RULES] = pace.rules_ns
        shares[Cause.FILTERS] = pace.filters_ns
        shares[Cause.LINK] = shares.get(Cause.LINK, 0) + pace.link_ns + max(0, left_ns - pace.settled_ns)
        shares[Cause.ACTUATING] = now_ns - left_ns
        return max(shares, key=lambda cause: shares[cause])


JUDGING = frozenset((Cause.RULES, Cause.FILTERS, Cause.GARBAGE))
"""What may be to blame for slow judging."""
