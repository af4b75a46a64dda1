"""Why the parent is not reached: told when it becomes another reason, not at each of a thousand dials.

Trust is no passing trouble: that a certificate is refused, by either side, is an alarm, once a reason. So
is a parent that closes before its welcome again and again: it knows why, and this node cannot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headland.link.uplink import Phase
from headland.vocabulary import Instant

if TYPE_CHECKING:
    from headland.node.core import Node

AGAIN_NS = 600_000_000_000
"""The same reason is told again after so long."""
PATIENCE = 3
"""So many closes before the welcome are an alarm."""
TRUST = ("certificate", "TLS", "unknown ca")


class Trouble:
    """What has kept this node from its parent since it was reached last.

    Attributes:
        reason: The latest; "" for none.
        ended: Why the connection in hand ended.
        dials: Failures in a row.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.ended = ""
        self.dials = 0
        self._unwelcome = 0
        self._told_ns = 0
        self._alarmed = ""
        self._phase: Phase | None = None

    def watch(self, node: Node, phase: Phase, now: Instant) -> None:
        """A connection that ends before the parent's welcome is no other event of the link."""
        before, self._phase = self._phase, phase
        if before is Phase.GREETING and phase is Phase.WAITING:
            self._unwelcome += 1
            self.failed(node, f"the parent closed before its welcome: {self.ended or 'no reason given'}", now)

    def failed(self, node: Node, reason: str, now: Instant) -> None:
        """A dial has failed, or came to nothing."""
        self.dials += 1
        if reason != self.reason or now.monotonic_ns - self._told_ns >= AGAIN_NS:
            self._told_ns = now.monotonic_ns
            node.say("warning", "dial_failed", reason=reason, dials=self.dials)
        self.reason = reason
        serious = self._unwelcome >= PATIENCE or any(word in reason for word in TRUST)
        if serious and self._alarmed != reason:
            self._alarmed = reason
            node.alarm("parent_unreached", reason)
