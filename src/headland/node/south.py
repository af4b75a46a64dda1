"""The node's way south over the link: children, their blocks, and what becomes durable of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from headland.journal import SectionType
from headland.link import actions as link
from headland.link.children import Children
from headland.link.contract import Alarm
from headland.link.protocol import IntentStatus
from headland.node import events as ev
from headland.vocabulary import Instant

if TYPE_CHECKING:
    from headland.node.core import Node


class WantedIntent(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a child, and what it said.

    Attributes:
        kind: Of the intent.
        desired: Version that this node wants, 0 for none.
        reported: Version that the child spoke of last, 0 for none.
        state: applied, refused or superseded, as the child said; "" for nothing yet.
        detail: Its words.
    """

    kind: str
    desired: int
    reported: int
    state: str
    detail: str


class ChildReport(msgspec.Struct, frozen=True, kw_only=True):
    """One direct child."""

    name: str
    connected: bool
    intents: list[WantedIntent]


class South:
    """Executes what the children's end of the link asks for.

    Attributes:
        reported: What children have last said of intents that are wanted of them, since this start.
    """

    def __init__(self, children: Children) -> None:
        self.children = children
        self.blocks = 0
        self.reported: dict[tuple[str, str], IntentStatus] = {}

    def report(self) -> list[ChildReport]:
        """Every child that has ever called, by name."""
        up = self.children.connected()
        out = []
        for name, child in sorted(self.children.positions.children.items()):
            said = {kind: status for (who, kind), status in self.reported.items() if who == name}
            wanted = [
                WantedIntent(
                    kind=kind,
                    desired=child.desired[kind].version if kind in child.desired else 0,
                    reported=said[kind].version if kind in said else 0,
                    state=said[kind].state if kind in said else "",
                    detail=said[kind].detail if kind in said else "",
                )
                for kind in sorted({*child.desired, *said})
            ]
            out.append(ChildReport(name=name, connected=name in up, intents=wanted))
        return out

    def newest_version(self, child: str, kind: str) -> int:
        """Newest version of an intent that this node or the child has named."""
        desired = self.children.positions.child(child).desired.get(kind)
        said = self.reported.get((child, kind))
        return max(desired.version if desired is not None else 0, said.version if said is not None else 0)

    def connected(self, node: Node, event: ev.Opened, now: Instant) -> None:
        """A child's connection was accepted."""
        self._do(node, self.children.opened(event.connection, event.peer_name, now), now)

    def received(self, node: Node, connection: int, data: bytes, now: Instant) -> None:
        """Bytes of a child."""
        self._do(node, self.children.received(connection, data, now, node.draft), now)

    def closed(self, node: Node, connection: int, reason: str, now: Instant) -> None:
        """A child's connection is gone."""
        self._do(node, self.children.closed(connection, reason, now), now)

    def committed(self, node: Node, n: int, now: Instant) -> None:
        """Commit n is durable: answer what it holds."""
        self._do(node, self.children.committed(n, now), now)

    def press(self, node: Node, pressed: bool, now: Instant) -> None:
        """The disk is short (or no longer): children get no more credit."""
        self._do(node, self.children.press(pressed, now), now)

    def next_wake(self) -> int | None:
        """Monotonic ns of the next timer."""
        return self.children.next_wake()

    def wake(self, node: Node, now: Instant) -> None:
        """Timers."""
        due = self.children.next_wake()
        if due is not None and due <= now.monotonic_ns:
            self._do(node, self.children.wake(now, node.draft), now)

    def _do(self, node: Node, actions: Sequence[link.DownlinkAction], now: Instant) -> None:
        for action in actions:
            match action:
                case link.Send(connection, data):
                    node.emit(ev.Send(connection, data))
                case link.Deliver():
                    self._deliver(node, action, now)
                case link.Close(connection, reason):
                    node.emit(ev.Close(connection, reason))
                case link.ChildUp(child, connection, version):
                    node.emit(ev.Established(connection))
                    node.say("info", "child_up", child=child, version=version)
                    for kind, applied in self.children.applied(child):
                        self.reported.setdefault((child, kind), IntentStatus(kind, applied, "applied"))
                case link.ChildDown(child, _, reason):
                    node.say("warning", "child_down", child=child, reason=reason)
                case link.Reported(child, status):
                    if self._known(child, status.kind):
                        self.reported[child, status.kind] = status
                    node.say(
                        "info",
                        "intent",
                        child=child,
                        kind=status.kind,
                        state=status.state,
                        detail=status.detail,
                    )
                case Alarm(kind, detail):
                    node.alarm(kind, detail)

    def _known(self, child: str, kind: str) -> bool:
        return (child, kind) in self.reported or kind in self.children.positions.child(child).desired

    def _deliver(self, node: Node, deliver: link.Deliver, now: Instant) -> None:
        for definitions in deliver.definitions:
            renamed = node.parts.names.renamed(definitions)
            if renamed:
                told = f"{deliver.item.child} renames series {renamed[:5]} of {definitions.origin}: not taken"
                node.alarm("series_renamed", told)
            section = node.parts.names.learn(definitions)
            if section is not None:
                node.draft.section(SectionType.SERIES, section)
        self.blocks += 1
        node.parts.shelving.receive(node, deliver, now)
