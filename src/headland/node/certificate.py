"""How long this node's own certificate is good for, told before it is not.

A node whose certificate has expired looks well to itself: its readings are stored, its parent is only not
reached any more. So it is an alarm, at the start and once a day, from `WARN_DAYS` days before the end (or the
last third of a shorter life) until another certificate is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headland.vocabulary import Instant

if TYPE_CHECKING:
    from headland.node.core import Node

WARN_DAYS = 30
DAY_S = 86_400.0
LOOK_NS = 3_600_000_000_000
"""The wall clock may be set, so the time left is looked at again and again."""


class OwnCertificate:
    """The node's certificate as the core knows it; nothing while it is told of none."""

    def __init__(self) -> None:
        self._begins_s = 0.0
        self._ends_s: float | None = None
        self._look_ns: int | None = None
        self._alarm_ns: int | None = None
        self._expired_told = False

    def renewed(self, node: Node, begins_s: float, ends_s: float, now: Instant) -> None:
        """This certificate is shown from now on.

        Args:
            node: Whose.
            begins_s: UTC seconds since 1970.
            ends_s: Likewise.
            now: The moment.
        """
        self._begins_s, self._ends_s = begins_s, ends_s
        self._alarm_ns = None
        self._look_ns = now.monotonic_ns
        self.wake(node, now)

    def seconds_left(self, now: Instant) -> float | None:
        """Until it ends; negative since it has. None where there is no certificate."""
        return None if self._ends_s is None else round(self._ends_s - now.wall_ns / 1e9, 3)

    def next_wake(self) -> int | None:
        """Monotonic ns of the next look."""
        return self._look_ns

    def wake(self, node: Node, now: Instant) -> None:
        """Look, if it is time."""
        if self._ends_s is None or self._look_ns is None or now.monotonic_ns < self._look_ns:
            return
        left_s = self._ends_s - now.wall_ns / 1e9
        self._look_ns = now.monotonic_ns + LOOK_NS
        if 0 < left_s * 1e9 < LOOK_NS:
            self._look_ns = now.monotonic_ns + int(left_s * 1e9) + 1
        life_s = self._ends_s - self._begins_s
        if left_s > min(WARN_DAYS * DAY_S, life_s / 3):
            self._alarm_ns = None
            return
        expired = left_s <= 0
        due = self._alarm_ns is None or now.monotonic_ns >= self._alarm_ns
        if due or (expired and not self._expired_told):
            self._alarm_ns = now.monotonic_ns + int(DAY_S * 1e9)
            self._expired_told = expired
            node.alarm("certificate", told(left_s))


def told(left_s: float) -> str:
    """What is left, in words."""
    if left_s <= 0:
        return f"this node's certificate expired {-left_s / DAY_S:.1f} days ago: parent and clients refuse it"
    return f"this node's certificate expires in {left_s / DAY_S:.1f} days: renew it"
