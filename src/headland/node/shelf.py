"""What a root keeps: blocks in order of arrival, in its journal, then in `store/`; and which ever came."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from headland.blocks.header import BlockHeader
from headland.link import received
from headland.link.contract import GapRange
from headland.node.blocks_on_disk import Block
from headland.node.names import Names
from headland.storage import Applied


class StoreNote(msgspec.Struct, frozen=True, array_like=True):
    """STATE section "store": so many blocks at the front of the shelf are in files now."""

    blocks: int


class Resting(msgspec.Struct, frozen=True, array_like=True):
    """A block on the shelf of a root: (commit, section) and class."""

    n: int
    index: int
    priority: int
    own: bool


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """Body of a record in `store/`: the block and how it came.

    Attributes:
        arrival_n: Commit of this node that applied it.
        arrival_ns: Node time of that commit, ns UTC.
        names: (sid, series name, labels) of every series in it.
        body: The block's own body.
    """

    arrival_n: int
    arrival_ns: int
    names: tuple[tuple[int, str, tuple[tuple[str, str], ...]], ...]
    body: bytes


class Shelf:
    """Blocks of a root.

    Attributes:
        resting: Blocks that are not in a file yet, in order of arrival.
        arrivals: Node time of the commits that `resting` refers to.
        applied: Key table: which blocks have come, ever.
        tombstones: What this root was told will not come.
    """

    def __init__(self) -> None:
        self.resting: deque[Resting] = deque()
        self.arrivals: dict[int, int] = {}
        self.applied = Applied()
        self.tombstones: list[received.ReceivedGap] = []

    def put(self, header: BlockHeader, place: tuple[int, int], node_ns: int, *, own: bool) -> bool:
        """Take a block that commit `place[0]` applies; False when it is here already."""
        self.arrivals[place[0]] = node_ns
        if not self.applied.apply(header.origin, header.epoch, header.priority, header.k):
            return False
        self.resting.append(Resting(*place, header.priority, own))
        return True

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
        return header, msgspec.msgpack.encode(Stored(item.n, self.arrivals.get(item.n, 0), told, body))

    def gaps(self) -> list[GapRange]:
        """What this root was told will not come, and has not come since by another road."""
        return [
            msgspec.structs.replace(item, k_from=low, k_to=high)
            for gap in self.tombstones
            for item in gap.ranges
            for low, high, held in self.applied.split(
                item.origin, item.epoch, item.priority, item.k_from, item.k_to
            )
            if not held
        ]

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        return msgspec.msgpack.encode(
            [
                list(self.resting),
                {str(n): ns for n, ns in self.arrivals.items()},
                self.applied.snapshot(),
                [received.encode(gap) for gap in self.tombstones],
            ]
        )

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        resting, arrivals, applied, gaps = msgspec.msgpack.decode(
            data, type=tuple[list[Resting], dict[str, int], bytes, Sequence[bytes]]
        )
        self.resting = deque(resting)
        self.arrivals = {int(n): ns for n, ns in arrivals.items()}
        self.applied.restore(applied)
        self.tombstones = [
            gap for one in gaps if isinstance(gap := received.decode(one), received.ReceivedGap)
        ]
