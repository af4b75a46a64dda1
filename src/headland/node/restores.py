"""After somebody went back: questions on their way up, verdicts on their way down.

At a root its own key table answers, in the commit that holds the question; a relay passes questions up with
the tombstones that are their carrier, and verdicts down to whoever asked (`headland.link.verdicts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from headland.blocks.header import BlockHeader
from headland.link.contract import GapRange, Verdict
from headland.link.verdicts import HERE
from headland.vocabulary import Reason

if TYPE_CHECKING:
    from headland.node.core import Node


def ask(node: Node) -> None:
    """This node's parent went back: what is gone is asked for; its tombstones are in the outbox."""
    outbox = node.parts.north.outbox
    asked = outbox.take_questions() if outbox is not None else []
    if asked:
        node.parts.verdicts.asked(HERE, asked, node.draft)


def asked(node: Node, child: str, ranges: Sequence[GapRange]) -> None:
    """A child's tombstones are in the open commit."""
    questions = [item for item in ranges if item.reason == Reason.LOST_BY_RESTORE]
    if not questions:
        return
    node.parts.verdicts.asked(child, questions, node.draft)
    if any(item.hops == 0 for item in questions):
        readings = sum(item.readings for item in questions if item.hops == 0)
        node.alarm("restored", f"this node went back: {child} no longer has {readings} readings it had given")
    if node.parts.north.outbox is None:
        applied = node.parts.shelving.shelf.applied
        decide(
            node,
            [
                Verdict(item.origin, item.epoch, item.priority, low, high, held)
                for item in questions
                for low, high, held in applied.split(
                    item.origin, item.epoch, item.priority, item.k_from, item.k_to
                )
            ],
        )


def passed_on(ranges: tuple[GapRange, ...]) -> tuple[GapRange, ...]:
    """Tombstones as the next parent gets them: of what was lost here, it keeps no books."""
    return tuple(
        msgspec.structs.replace(item, hops=item.hops + 1, each=())
        if item.reason == Reason.LOST_BY_RESTORE
        else item
        for item in ranges
    )


def decide(node: Node, verdicts: Sequence[Verdict]) -> None:
    """Verdicts of the parent, or of this root's key table: into the books, and down to whoever asked."""
    for child, mine in node.parts.verdicts.decided(verdicts, node.draft).items():
        node.parts.south.children.telling.tell(child, mine, node.draft)


def arrived(node: Node, header: BlockHeader) -> None:
    """A root has applied a block; one that it had called lost was under way by another road."""
    name = (header.origin, header.epoch, int(header.priority))
    if node.parts.verdicts.covers(*name, header.k):
        decide(node, [Verdict(*name, header.k, header.k, True)])
