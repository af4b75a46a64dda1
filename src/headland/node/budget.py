"""What may be on the disk, and what goes when there is more.

    up to 80 % of (budget - reserve)   everything stays
    80 to 90 %                         what the parent has is no longer copied into files
    over 90 %                          what the parent has goes, oldest first; then the lowest class
    over 100 %                         nothing more is taken in, and nothing acknowledged

Shedding takes the oldest first, and critical never. Critical rows, tombstones and answers still fit in the
reserve. Where others fill the disk, what the parent has goes, nothing is shed, and nothing more is taken in:
the way north needs room for its answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headland.journal.outbox_files import FILE_BYTES, outbox_directory
from headland.line.outbox import Outbox
from headland.link.contract import Ref
from headland.node.blocks_on_disk import IN_FILE, file_number
from headland.node.kept_files import KeptFiles
from headland.vocabulary import Instant, Priority

if TYPE_CHECKING:
    from headland.node.core import Node

ROWS_IN_MEMORY_MAX = 200_000
"""Answered blocks whose bodies are in the journal cost memory; beyond so many they are forgotten."""
WATCH_NS = 1_000_000_000


def in_journal(ref: Ref) -> bool:
    """Whether a block's body is in the journal, not in a file."""
    return not ref.space & IN_FILE


class Budget:
    """Watches once a second.

    Attributes:
        room: Bytes that were free on the file system at the last commit; None where that is not known.
        tight: Whether answered blocks are forgotten in place of being copied into files.
    """

    def __init__(self, outbox: Outbox | None, files: KeptFiles) -> None:
        self.room: int | None = None
        self.tight = False
        self._outbox = outbox
        self._files = files
        self._due_ns = 0

    def committed(self, node: Node, now: Instant) -> None:
        """A commit is durable: look, if it is time."""
        if now.monotonic_ns < self._due_ns:
            return
        self._due_ns = now.monotonic_ns + WATCH_NS
        self._watch_disk(node)
        if self._outbox is not None and self._outbox.in_memory() > ROWS_IN_MEMORY_MAX:
            for file in self._outbox.forget_answered(in_journal, node.draft):
                self.give_back(node, file)

    def next_wake(self, node: Node) -> int | None:
        """Monotonic ns at which a full node looks for room again."""
        return self._due_ns if node.full and node.commits.in_flight is None else None

    def wake(self, node: Node, now: Instant) -> None:
        """A full node that takes nothing in still has to commit, so that checkpoints and deletions go on."""
        due = self.next_wake(node)
        if due is not None and due <= now.monotonic_ns:
            node.draft.state("node", node.parts.store_id)

    def crowded(self, node: Node) -> bool:
        """Less is free on the file system than the reserve, and the segment and file that come next."""
        settings = node.settings
        least = settings.reserve_bytes + settings.journal.segment_bytes + FILE_BYTES
        return self.room is not None and self.room < least

    def _watch_disk(self, node: Node) -> None:
        settings = node.settings
        if self.crowded(node):
            self.reclaim(node, settings.reserve_bytes, shed=False)
            node.refuse_input(True, "the file system is all but full")
            return
        if not settings.budget_bytes:
            node.refuse_input(False)
            return
        used = self._files.used_bytes + node.parts.journal.used_bytes
        limit = max(1, settings.budget_bytes - settings.reserve_bytes)
        self.tight = used > limit - limit // 5
        if used > limit - limit // 10:
            self.reclaim(node, used - (limit - limit // 8))
        node.refuse_input(used > limit)

    def reclaim(self, node: Node, bytes_needed: int, *, shed: bool = True) -> None:
        """Delete answered files, oldest first; then shed, lowest class first, critical never."""
        outbox = self._outbox
        if outbox is None or self._files.unlinking:
            return
        freed = 0
        for file, answered in outbox.files().items():
            if freed >= bytes_needed:
                return
            if answered:
                freed += self.give_back(node, file)
        if shed and freed < bytes_needed:
            for file in outbox.shed(bytes_needed - freed, node.draft):
                self.give_back(node, file)

    def give_back(self, node: Node, file: int) -> int:
        """Let one outbox file go with the open commit; bytes that it frees.

        0 when it is gone already, or just being appended to: then it goes another time.
        """
        assert self._outbox is not None
        priority, number = file_number(file)
        directory = outbox_directory(Priority(priority))
        if (directory, number) in self._files.growing:
            return 0
        size = self._files.end(priority, number)
        if size:
            for stream, p in self._outbox.last_positions(file):
                self._outbox.forget(stream, p, node.draft)
            self._outbox.drop_file(file, node.draft)
            self._files.remove(directory, number, node.draft)
        return size
