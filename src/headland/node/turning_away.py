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
rule acts all the same, and the event is counted as untold.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from headland.journal import Draft
from headland.line.deciding import Actuation
from headland.mqtt import PublishRun
from headland.vocabulary import Account, Batch, Instant

if TYPE_CHECKING:
    from headland.node.core import Node

PATIENCE_NS = 250_000_000
"""A want of room that is over sooner throttles clients, and nobody has to connect again for it."""
BOOKED = (Account.OFFERED, Account.REFUSED)


class TurningAway:
    """Whether, and since when, what comes is only decided on.

    Attributes:
        on: Clients are read, decided on and not answered.
        untold: Events of rules that found no room.
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
        told, draft = self._open(node)
        intake = node.parts.intake
        acts = intake.turned_away(topics, payloads, node.now, draft, refused=refused, told=told)
        self._close(node, draft, acts)

    def batch(self, node: Node, batch: Batch, *, refused: bool) -> None:
        """Decide on readings that have names already."""
        told, draft = self._open(node)
        acts = node.parts.intake.line.decide(batch, node.now, draft, refused=refused, told=told)
        self._close(node, draft, acts)

    def _open(self, node: Node) -> tuple[bool, Draft]:
        """The open commit, or, where events have no room, one that is only read."""
        told = node.room_for_events
        return told, node.draft if told else Draft(node.draft.n)

    def _close(self, node: Node, draft: Draft, acts: tuple[Actuation, ...]) -> None:
        if draft is not node.draft:
            for (account, group, cls, rule), (readings, size) in draft.ledger.items():
                if account in BOOKED:
                    node.draft.book(Account(account), group, cls, rule, readings, size)
                elif account == Account.DERIVED:
                    self.untold += readings
        node.actuate(acts)
