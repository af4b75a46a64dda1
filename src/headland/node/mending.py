"""After a start on a log of which commits are missing: what they took is named, the books are put right.

What a node can know of missing commits:

* Numbers of commits have no gaps, so which are missing is known.
* Every commit says where a stream stood before what it adds (`Stands`, in the outbox and for each child), so
  positions and chain values behind the hole are what they were. A hole at the very end of a stream is
  seen at the next handshake only.
* An own block's number has no gap, so the blocks that were sealed there are known by name: tombstones
  `corrupt`.
* What `pending` should be is what stands in blocks and open rows; the rest of the difference is booked
  `restored` (more is here than the books say: answers are missing) or `corrupt` (less is).
* What `held` should be is what the filters hold. More than the books say was offered there; less had left
  there, nobody knows for where: it is booked kept, and `corrupt`.

What it cannot know: readings of rows that stood in the missing commits only, in which account they were, and
which blocks of children they had taken: those show as holes at the node that stores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headland.journal import Frame, SectionType
from headland.line.outbox import records
from headland.vocabulary import Account, Instant, Priority

if TYPE_CHECKING:
    from headland.line.outbox import Outbox
    from headland.node.core import Node


def opens_epoch(frame: Frame) -> bool:
    """Whether a frame holds the record that opens its epoch."""
    return any(
        section.type == SectionType.OUTBOX
        and isinstance(record := records.decode_record(section.data), records.EpochOpened)
        and record.epoch == frame.epoch
        for section in frame.sections
    )


def mend(node: Node, now: Instant) -> None:
    """Name what is lost, let `held` and `pending` be what is here; in the first commit, and once."""
    _mend_held(node, now)
    outbox = node.parts.north.outbox
    if outbox is not None:
        _mend_north(node, outbox, now)


def _mend_held(node: Node, now: Instant) -> None:
    """What missing commits took in or let go of is still in the steps of later ones, which speak of it."""
    held = node.parts.intake.line.held()
    booked = {key[1:]: amount for key, amount in node.parts.ledger.balances.items() if key[0] == Account.HELD}
    for flow in sorted(held.keys() | booked.keys()):
        here, said = held.get(flow, (0, 0)), booked.get(flow, [0, 0])
        more = here[0] - said[0], here[1] - said[1]
        if not any(more):
            continue
        node.begin(now)
        node.draft.book(Account.HELD, *flow, *more)
        node.draft.book(Account.OFFERED, *flow, *(max(0, one) for one in more))
        gone = max(0, -more[0]), max(0, -more[1])
        node.draft.book(Account.KEPT, *flow, *gone)
        # What is kept enters the way north when this commit is closed, and leaves it at once.
        node.draft.book(node.parts.shelving.own_account, "", flow[1], "", -gone[0], -gone[1])
        node.draft.book(Account.CORRUPT, "", flow[1], "", *gone)
        node.alarm("corrupt", f"held of {flow[2]} ({flow[0]}): {more[0]:+} readings after missing commits")


def _mend_north(node: Node, outbox: Outbox, now: Instant) -> None:
    parts = node.parts
    if outbox.state.lost:
        node.begin(now)
        lost = outbox.tell_lost(node.draft)
        node.draft.state("orders", msgspec.msgpack.encode(["mended", len(lost)]))
        named = ", ".join(f"{Priority(one.priority).name.lower()} {one.k_from}-{one.k_to}" for one in lost)
        node.alarm("corrupt", f"own blocks were sealed in commits that are missing: {named}")
    for priority in Priority:
        readings, size = outbox.held(priority)
        rows = parts.sealing.open[priority]
        booked = parts.ledger.total(Account.PENDING, int(priority))
        more = readings + len(rows) - booked[0], size + rows.size - booked[1]
        if any(more):
            node.begin(now)
            node.draft.book(Account.PENDING, "", priority, "", *more)
            account, sign = (Account.RESTORED, 1) if more[0] > 0 else (Account.CORRUPT, -1)
            node.draft.book(account, "", priority, "", sign * more[0], sign * more[1])
            node.alarm(
                "corrupt", f"class {priority.name.lower()}: {more[0]:+} readings after missing commits"
            )
