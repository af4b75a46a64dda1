"""Whose bytes are handled first: a connection that says little goes before those that say much.

A decision must not wait until the loop has worked through what a hundred busy connections brought. So a
small read is handed over at once; a large one waits its turn and is handled in slices of `SLICE_NS`, with a
look at all sockets in between. Bytes of one connection never overtake each other; its end comes after them.

Bounds: a connection with `CHUNKS_MAX` reads waiting is not read until they are handled; with half of
`waiting_bytes_max` waiting in all, one read is enough for that. With all of it waiting nothing is read at
all, until half of it is handled: what the kernel's buffers hold then is held back from the senders.

What the node holds (`hold`) is not handled either: reads that were on their way stay here until it lets go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from headland.node import events as ev

LITTLE_BYTES = 512
SLICE_NS = 1_000_000
CHUNKS_MAX = 2


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
            feed: Hands an event to the node, with the time at which it was read if it had to wait (else 0).
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
        self._waiting: deque[tuple[ev.Received | ev.Closed, int]] = deque()
        self._chunks: dict[int, int] = {}
        self._asked = False
        self._held: set[int] = set()
        self._kept: dict[int, deque[tuple[ev.Received | ev.Closed, int]]] = {}

    def hold(self, connection: int, held: bool) -> None:
        """The node takes nothing of a connection, or does again."""
        if held:
            self._held.add(connection)
            return
        self._held.discard(connection)
        kept = self._kept.pop(connection, None)
        if kept:
            self._waiting.extendleft(reversed(kept))
            self._ask()

    def received(self, connection: int, data: bytes) -> None:
        """Bytes of a connection: now, or in their turn."""
        chunks = self._chunks.get(connection, 0)
        if not chunks and len(data) <= LITTLE_BYTES and connection not in self._held:
            self._feed(ev.Received(connection, data), 0)
            return
        self._chunks[connection] = chunks + 1
        self._waiting.append((ev.Received(connection, data), self._now_ns()))
        self._bytes += len(data)
        if chunks + 1 >= CHUNKS_MAX or self._bytes > self._bytes_max // 2:
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
            self._feed(event, 0)

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._call_soon(self._slice)

    def _slice(self) -> None:
        self._asked = False
        until = self._now_ns() + SLICE_NS
        while self._waiting:
            event, arrived_ns = self._waiting.popleft()
            if event.connection in self._held:
                self._kept.setdefault(event.connection, deque()).append((event, arrived_ns))
                continue
            if isinstance(event, ev.Received):
                self._handled(event.connection, len(event.data))
            self._feed(event, arrived_ns)
            if self._now_ns() >= until:
                break
        if self._waiting:
            self._ask()

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
