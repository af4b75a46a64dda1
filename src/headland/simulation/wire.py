"""Connections of the simulated network: reliable byte streams that can be cut, delayed and swallowed.

What packets suffer (loss, duplication, reordering) a byte stream shows as delay; what it cannot hide is how
it ends: reset (both ends told, bytes under way gone) or black hole (bytes vanish, nobody is told).
Chunks are delivered in order in each direction; two connections are not ordered against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import msgspec


class Weather(StrEnum):
    """State of the way between two names."""

    UP = "up"
    REFUSED = "refused"
    BLACK_HOLE = "black_hole"


class Path(msgspec.Struct):
    """What the network does between two names.

    Attributes:
        weather: Whether it carries anything.
        latency_ns: One way, smallest and largest.
        bytes_per_s: Rate of each direction.
        split: Chance that a chunk is delivered in two parts.
        stall: Chance that a chunk waits for a retransmission of 200 ms (loss, seen through TCP).
    """

    weather: Weather = Weather.UP
    latency_ns: tuple[int, int] = (200_000, 2_000_000)
    bytes_per_s: float = 1e8
    split: float = 0.2
    stall: float = 0.01


class Scheduler(Protocol):
    """What a wire needs of the world."""

    now_ns: int

    def after(self, delay_ns: int, work: Callable[[], None]) -> None:
        """Do `work` later."""

    def uniform(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""

    def chance(self, share: float) -> bool:
        """True in this share of cases."""


class Endpoint(Protocol):
    """Who sits at one end of a wire."""

    def wire_received(self, connection: int, data: bytes) -> None:
        """Bytes came."""

    def wire_closed(self, connection: int, reason: str) -> None:
        """It is gone."""


RETRANSMISSION_NS = 200_000_000


class Wire:
    """One connection between two endpoints, each under its own connection number."""

    def __init__(
        self, world: Scheduler, path: Path, ends: tuple[tuple[Endpoint, int], tuple[Endpoint, int]]
    ) -> None:
        self._world = world
        self._path = path
        self._ends = ends
        self._arrives_ns = [0, 0]
        self._open = [True, True]
        self._holed = [False, False]
        self.swallowed_bytes = 0

    def send(self, side: int, data: bytes) -> None:
        """Bytes from one side to the other."""
        if not self._open[side]:
            return
        if self._path.weather is not Weather.UP or self._holed[side]:
            self._swallow(side, data)
            return
        world = self._world
        if len(data) > 1 and world.chance(self._path.split):
            cut = world.uniform(1, len(data) - 1)
            self._carry(side, data[:cut])
            self._carry(side, data[cut:])
        else:
            self._carry(side, data)

    def _carry(self, side: int, data: bytes) -> None:
        world = self._world
        delay = world.uniform(*self._path.latency_ns) + int(len(data) / self._path.bytes_per_s * 1e9)
        if world.chance(self._path.stall):
            delay += RETRANSMISSION_NS
        due = max(self._arrives_ns[side] + 1, world.now_ns + delay)
        self._arrives_ns[side] = due
        world.after(due - world.now_ns, lambda: self._arrive(side, data))

    def _arrive(self, side: int, data: bytes) -> None:
        other = 1 - side
        if not self._open[other]:
            return
        if self._path.weather is Weather.BLACK_HOLE or self._holed[side]:
            self._swallow(side, data)
            return
        endpoint, connection = self._ends[other]
        endpoint.wire_received(connection, data)

    def _swallow(self, side: int, data: bytes) -> None:
        """A stream with a hole in it goes on nowhere: what follows is never delivered."""
        self._holed[side] = True
        self.swallowed_bytes += len(data)

    def close(self, side: int) -> None:
        """An orderly end by one side: what was sent before arrives first."""
        if not self._open[side]:
            return
        self._open[side] = False
        if self._path.weather is Weather.BLACK_HOLE or self._holed[side]:
            return
        world = self._world
        due = max(self._arrives_ns[side] + 1, world.now_ns + self._path.latency_ns[0])
        world.after(due - world.now_ns, lambda: self._told(1 - side, "peer closed"))

    def vanish(self, side: int) -> None:
        """One side's process is gone: the other is told by its kernel, unless the way swallows it."""
        self.close(side)

    def reset(self, reason: str = "connection lost") -> None:
        """Cut: both ends are told, whatever was under way is gone."""
        for side in (0, 1):
            self._told(side, reason)

    def _told(self, side: int, reason: str) -> None:
        if self._open[side]:
            self._open[side] = False
            endpoint, connection = self._ends[side]
            endpoint.wire_closed(connection, reason)

    @property
    def dead(self) -> bool:
        """Whether both ends know that it is over."""
        return not any(self._open)
