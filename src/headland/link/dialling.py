"""When to dial again: at once, then every second (± 20 %) for ten minutes, then 30 s, 1, 5, 15 min.

A metered or battery profile uses the long steps from the start. A connection that lasted under ten seconds
does not start the schedule again: a parent that accepts and drops is not dialled in a tight loop.
"""

from __future__ import annotations

from typing import Protocol

from headland.vocabulary import Instant

STEP_S = 1.0
SHORT_FOR_S = 600.0
LONG_STEPS_S = (30.0, 60.0, 300.0, 900.0)
JITTER = 0.2
LASTED_S = 10.0
_NS = 1_000_000_000


class Random(Protocol):
    """Where jitter comes from."""

    def random(self) -> float:
        """A number in [0, 1)."""


class Dialling:
    """The schedule of one uplink.

    Attributes:
        at: Monotonic ns of the next dial, or None while none is due.
    """

    def __init__(self, random: Random, metered: bool = False) -> None:
        self.at: int | None = None
        self._random = random
        self._metered = metered
        self._since: int | None = None
        self._up_at: int | None = None
        self._long = 0

    def begin(self, now: Instant) -> None:
        """Dial at once."""
        self._since = now.monotonic_ns
        self._long = 0
        self.at = now.monotonic_ns

    def dialled(self) -> None:
        """A dial is under way."""
        self.at = None

    def up(self, now: Instant) -> None:
        """The connection serves."""
        self._up_at = now.monotonic_ns
        self.at = None

    def failed(self, now: Instant, slow: bool = False) -> None:
        """The dial failed or the connection ended; `slow` goes to the long steps at once."""
        lasted = self._up_at is not None and now.monotonic_ns - self._up_at >= LASTED_S * _NS
        self._up_at = None
        if lasted and not slow:
            self.begin(now)
            return
        since = self._since if self._since is not None else now.monotonic_ns
        self._since = since
        step = STEP_S
        if slow or self._metered or now.monotonic_ns - since >= SHORT_FOR_S * _NS:
            step = LONG_STEPS_S[min(self._long, len(LONG_STEPS_S) - 1)]
            self._long += 1
        step *= 1 + JITTER * (2 * self._random.random() - 1)
        self.at = now.monotonic_ns + int(step * _NS)
