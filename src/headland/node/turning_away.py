"""The local decision never waits: what comes while there is no room is decided on, and not taken.

    room ──► full: nobody is read, `PATIENCE_NS` at most ──► turning away ──► room again
         ──► a commit finds no space, and the next one holds all that it may ──┘

What is turned away (`docs/decisions/0014-decided-and-turned-away.md`):

    QoS 0, and readings of the host   decided on, booked refused
    QoS 1 and 2                       decided on, not answered; the connection is closed when there is room
                                      again, and its client sends again
    HTTP                              decided on, 503 with Retry-After

Nothing of it is kept but what `headland.line.deciding.once` knows it by when it comes again. An event of a
rule goes into the open commit as far as that, and what is held back on the disk, have room; beyond it the
rule acts all the same, and the event is told when there is room (`headland.line.deciding.untold`, whose bound
counts what is not).
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from headland.line.deciding import Actuation
from headland.mqtt import PublishRun
from headland.vocabulary import Batch, Instant

if TYPE_CHECKING:
    from headland.node.core import Node

PATIENCE_NS = 250_000_000
"""A want of room that is over sooner throttles clients, and nobody has to connect again for it."""


class TurningAway:
    """Whether, and since when, what comes is only decided on.

    Attributes:
        on: Clients are read, decided on and not answered.
        untold: Events of rules that found no room, and no place to wait for it.
    """

    def __init__(self) -> None:
        self.on = False
        self.untold = 0
        self.due_ns: int | None = None
        """Monotonic ns at which the patience with a full disk ends; None when nobody waits for that."""

    def wait(self, now: Instant) -> None:
        """Nothing may be taken from now on."""
        if not self.on:
            self.due_ns = now.monotonic_ns + PATIENCE_NS

    def begin(self, node: Node) -> None:
        """Read on, and take nothing."""
        self.due_ns = None
        if not self.on:
            self.on = True
            node.parts.broker.turn_away()
            node.say("warning", "turning_away", detail="readings are decided on, and not taken")

    def end(self, node: Node) -> None:
        """There is room: who was turned away sends again."""
        self.due_ns = None
        if self.on:
            self.on = False
            node.perform(node.parts.broker.take_again(node.now))
            node.say("info", "turning_away", state="over")

    def judge(self, node: Node, run: PublishRun) -> None:
        """Decide on a run of which nothing is taken; what nobody sends again is booked refused."""
        at = 0
        for promised, group in groupby(run.qos, bool):
            stop = at + sum(1 for _ in group)
            self.messages(node, run.topics[at:stop], run.payloads[at:stop], refused=not promised)
            at = stop

    def messages(self, node: Node, topics: list[str], payloads: list[bytes], *, refused: bool) -> None:
        """Decide on messages."""
        told, intake = self._room(node), node.parts.intake
        acts = intake.turned_away(topics, payloads, node.now, node.draft, refused=refused, told=told)
        self._act(node, acts)

    def batch(self, node: Node, batch: Batch, *, refused: bool) -> None:
        """Decide on readings that have names already."""
        told, line = self._room(node), node.parts.intake.line
        self._act(node, line.decide(batch, node.now, node.draft, refused=refused, told=told))

    def tell(self, node: Node) -> None:
        """Say what rules had to say while there was no room for it, if there is now."""
        if node.parts.intake.line.untold:
            self._room(node)

    def _room(self, node: Node) -> bool:
        """Whether events may go into the open commit; then older ones are in it."""
        room, line = node.room_for_events, node.parts.intake.line
        if room and line.untold:
            line.say(node.now, node.draft)
        return room

    def _act(self, node: Node, acts: tuple[Actuation, ...]) -> None:
        self.untold += node.parts.intake.line.untold.take_lost()
        node.actuate(acts)
