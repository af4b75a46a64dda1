"""The uplink is cut every few minutes, in three ways by turns, and restored."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

import msgspec
from campaign.nodes import Node
from campaign.wire import Wire

Way = Literal["refused", "black hole", "reset"]
WAYS: tuple[Way, ...] = ("refused", "black hole", "reset")
RESET_WITHIN = 20_000
"""Bytes north that a reset waits for."""
DRAINED_S = 2.0
"""Drained is when no more waits than the load of so many seconds could be."""
LOOK_S = 0.25


class Cut(msgspec.Struct):
    """One cut.

    Attributes:
        way: How: calls refused by the kernel, bytes that vanish without a word, a reset amid a frame.
        at_s: Since the load began.
        seconds: How long.
        waiting: Readings that waited for the parent when it ended.
        drained_s: From its end until the child had nothing left of them; None when that did not come true.
    """

    way: Way
    at_s: float
    seconds: float
    waiting: int = 0
    drained_s: float | None = None


class Cutter:
    """Cuts, restores, and watches the backlog leave.

    Attributes:
        cuts: So far.
        cut: Whether the uplink is cut now.
    """

    def __init__(self, wire: Wire, child: Node, every_s: float, for_s: float, rate: float) -> None:
        self.cuts: list[Cut] = []
        self.cut = False
        self._wire = wire
        self._child = child
        self._every_s = every_s
        self._for_s = for_s
        self._little = int(rate * DRAINED_S)

    async def run(self, began: float, seconds: float) -> None:
        """Cut in every cycle that is over before the load is; `began` is a time of `time.monotonic`."""
        number = 0
        while (number + 1) * self._every_s <= seconds:
            at = began + (number + 1) * self._every_s - self._for_s - self._every_s / 2
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            await self._one(WAYS[number % len(WAYS)], began)
            number += 1

    async def _one(self, way: Way, began: float) -> None:
        one = Cut(way, round(time.monotonic() - began, 2), self._for_s)
        self.cuts.append(one)
        self.cut = True
        match way:
            case "refused":
                await self._wire.refuse()
            case "black hole":
                self._wire.hole = True
            case "reset":
                self._wire.reset_after(RESET_WITHIN)
                await asyncio.sleep(LOOK_S)
                await self._wire.refuse()
        await asyncio.sleep(max(0.0, began + one.at_s + self._for_s - time.monotonic()))
        one.waiting = await self._waiting()
        await self._wire.heal()
        self.cut = False
        healed = time.monotonic()
        while time.monotonic() < began + one.at_s + self._every_s - 1:
            await asyncio.sleep(LOOK_S)
            if 0 <= await self._waiting() <= self._little:
                one.drained_s = round(time.monotonic() - healed, 2)
                return

    async def _waiting(self) -> int:
        status = await self._child.look()
        return status.pending_readings if status is not None else -1
