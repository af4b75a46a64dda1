"""What a root keeps: blocks in order of arrival, in its journal, then in `store/`; and which ever came."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from headland.blocks.header import BlockHeader
from headland.node.blocks_on_disk import Block
from headland.node.gaps import Gaps
from headland.node.names import Names
from headland.storage import Applied, Digests

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


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """Body of a record in `store/`: the block and how it came.

    Attributes:
        arrival_n: Commit of this node that applied it.
        arrival_ns: Node time of that commit, ns UTC.
        names: (sid, series name, labels) of every series in it.
        body: The block's own body.
        unproven: Whether it may have come before: its epoch had been forgotten.
        forked: Whether another block of its identity had been applied: it is kept beside, and not applied.
    """

    arrival_n: int
    arrival_ns: int
    names: tuple[tuple[int, str, tuple[tuple[str, str], ...]], ...]
    body: bytes
    unproven: bool = False
    forked: bool = False


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
        self, header: BlockHeader, place: tuple[int, int], node_ns: int, *, own: bool, child: str = ""
    ) -> bool:
        """Take a block that commit `place[0]` applies, from a child; False when it is here already.

        Another block of an identity that is here is kept beside it, once.
        """
        self.arrivals[place[0]] = node_ns
        epoch, identity = (header.origin, header.epoch), (header.origin, header.epoch, header.priority)
        unproven = self.applied.unproven(*epoch, header.last_n)
        last, custodian = self.applied.last(*identity), self.applied.brought(*epoch)
        if not self.applied.apply(*identity, header.k, header.last_n, node_ns, child):
            if self.forks(header):
                self.digests.fork(identity, header.k, header.digest)
                self.resting.append(Resting(*place, header.priority, own, forked=True))
            return False
        self.digests.add(identity, header.k, header.digest)
        self.missing.came(header, last, custodian)
        self.resting.append(Resting(*place, header.priority, own, unproven))
        return True

    def forks(self, header: BlockHeader) -> bool:
        """Whether another block of this identity was applied, and this one is not kept beside it yet."""
        identity = (header.origin, header.epoch, int(header.priority))
        return bool(self.digests.differs(identity, header.k, header.digest)) and not self.digests.forked(
            identity, header.k, header.digest
        )

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
        stored = Stored(item.n, self.arrivals.get(item.n, 0), told, body, item.unproven, item.forked)
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
