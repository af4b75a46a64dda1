"""South side of a node: messages of any source become readings, are judged, and rest on a commit.

One way for all sources: payloads through the declared mappings into a batch (or, for sources that already
have values, a batch by key), the batch through the line into the open draft. What does not fit is quarantined
in the same commit. The answer is always one number: the commit that the acknowledgement rests on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from headland.journal import Draft
from headland.line.deciding import Actuation
from headland.line.formats import Mapping, Rejected
from headland.line.formats.rejection import RejectReason
from headland.line.ingest import Senders
from headland.line.line import Line
from headland.node.quarantine import OWNER, Quarantine
from headland.vocabulary import Account, Batch, Instant, RowClass, SeriesTable

GROUP = "quarantine"
MIXED = "volatile and durable series in one publish: publish them apart"


class Taken(msgspec.Struct, frozen=True):
    """What became of a run of messages.

    Attributes:
        needs: Commits that the acknowledgements rest on, one a sender.
        actuations: What to do at once.
        rejected: Messages that were quarantined.
    """

    needs: Sequence[int]
    actuations: tuple[Actuation, ...] = ()
    rejected: Sequence[Rejected] = ()

    @property
    def needs_n(self) -> int:
        """Commit that all of it rests on."""
        return max(self.needs)


class Intake:
    """Mappings, line and quarantine of one node."""

    def __init__(self, table: SeriesTable, mapping: Mapping, line: Line, quarantine: Quarantine) -> None:
        self.table = table
        self.mapping = mapping
        self.line = line
        self.quarantine = quarantine

    def messages(
        self,
        senders: Senders,
        topics: Sequence[str],
        payloads: Sequence[bytes],
        now: Instant,
        draft: Draft,
        *,
        repeats: list[bool] | None = None,
        headers: Sequence[dict[str, str] | None] | None = None,
    ) -> Taken:
        """Take messages with topics (MQTT publishes).

        Args:
            senders: Who sent which of them.
            topics: One a message.
            payloads: One a message.
            now: When they were read.
            draft: The open commit.
            repeats: For each message, whether it is marked as sent before (DUP).
            headers: Properties of each message, or None.
        """
        batch = Batch()
        rejected = self.mapping.decode_run(topics, payloads, now.wall_ns, batch, headers)
        batch, mixed = self._without_mixed(batch)
        rejected += mixed
        offered = self.line.offer(senders, batch, now, draft, duplicate_suspect=repeats)
        needs = offered.needs
        for one in rejected:
            who, topic = bisect_right(senders.ends, one.index), topics[one.index]
            client, payload = senders.clients[who], payloads[one.index]
            self.reject(client, topic, str(one.reason), one.detail, payload, now, draft)
            needs[who] = draft.n
        return Taken(needs, offered.actuations, rejected)

    def turned_away(
        self,
        topics: Sequence[str],
        payloads: Sequence[bytes],
        now: Instant,
        draft: Draft,
        *,
        refused: bool,
        told: bool,
    ) -> tuple[Actuation, ...]:
        """Decide on messages that cannot be stored now.

        Args:
            topics: One a message.
            payloads: One a message.
            now: When they were read.
            draft: The open commit.
            refused: Whether nobody sends them again (QoS 0): then they are booked refused.
            told: Whether events have room (`Line.decide`).
        """
        batch = Batch()
        rejected = self.mapping.decode_run(topics, payloads, now.wall_ns, batch)
        batch, mixed = self._without_mixed(batch)
        rejected += mixed
        for one in rejected if refused else ():
            for account in (Account.OFFERED, Account.REFUSED):
                draft.book(account, GROUP, RowClass.QUARANTINE, "disk_full", 1, len(payloads[one.index]))
        return self.line.decide(batch, now, draft, refused=refused, told=told)

    def _without_mixed(self, batch: Batch) -> tuple[Batch, list[Rejected]]:
        """Without messages that bring volatile and durable series: one acknowledgement cannot say both."""
        if not self.line.mixes(batch.sid):
            return batch, []
        starts = [0, *batch.message_ends]
        mixed = [
            index
            for index, end in enumerate(batch.message_ends)
            if self.line.mixes(batch.sid[starts[index] : end])
        ]
        gone = set(mixed)
        left: list[int] = []
        ends: list[int] = []
        for index, end in enumerate(batch.message_ends):
            if index not in gone:
                left += range(starts[index], end)
            ends.append(len(left))
        rest = Batch(
            [batch.sid[i] for i in left],
            [batch.ts[i] for i in left],
            [batch.value[i] for i in left],
            [batch.size[i] for i in left],
            None if batch.seq is None else [batch.seq[i] for i in left],
            None if batch.severity is None else [batch.severity[i] for i in left],
            ends,
        )
        return rest, [Rejected(index, RejectReason.MIXED_DURABILITY, MIXED) for index in mixed]

    def reject(
        self, client: str, topic: str, reason: str, detail: str, payload: bytes, now: Instant, draft: Draft
    ) -> None:
        """Quarantine one payload in the open commit."""
        entry = self.quarantine.add(now.wall_ns, client, topic, reason, detail, payload)
        draft.state(OWNER, msgspec.msgpack.encode([entry]))
        for account in (Account.OFFERED, Account.QUARANTINED):
            draft.book(account, GROUP, RowClass.QUARANTINE, reason, 1, len(payload))
