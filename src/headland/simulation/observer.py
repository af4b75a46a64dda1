"""Whoever looks on: told of what happens on every machine, and asked where to crash it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headland.journal import DiskOp
from headland.node import events as ev
from headland.node.opening import Opening
from headland.simulation.device import Published

if TYPE_CHECKING:
    from headland.simulation.world import Host


class Observer:
    """Sees what hosts do; the laws are written as one. This one sees nothing."""

    def opened(self, host: Host, opening: Opening) -> None:
        """A process has recovered and is about to run."""

    def committing(self, host: Host, n: int, ops: Sequence[DiskOp]) -> None:
        """A node has handed out commit n."""

    def committed(self, host: Host, n: int, ops: Sequence[DiskOp]) -> None:
        """Every operation of commit n has been executed; the node is about to be told."""

    def handled(self, host: Host, event: ev.Event) -> None:
        """A node has handled an event, and its actions are executed."""

    def crashed(self, host: Host) -> None:
        """A process is about to vanish."""

    def published(self, host: Host, client: str, reading: Published) -> None:
        """A client has sent a reading."""

    def acknowledged(self, host: Host, client: str, reading: Published) -> None:
        """A client has got the acknowledgement of a reading."""

    def disordered(self, host: Host, client: str, reading: Published) -> None:
        """A client has got an acknowledgement out of turn."""

    def told(self, host: Host, level: str, event: str, fields: dict[str, str | int | float]) -> None:
        """A line of a node's log."""

    def trap(self, host: Host, where: str) -> bool:
        """Asked at every place where a crash is worth its while; True crashes the host there."""
        return False
