"""Backlog that came on a connection and waits to be checked.

Checking a block (unfolding it, its digest, its place in the chain) takes up to a millisecond or two. Live
blocks, sources and timers must not wait for a whole window of them, so backlog is kept as it came, and a
parent takes a turn's worth of it between two looks at its sockets. Streams are independent of each other: a
live block is taken at once, whatever backlog came before it.

Bound: one credit window a class, and a block; it counts against the child's credit until it is checked.
"""

from __future__ import annotations

from collections import deque

import msgspec

from headland.blocks.header import BlockHeader
from headland.link.contract import StreamKey
from headland.link.positions import ChildStream
from headland.link.protocol import Gap

TURN_WEIGHT = 2000
BLOCK_WEIGHT = 125
"""What a block costs to take, beside its rows."""


class Arrival(msgspec.Struct, frozen=True):
    """A block, or tombstones, at its place in a stream.

    Attributes:
        stream: Which.
        p: Last position it covers.
        item: Header and body, or the message of tombstones.
    """

    stream: ChildStream
    p: int
    item: tuple[BlockHeader, bytes] | Gap


class Arrivals:
    """What came and was not checked, in order of arrival.

    Attributes:
        body_bytes: Bytes of the blocks' bodies, per class.
    """

    def __init__(self) -> None:
        self.body_bytes = [0, 0, 0, 0]
        self._waiting: deque[Arrival] = deque()
        self._last: dict[StreamKey, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def last(self, stream: ChildStream) -> int:
        """Last position of a stream that is here, checked or not."""
        return self._last.get(stream.key, stream.p)

    def holds(self, stream: ChildStream) -> bool:
        """Whether anything of a stream waits."""
        return stream.key in self._last

    def put(self, arrival: Arrival) -> None:
        """Something came."""
        self._waiting.append(arrival)
        self._last[arrival.stream.key] = arrival.p
        if isinstance(arrival.item, tuple):
            self.body_bytes[arrival.stream.key.priority] += len(arrival.item[1])

    def turn(self) -> list[Arrival]:
        """What came first, as much as is checked at a time: a large block, or some small ones."""
        out: list[Arrival] = []
        weight = 0
        while self._waiting and weight < TURN_WEIGHT:
            arrival = self._waiting.popleft()
            out.append(arrival)
            weight += BLOCK_WEIGHT
            if isinstance(arrival.item, tuple):
                weight += arrival.item[0].rows
                self.body_bytes[arrival.stream.key.priority] -= len(arrival.item[1])
            if self._last[arrival.stream.key] == arrival.p:
                del self._last[arrival.stream.key]
        return out
