"""Time as an argument: rooms never read a clock."""

from __future__ import annotations

import msgspec


class Instant(msgspec.Struct, frozen=True):
    """One moment, read once at the rim and passed inward.

    Attributes:
        monotonic_ns: For timers, backoff and ages. Never goes back within one boot.
        wall_ns: UTC, nanoseconds since 1970. May jump.
        trusted: Whether wall_ns has been confirmed since boot (NTP or an authenticated parent).
    """

    monotonic_ns: int
    wall_ns: int
    trusted: bool = True

    def later(self, seconds: float) -> Instant:
        """The moment `seconds` after this one, on both clocks."""
        delta = int(seconds * 1e9)
        return Instant(self.monotonic_ns + delta, self.wall_ns + delta, self.trusted)
