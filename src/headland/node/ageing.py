"""Time that a node was off counts as age, where the clock can be believed.

The age clock (ms) is carried in every frame. At a start the time since the newest commit is added to it if
the wall clock was trusted at that commit, is trusted now, and the step is plausible: forward, and at most
`PLAUSIBLE_NS`. Otherwise nothing is added, also not when the clock becomes trusted later: a block may then
live longer than its TTL by the time off, never shorter.

STATE section "clock", msgpack [trusted, off_ms]: whether node times from this commit on are of a trusted
clock (they are until it is said that they are not), and the time off counted so far.
"""

from __future__ import annotations

import msgspec

from headland.journal import Draft
from headland.vocabulary import Instant

OWNER = "clock"
LEAST_NS = 1_000_000_000
"""Less than this is not worth a section."""
PLAUSIBLE_NS = 400 * 86_400 * 1_000_000_000


class Ageing:
    """See the module.

    Attributes:
        trusted: Whether the newest commit's node time is of a trusted clock.
        off_ms: Time off that is in the age clock.
        node_ns: Node time of the newest commit, ns UTC; 0 for none.
    """

    def __init__(self) -> None:
        self.trusted = True
        self.off_ms = 0
        self.node_ns = 0
        self._untold = False

    def closing(self, draft: Draft, now: Instant) -> None:
        """A commit is being closed at this moment."""
        self.node_ns = now.wall_ns
        if self._untold or now.trusted != self.trusted:
            self.trusted, self._untold = now.trusted, False
            draft.state(OWNER, msgspec.msgpack.encode([self.trusted, self.off_ms]))

    def opened(self, now: Instant) -> int:
        """A start: time off, ms, to be added to the age clock."""
        off_ns = now.wall_ns - self.node_ns
        if not (self.node_ns and self.trusted and now.trusted and LEAST_NS <= off_ns <= PLAUSIBLE_NS):
            return 0
        self._untold = True
        self.off_ms += off_ns // 1_000_000
        return off_ns // 1_000_000

    def replay(self, data: bytes) -> None:
        """A STATE section of a recovered commit."""
        self.trusted, self.off_ms = msgspec.msgpack.decode(data, type=tuple[bool, int])

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        return msgspec.msgpack.encode([self.trusted, self.off_ms, self.node_ns])

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        found = msgspec.msgpack.decode(data, type=tuple[bool, int, int])
        self.trusted, self.off_ms, self.node_ns = found
