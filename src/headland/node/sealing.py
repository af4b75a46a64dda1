"""From rows of commits to sealed blocks: when a class is due, and by whom its blocks are numbered.

The block is made in the commit that seals it, normally that of its last rows; its body is kept in a bounded
cache so that a live block need not be read back from the journal.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from headland.blocks.header import Run
from headland.journal import Draft
from headland.journal.draft import PIECE_BYTES, PIECE_ROWS, pieces
from headland.line.outbox import OutboxSettings, Sealer
from headland.node.blocks_on_disk import Block
from headland.node.open_blocks import OpenBlock
from headland.vocabulary import Columns, Instant, Priority, RowClass

CACHE_BYTES = 8 << 20
BLOCK_BYTES_MAX = 2 << 20
OVERHEAD_BYTES = 400
NORTH = (RowClass.CRITICAL, RowClass.HIGH, RowClass.NORMAL, RowClass.LOW)


class BodyCache:
    """Recently made or received blocks by (commit, section), at most `CACHE_BYTES`."""

    def __init__(self, bytes_max: int = CACHE_BYTES) -> None:
        self._blocks: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._bytes = 0
        self._max = bytes_max

    @property
    def used_bytes(self) -> int:
        """What the bodies in it take."""
        return self._bytes

    def put(self, place: tuple[int, int], block: Block) -> None:
        """Remember a block; the oldest make room."""
        self._blocks[place] = block
        self._bytes += len(block[1]) + OVERHEAD_BYTES
        while self._bytes > self._max and self._blocks:
            _, old = self._blocks.popitem(last=False)
            self._bytes -= len(old[1]) + OVERHEAD_BYTES

    def take(self, place: tuple[int, int]) -> Block | None:
        """The block at a place, if it is here; it stays for a re-send as long as there is room."""
        return self._blocks.get(place)


class Sealing:
    """The open block of each class; `headland.line.outbox.Sealer` says when one is due."""

    def __init__(self, settings: OutboxSettings) -> None:
        self.open = [OpenBlock(priority) for priority in Priority]
        self._sealer = Sealer(settings)

    def add(self, draft: Draft, node_ns: int, running_ms: int, now: Instant) -> list[OpenBlock]:
        """Take the rows of the commit that is being closed into the open blocks.

        Returns:
            Blocks to be sealed in this commit, in order: of a class whose rows are too many for one block, or
            of which an earlier process left rows, what was open, and each piece of this commit's rows.
        """
        full: list[OpenBlock] = []
        for cls in NORTH:
            inherited = self.open[cls].of is not None
            if not (inherited or draft.row_count(cls)):
                continue
            parts = pieces(draft.rows(cls)) if draft.row_count(cls) else []
            if not inherited and len(parts) == 1 and self._fits(self.open[cls], parts[0]):
                self.take(cls, parts[0], draft.n, node_ns, running_ms, now)
                continue
            priority = Priority(cls)
            if self.open[cls]:
                full.append(self.open[cls])
                self.open[cls] = OpenBlock(priority)
            for part in parts:
                block = OpenBlock(priority)
                block.add(part, draft.n, node_ns, running_ms)
                full.append(block)
            self._sealer.sealed(priority)
        return full

    @staticmethod
    def _fits(block: OpenBlock, rows: Columns) -> bool:
        size = block.size + (sum(rows.size) if rows.size is not None else 0)
        return len(block) + len(rows) <= 2 * PIECE_ROWS and size <= BLOCK_BYTES_MAX + PIECE_BYTES

    def take(self, cls: int, rows: Columns, n: int, node_ns: int, running_ms: int, now: Instant) -> None:
        """Take rows of one commit."""
        self.open[cls].add(rows, n, node_ns, running_ms)
        self._sealer.rows(Priority(cls), len(rows), now)

    def reconfigure(self, settings: OutboxSettings) -> None:
        """The classes are told something else; what is open is sealed by the new word."""
        self._sealer.reconfigure(settings)

    def resume(
        self, priority: Priority, rows: Columns, runs: Sequence[Run], born_ms: int, now: Instant
    ) -> None:
        """Take over unsealed rows of a checkpoint."""
        block = self.open[priority]
        block.columns, block.runs, block.born_ms = rows, list(runs), born_ms
        block.size = sum(rows.size) if rows.size is not None else 0
        self._sealer.rows(priority, len(rows), now)

    def inherit(self, epoch: bytes, numbers: Sequence[int]) -> None:
        """What is open was left by the process of `epoch`, whose newest block of each class has this number.

        It is sealed in this process's first commit, as the next block of *that* epoch: a node that runs on
        from a copy of this disk has sealed the same rows under the same name, and whoever has both keeps one.
        """
        for block, number in zip(self.open, numbers, strict=True):
            if block:
                block.of = epoch, number + 1

    def ask(self, priority: Priority) -> None:
        """Seal this class with the next commit (on demand, drain)."""
        self._sealer.demand(priority)

    def due(self, now: Instant, *, pressed: bool = False) -> list[OpenBlock]:
        """Blocks that the commit being closed should seal; all of them when `pressed`."""
        due = self._sealer.due(now, pressed)
        return [block for block in self.open if block.priority in due or block.size >= BLOCK_BYTES_MAX]

    def sealed(self, priority: Priority) -> None:
        """The block has its number: begin the next."""
        self.open[priority].clear()
        self._sealer.sealed(priority)

    def next_wake(self) -> int | None:
        """Monotonic ns at which a class is due by its interval."""
        return self._sealer.next_wake()

    def oldest_n(self) -> int | None:
        """First commit whose rows are not sealed, or None."""
        return min((block.runs[0].n for block in self.open if block.runs), default=None)
