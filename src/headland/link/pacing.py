"""How much backlog may be under way, and how often more of it is read: live data must not notice.

*Under way.* A live block waits behind whatever backlog was sent before it: in the buffers of the network, and
at the parent, which checks it and makes it durable. So no more is left unanswered than the path carries in
one round trip, measured as it goes (the model of BBR, draft-ietf-ccwg-bbr, without its phases):

    window = GAIN x greatest rate of delivery x shortest time to an answer, at least LEAST

A path that could carry more answers more in the same time, and the window grows by GAIN each round trip; on
one that is full the time to an answer grows instead, and the window stays. Measures are forgotten after
KEEP_NS to 2 KEEP_NS.

*Read.* Getting blocks from disk is work for a processor that decisions and commits need too. After reads that
took some time nothing is read for REST times as long.

Weight is bytes, and a share for every row and block: what compresses well is still as much work at both ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

GAIN = 1.5
LEAST = 24 * 1024
ROW_WEIGHT = 4
BLOCK_WEIGHT = 1024
KEEP_NS = 5_000_000_000
REST = 2
REST_MAX_NS = 50_000_000
_NEVER = 1 << 62


def weight_of(size: int, rows: int) -> int:
    """Weight of a block of `size` bytes."""
    return BLOCK_WEIGHT + size + ROW_WEIGHT * rows


class Pacing:
    """The backlog of one connection.

    Attributes:
        unanswered: Weight of what was sent and is not answered.
        window: From this much on no more is sent.
        rested_ns: Monotonic ns from which more may be read.
    """

    def __init__(self) -> None:
        self.unanswered = 0
        self.window = LEAST
        self.rested_ns = 0
        self._sent: dict[Hashable, deque[tuple[int, int, int, int]]] = {}
        self._delivered = 0
        self._rate = self._rate_before = 0.0
        self._least_ns = self._least_before_ns = _NEVER
        self._turned_ns = 0

    @property
    def full(self) -> bool:
        """Whether nothing more may be sent now."""
        return self.unanswered >= self.window

    def read(self, asked_ns: int, now_ns: int) -> None:
        """A block that was asked for at `asked_ns` is here."""
        rest_ns = min(REST_MAX_NS, REST * (now_ns - asked_ns))
        self.rested_ns = max(self.rested_ns, now_ns + rest_ns)

    def sent(self, stream: Hashable, p: int, weight: int, now_ns: int) -> None:
        """The block at position `p` of a stream leaves."""
        self._sent.setdefault(stream, deque()).append((p, weight, now_ns, self._delivered))
        self.unanswered += weight

    def answered(self, stream: Hashable, p: int, now_ns: int) -> None:
        """The parent has answered everything of a stream up to `p`."""
        waiting = self._sent.get(stream)
        newest = None
        while waiting and waiting[0][0] <= p:
            newest = waiting.popleft()
            self.unanswered -= newest[1]
            self._delivered += newest[1]
        if newest is not None:
            _, _, sent_ns, delivered = newest
            self._measure(max(1, now_ns - sent_ns), self._delivered - delivered, now_ns)

    def _measure(self, took_ns: int, weight: int, now_ns: int) -> None:
        """So much was delivered while one block waited for its answer."""
        if now_ns - self._turned_ns > KEEP_NS:
            self._turned_ns = now_ns
            self._rate_before, self._rate = self._rate, 0.0
            self._least_before_ns, self._least_ns = self._least_ns, _NEVER
        self._rate = max(self._rate, weight / took_ns)
        self._least_ns = min(self._least_ns, took_ns)
        rate, least_ns = max(self._rate, self._rate_before), min(self._least_ns, self._least_before_ns)
        self.window = max(LEAST, int(GAIN * rate * least_ns))
