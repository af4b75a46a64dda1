"""When a snapshot is taken, and packed and written beside the commits.

IDLE ─(the log since the last one is long, or the oldest segment waits for one)─► TAKEN at commit n
▲                                                                                   │ n durable
└─────────── written: the journal may let segments go ──── PACKING, WRITING ◄───────┘
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headland.journal import checkpoint
from headland.journal.checkpoint import CheckpointInfo
from headland.node import events as ev

if TYPE_CHECKING:
    from headland.node.core import Node


class Checkpointing:
    """The checkpoint that is being made, if any."""

    def __init__(self) -> None:
        self._taken: tuple[CheckpointInfo, bytes] | None = None
        self._writing = 0
        self._file_bytes = 0
        self._newest_segment = -1
        self._in_newest = 0

    def closed(self, node: Node, n: int) -> None:
        """Commit n is on its way; the state in memory is that after it."""
        journal = node.parts.journal
        if self._taken is None and (journal.wants_checkpoint or self._held_up(node)):
            self._taken = (journal.start_checkpoint(n), node.snapshot())
            newest = journal.segments()[-1].id
            self._in_newest = self._in_newest + 1 if newest == self._newest_segment else 1
            self._newest_segment = newest

    def committed(self, node: Node, n: int) -> None:
        """Commit n is durable: a snapshot of it may be written."""
        if self._taken is not None and not self._writing and self._taken[0].mark.n <= n:
            self._writing = node.token()
            node.emit(ev.Pack(self._writing, *self._taken))

    def packed(self, node: Node, token: int, data: bytes) -> None:
        """The file's bytes have been made, beside the loop."""
        if token == self._writing and self._taken is not None:
            ops, self._file_bytes = node.parts.journal.checkpoint_file_ops(self._taken[0], data)
            node.emit(ev.Beside(token, ops))

    def done(self, node: Node, token: int, error: str) -> bool:
        """Operations beside the commits have ended; whether they were these."""
        if token != self._writing or self._taken is None:
            return False
        if error:
            node.say("warning", "checkpoint_failed", reason=error)
        else:
            node.parts.journal.finish_checkpoint(self._taken[0], self._file_bytes)
        self._taken, self._writing = None, 0
        return True

    def _held_up(self, node: Node) -> bool:
        """Room is wanted, and only for want of checkpoints the oldest segment cannot go.

        Two of them in the newest segment let every other go.
        """
        journal = node.parts.journal
        segments = journal.segments()
        wanted = journal.used_bytes > node.settings.journal_bytes or node.parts.shelving.budget.empties(node)
        return (
            wanted
            and len(segments) > 1
            and segments[0].id not in journal.recyclable()
            and (segments[-1].id > self._newest_segment or self._in_newest < checkpoint.KEPT)
        )
