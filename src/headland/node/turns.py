"""What the sockets bring, gathered: everything of one turn of the loop is one event for the node.

A node handles a hundred small reads together at little more than the price of one. And a decision must not
wait until the loop has worked through what a hundred busy connections brought: so those that say little go
first, the least of them before the rest, and everything is handled in slices of `SLICE_NS`, with a look at
all sockets in between. What an event decides leaves at its end: so one holds no more than is handled in a
slice, going by what the bytes of its connections took before. Bytes of one connection never overtake each
other; its end comes after them.

Bounds: at most `LITTLE_READS` small reads wait for the end of the turn; one event holds `TOGETHER_BYTES`, or
one read. A connection with `CHUNKS_MAX` large reads waiting is not read until they are handled; with half of
`waiting_bytes_max` waiting in all, one read is enough for that. With all of it waiting nothing is read at
all, until half of it is handled: what the kernel's buffers hold then is held back from the senders.

What the node holds (`hold`) is not handled either: reads that were on their way stay here until it lets go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from headland.node import events as ev

LITTLE_BYTES = 512
LITTLE_READS = 256
TOGETHER_BYTES = 16_384
SLICE_NS = 1_000_000
CHUNKS_MAX = 2

CHEAP = SLICE_NS / TOGETHER_BYTES
"""What a byte is taken to cost, ns, until those of its connection have cost more."""
SMOOTHING = 8

Part = tuple[int, bytes]


class Turns:
    """Reads that wait, in order of arrival."""

    def __init__(
        self,
        feed: Callable[[ev.Event, int], None],
        call_soon: Callable[[Callable[[], None]], object],
        now_ns: Callable[[], int],
        still: Callable[[int, bool], None],
        all_still: Callable[[bool], None],
        waiting_bytes_max: int,
    ) -> None:
        """Make an empty queue.

        Args:
            feed: Hands an event to the node, with the time at which the oldest of its reads was made.
            call_soon: Calls a function after the sockets have been looked at once more.
            now_ns: Monotonic time.
            still: Stops (True) or goes on (False) reading a connection.
            all_still: The same for every connection, beside what is said of one.
            waiting_bytes_max: Bytes that may wait in all (one read of one connection more).
        """
        self._feed = feed
        self._call_soon = call_soon
        self._now_ns = now_ns
        self._still = still
        self._all_still = all_still
        self._bytes_max = waiting_bytes_max
        self._bytes = 0
        self._stilled: set[int] = set()
        self._flooded = False
        self._little: list[Part] = []
        self._little_ns = 0
        self._dear: dict[int, float] = {}
        """Connections whose bytes cost more than `CHEAP`, and how much: they have rules of their own."""
        self._waiting: deque[tuple[Part | ev.Closed, int]] = deque()
        self._chunks: dict[int, int] = {}
        self._asked = False
        self._held: set[int] = set()
        self._kept: dict[int, deque[tuple[Part | ev.Closed, int]]] = {}

    def hold(self, connection: int, held: bool) -> None:
        """The node takes nothing of a connection, or does again."""
        if held:
            self._held.add(connection)
            if any(part[0] == connection for part in self._little):
                gathered = self._little
                self._little = [part for part in gathered if part[0] != connection]
                for part in gathered:
                    if part[0] == connection:
                        self._wait(part, self._little_ns)
            return
        self._held.discard(connection)
        kept = self._kept.pop(connection, None)
        if kept:
            self._waiting.extendleft(reversed(kept))
            self._ask()

    def received(self, connection: int, data: bytes) -> None:
        """Bytes of a connection: at the end of this turn, or in theirs."""
        if len(data) > LITTLE_BYTES or connection in self._chunks or connection in self._held:
            self._wait((connection, data), self._now_ns())
            return
        little = self._little
        little.append((connection, data))
        if len(little) == 1:
            self._little_ns = self._now_ns()
            self._ask()
        elif len(little) == LITTLE_READS:
            self._hand_over_little()

    def _wait(self, part: Part, arrived_ns: int) -> None:
        connection, data = part
        chunks = self._chunks.get(connection, 0) + 1
        self._chunks[connection] = chunks
        self._waiting.append((part, arrived_ns))
        self._bytes += len(data)
        if chunks >= CHUNKS_MAX or self._bytes > self._bytes_max // 2:
            self._stop(connection)
        if self._bytes > self._bytes_max and not self._flooded:
            self._flooded = True
            self._all_still(True)
        self._ask()

    def _stop(self, connection: int) -> None:
        if connection not in self._stilled:
            self._stilled.add(connection)
            self._still(connection, True)

    def closed(self, event: ev.Closed) -> None:
        """The end of a connection, behind its bytes."""
        if event.connection in self._chunks:
            self._waiting.append((event, 0))
        else:
            self._held.discard(event.connection)
            self._hand_over_little()
            self._end(event)

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._call_soon(self._turn)

    def _turn(self) -> None:
        self._asked = False
        until = self._now_ns() + SLICE_NS
        self._hand_over_little(until)
        while self._waiting:
            if self._now_ns() >= until:
                break
            self._hand_over_much()
        if self._waiting:
            self._ask()

    def _hand_over_little(self, until_ns: int | None = None) -> None:
        """The least first; what is left when the slice is over waits like large reads."""
        costs: dict[int, float] = {}
        for part in self._little:
            costs[part[0]] = costs.get(part[0], 0.0) + self._cost(part)
        little, self._little = sorted(self._little, key=lambda part: costs[part[0]]), []
        at = 0
        while at < len(little):
            if at and until_ns is not None and self._now_ns() >= until_ns:
                break
            cost, end = self._cost(little[at]), at + 1
            while end < len(little) and (cost := cost + self._cost(little[end])) <= SLICE_NS:
                end += 1
            self._give(little[at:end], self._little_ns)
            at = end
        for part in little[at:]:
            self._wait(part, self._little_ns)

    def _end(self, event: ev.Closed) -> None:
        self._dear.pop(event.connection, None)
        self._feed(event, 0)

    def _cost(self, part: Part) -> float:
        """About how long it will take to handle, ns."""
        return len(part[1]) * self._dear.get(part[0], CHEAP)

    def _give(self, parts: list[Part], since_ns: int) -> None:
        began_ns = self._now_ns()
        self._feed(ev.Received(parts), since_ns)
        took_ns = self._now_ns() - began_ns
        if took_ns <= SLICE_NS and not self._dear:
            return
        each = took_ns / max(1, sum(len(data) for _, data in parts))
        for connection, _ in parts:
            before = self._dear.get(connection, CHEAP)
            if each > before and took_ns > SLICE_NS:
                self._dear[connection] = each
            elif before > CHEAP:
                after = before + (each - before) / SMOOTHING
                if after > CHEAP:
                    self._dear[connection] = after
                else:
                    del self._dear[connection]

    def _hand_over_much(self) -> None:
        """The oldest large reads that fit into one event, or the end of a connection."""
        parts: list[Part] = []
        cost, since_ns = 0.0, 0
        while self._waiting:
            one, arrived_ns = self._waiting[0]
            connection = one.connection if isinstance(one, ev.Closed) else one[0]
            if connection in self._held:
                self._kept.setdefault(connection, deque()).append(self._waiting.popleft())
                continue
            if isinstance(one, ev.Closed):
                if not parts:
                    self._waiting.popleft()
                    self._end(one)
                    return
                break
            cost += self._cost(one)
            if parts and cost > SLICE_NS:
                break
            since_ns = since_ns or arrived_ns
            parts.append(one)
            self._waiting.popleft()
        for connection, data in parts:
            self._handled(connection, len(data))
        if parts:
            self._give(parts, since_ns)

    def _handled(self, connection: int, size: int) -> None:
        self._bytes -= size
        if self._flooded and self._bytes <= self._bytes_max // 2:
            self._flooded = False
            self._all_still(False)
        left = self._chunks[connection] - 1
        if left:
            self._chunks[connection] = left
            return
        del self._chunks[connection]
        if connection in self._stilled:
            self._stilled.discard(connection)
            self._still(connection, False)
