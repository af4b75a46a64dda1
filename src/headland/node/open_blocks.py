"""Rows that are committed and not yet sealed: the open block of each class.

A block holds the rows of whole commits a+1 to b, or one piece of a commit that has too many for one block
(`headland.journal.draft.pieces`). The rows travel, or are read again from the journal: nothing here is the
only copy.
"""

from __future__ import annotations

from headland.blocks.header import Run
from headland.vocabulary import Columns, Priority


class OpenBlock:
    """Committed or drafted rows of one class since its last seal.

    Attributes:
        columns: Rows in commit order.
        runs: The commits they came from.
        born_ms: Running time (ms) at which the first row was drafted.
        size: Payload bytes they stand for.
        of: Epoch and number of the block that they make, where these are an earlier process's.
    """

    __slots__ = ("born_ms", "columns", "of", "priority", "runs", "size")

    def __init__(self, priority: Priority) -> None:
        self.priority = priority
        self.columns = Columns()
        self.runs: list[Run] = []
        self.born_ms = 0
        self.size = 0
        self.of: tuple[bytes, int] | None = None

    def __len__(self) -> int:
        return len(self.columns)

    def add(self, rows: Columns, n: int, node_ns: int, running_ms: int) -> None:
        """Append the rows of commit `n`."""
        if not self.runs:
            self.born_ms = running_ms
        self.columns.extend(rows)
        self.runs.append(Run(n, node_ns, len(rows)))
        if rows.size is not None:
            self.size += sum(rows.size)

    def clear(self) -> None:
        """Begin the next block."""
        self.columns = Columns()
        self.runs = []
        self.size = 0
        self.of = None
