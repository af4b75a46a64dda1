"""What a root keeps: blocks in order of arrival, in its journal, then in `store/`; and which ever came."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from headland.blocks.block import open_block
from headland.blocks.digest import digest
from headland.blocks.header import BlockHeader
from headland.node.blocks_on_disk import Block
from headland.node.gaps import Gaps
from headland.node.names import Names
from headland.storage import Applied, Digests
from headland.storage.digests import BYTES
from headland.vocabulary import Account

FORGOTTEN = "forgotten"
"""Owner of the STATE section that says which epochs the key table has forgotten: array of (origin, epoch)."""


class StoreNote(msgspec.Struct, frozen=True, array_like=True):
    """STATE section "store": so many blocks at the front of the shelf are in files now."""

    blocks: int


class Resting(msgspec.Struct, frozen=True, array_like=True):
    """A block on the shelf of a root: (commit, section) and class; the rest as in `Stored`."""

    n: int
    index: int
    priority: int
    own: bool
    unproven: bool = False
    forked: bool = False
    known: int = 0


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """Body of a record in `store/`: the block and how it came.

    Attributes:
        arrival_n: Commit of this node that applied it.
        arrival_ns: Node time of that commit, ns UTC.
        names: (sid, series name, labels) of every series in it.
        body: The block's own body.
        unproven: Whether it may have come before: its epoch had been forgotten.
        forked: Whether another block of its identity had been applied: it is kept beside, and not applied.
        known: So many of its first rows had been applied before, as a shorter block of its identity.
    """

    arrival_n: int
    arrival_ns: int
    names: tuple[tuple[int, str, tuple[tuple[str, str], ...]], ...]
    body: bytes
    unproven: bool = False
    forked: bool = False
    known: int = 0


class Came(msgspec.Struct, frozen=True):
    """What a block is to a root.

    Attributes:
        account: APPLIED, UNAPPLIED (kept beside) or DUPLICATE_RECEIVED.
        known: Readings and payload bytes at its beginning that had been applied before.
        unproven: Whether it may have come before.
    """

    account: Account
    known: tuple[int, int] = (0, 0)
    unproven: bool = False


class Shelf:
    """Blocks of a root.

    Attributes:
        resting: Blocks that are not in a file yet, in order of arrival.
        arrivals: Node time of the commits that `resting` refers to.
        applied: Key table: which blocks have come, ever.
        missing: What this root was told will not come, and holes.
        digests: What the newest of them were.
    """

    def __init__(self) -> None:
        self.resting: deque[Resting] = deque()
        self.arrivals: dict[int, int] = {}
        self.applied = Applied()
        self.missing = Gaps(self.applied)
        self.digests = Digests()

    def put(
        self,
        header: BlockHeader,
        place: tuple[int, int],
        node_ns: int,
        *,
        own: bool,
        child: str = "",
        body: bytes = b"",
    ) -> Came:
        """Take a block that commit `place[0]` applies, from a child.

        Of an identity that is here a longer block is applied from where the shorter one ended; any other that
        is not the same is kept beside it, once.
        """
        self.arrivals[place[0]] = node_ns
        epoch, identity = (header.origin, header.epoch), (header.origin, header.epoch, header.priority)
        unproven = self.applied.unproven(*epoch, header.last_n)
        last, custodian = self.applied.last(*identity), self.applied.brought(*epoch)
        if self.applied.apply(*identity, header.k, header.last_n, node_ns, child):
            self.digests.add(identity, header.k, header.digest, header.rows)
            self.missing.came(header, last, custodian)
            self.resting.append(Resting(*place, header.priority, own, unproven))
            return Came(Account.APPLIED, unproven=unproven)
        if not self._differs(header):
            return Came(Account.DUPLICATE_RECEIVED)
        known = self._begins_with_known(header, body)
        self.resting.append(Resting(*place, header.priority, own, forked=not known[0], known=known[0]))
        if not known[0]:
            self.digests.fork(identity, header.k, header.digest)
            return Came(Account.UNAPPLIED)
        before = self.digests.known(identity, header.k)
        assert before is not None
        self.digests.fork(identity, header.k, before[0])  # coming again, the shorter is a repeat
        self.digests.add(identity, header.k, header.digest, header.rows)
        return Came(Account.APPLIED, known)

    def _differs(self, header: BlockHeader) -> bool:
        """Whether another block of this identity was applied, and this one is not kept beside it yet."""
        identity = (header.origin, header.epoch, int(header.priority))
        return bool(self.digests.differs(identity, header.k, header.digest)) and not self.digests.forked(
            identity, header.k, header.digest
        )

    def _begins_with_known(self, header: BlockHeader, body: bytes) -> tuple[int, int]:
        """Readings and bytes of the shorter block of this identity that was applied; none if it is another.

        A node of which a copy was started has gone on filling the block that the copy sealed.
        """
        before = self.digests.known((header.origin, header.epoch, int(header.priority)), header.k)
        if before is None or not 0 < before[1] < header.rows or not body:
            return 0, 0
        rows = open_block(header, body)[0].part(0, before[1])
        if digest(rows)[:BYTES] != before[0]:
            return 0, 0
        return before[1], sum(rows.size) if rows.size is not None else 0

    def forget(self, epochs: Sequence[tuple[str, bytes]]) -> None:
        """Epochs are beyond the horizon: their keys are given up."""
        self.applied.forget(epochs)
        self.missing.forget(epochs)
        self.digests.forget(set(epochs))

    def spilled(self, count: int) -> None:
        """So many blocks at the front are in files."""
        for _ in range(count):
            self.resting.popleft()
        first = self.resting[0].n if self.resting else 0
        for n in [n for n in self.arrivals if n < first]:
            del self.arrivals[n]

    def record(self, item: Resting, block: Block, names: Names) -> tuple[BlockHeader, bytes]:
        """Header and body of the record in `store/` for a block."""
        header, body, sids = block
        keys = [(sid, names.key(header.origin, header.epoch, sid)) for sid in sorted(sids)]
        told = tuple((sid, key.name, key.labels) for sid, key in keys)
        stored = Stored(
            item.n, self.arrivals.get(item.n, 0), told, body, item.unproven, item.forked, item.known
        )
        return header, msgspec.msgpack.encode(stored)

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        return msgspec.msgpack.encode(
            [
                list(self.resting),
                {str(n): ns for n, ns in self.arrivals.items()},
                self.applied.snapshot(),
                self.missing.snapshot(),
                self.digests.snapshot(),
            ]
        )

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        resting, arrivals, applied, missing, digests = msgspec.msgpack.decode(
            data, type=tuple[list[Resting], dict[str, int], bytes, bytes, bytes]
        )
        self.resting = deque(resting)
        self.arrivals = {int(n): ns for n, ns in arrivals.items()}
        self.applied.restore(applied)
        self.missing.restore(missing)
        self.digests.restore(digests)
