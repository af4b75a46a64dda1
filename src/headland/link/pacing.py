"""How much backlog may be under way, and how often it is worked on: live data must not notice.

*Under way.* A live block waits behind whatever backlog was sent before it: in the buffers of the network, and
at the parent, which checks it and makes it durable. So no more is left unanswered than the path carries in
one round trip, measured as it goes (the model of BBR, draft-ietf-ccwg-bbr, without its phases):

    window = GAIN x greatest rate of delivery x shortest time to an answer, at least LEAST

A path that could carry more answers more in the same time, and the window grows by GAIN each round trip; on
one that is full the time to an answer grows instead, and the window stays. Measures are forgotten after
KEEP_NS to 2 KEEP_NS.

*Rests.* A child that gets backlog from disk, and a parent that checks it, need the processor and the
interpreter that decisions, commits and live blocks need too. So a child that has read for some time reads
nothing for REST times as long. While urgent live blocks pass (critical or high), both ends rest REST_URGENT
times as long as they worked: then of a hundred of those blocks hardly one meets work at both, and what one
meets is at most READ_URGENT bytes being read, or a turn of checking.

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
REST_URGENT = 8
REST_URGENT_MAX_NS = 250_000_000
URGENT_NS = 5_000_000_000
"""So long after an urgent live block another one is expected."""
READ_URGENT = 16 * 1024
"""Bytes of backlog read ahead meanwhile: what is asked for at once is read without a rest."""
_NEVER = 1 << 62


def weight_of(size: int, rows: int) -> int:
    """Weight of a block of `size` bytes."""
    return BLOCK_WEIGHT + size + ROW_WEIGHT * rows


class Rests:
    """When there may be work on backlog again.

    Attributes:
        until_ns: Monotonic ns until which there is none; 0 while the turn in hand is being measured.
        measuring: Whether a turn has begun of which nobody has said how long it took.
    """

    def __init__(self, rest: int) -> None:
        """Make one that has not worked; `rest` is how often as long it rests if nothing is urgent."""
        self.until_ns = 0
        self.measuring = False
        self._rest = rest
        self._began_ns = 0
        self._urgent_ns = 0

    def urgent(self, now_ns: int) -> None:
        """A live block passes that must not wait."""
        self._urgent_ns = now_ns + URGENT_NS

    def hurried(self, now_ns: int) -> bool:
        """Whether another one may come any moment."""
        return now_ns < self._urgent_ns

    def worked(self, began_ns: int, ended_ns: int) -> None:
        """There was work from then to then."""
        took_ns = ended_ns - began_ns
        if self.hurried(ended_ns):
            rest_ns = min(REST_URGENT_MAX_NS, REST_URGENT * took_ns)
        else:
            rest_ns = min(REST_MAX_NS, self._rest * took_ns)
        self.until_ns = max(self.until_ns, ended_ns + rest_ns)

    def begin(self, now_ns: int) -> None:
        """A turn begins; it has ended when `over` is asked next, which has to be as soon as it has."""
        if self.hurried(now_ns):
            self.measuring, self._began_ns, self.until_ns = True, now_ns, 0

    def over(self, now_ns: int) -> bool:
        """Whether there may be work now."""
        if self.measuring:
            self.measuring = False
            self.worked(self._began_ns, now_ns)
        return now_ns >= self.until_ns


class Pacing:
    """The backlog of one connection.

    Attributes:
        unanswered: Weight of what was sent and is not answered.
        window: From this much on no more is sent.
        rests: Between reads.
    """

    def __init__(self) -> None:
        self.unanswered = 0
        self.window = LEAST
        self.rests = Rests(REST)
        self._sent: dict[Hashable, deque[tuple[int, int, int, int]]] = {}
        self._delivered = 0
        self._rate = self._rate_before = 0.0
        self._least_ns = self._least_before_ns = _NEVER
        self._turned_ns = 0

    @property
    def full(self) -> bool:
        """Whether nothing more may be sent now."""
        return self.unanswered >= self.window

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
