"""When the rows of a class become a block."""

from __future__ import annotations

from headland.line.outbox.settings import OutboxSettings, Sync
from headland.vocabulary import Instant, Priority

BLOCK_ROWS = 1000
"""Rows at which a block is sealed whatever its class's mode."""


_ALL = tuple(Priority)
"""Walking an enumeration costs ten times a tuple, and this is asked after every event."""


class Sealer:
    """Counts unsealed rows; decides nothing else.

    A class in real time is due at every commit that has rows of it, one with an interval when its oldest
    unsealed row is that old, one on demand when it is asked for; all are due at `BLOCK_ROWS`, and when the
    journal's segment that holds their rows is to be recycled (`pressed`).
    """

    def __init__(self, settings: OutboxSettings) -> None:
        self._settings = settings
        self._rows = [0, 0, 0, 0]
        self._since = [0, 0, 0, 0]
        self._demanded: set[Priority] = set()

    def reconfigure(self, settings: OutboxSettings) -> None:
        """Go by other settings from now on."""
        self._settings = settings

    def rows(self, priority: Priority, count: int, now: Instant) -> None:
        """`count` rows of a class are in the open commit and in no block yet."""
        if count and not self._rows[priority]:
            self._since[priority] = now.monotonic_ns
        self._rows[priority] += count

    def demand(self, priority: Priority) -> None:
        """Seal what a class has, now."""
        self._demanded.add(priority)

    def due(self, now: Instant, pressed: bool = False) -> list[Priority]:
        """Classes to seal in the open commit, highest first."""
        return [
            priority for priority in _ALL if self._rows[priority] and self._is_due(priority, now, pressed)
        ]

    def _is_due(self, priority: Priority, now: Instant, pressed: bool) -> bool:
        if pressed or priority in self._demanded or self._rows[priority] >= BLOCK_ROWS:
            return True
        settings = self._settings.classes[priority]
        if settings.sync is Sync.REAL_TIME:
            return True
        if settings.sync is Sync.EVERY:
            return now.monotonic_ns - self._since[priority] >= settings.sync_every_s * 1e9
        return False

    def sealed(self, priority: Priority) -> None:
        """The rows of a class are in a block."""
        self._rows[priority] = 0
        self._demanded.discard(priority)

    def next_wake(self) -> int | None:
        """Monotonic ns at which a class becomes due by its interval."""
        due = [
            self._since[priority] + int(self._settings.classes[priority].sync_every_s * 1e9)
            for priority in _ALL
            if self._rows[priority] and self._settings.classes[priority].sync is Sync.EVERY
        ]
        return min(due, default=None)
