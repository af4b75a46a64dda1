"""What may be on the disk, and what goes when there is more.

    up to 80 % of (budget - held back)   everything stays
    80 to 90 %                           what the parent has is no longer copied into files
    over 90 %                            what the parent has goes, oldest first; then the lowest class; the
                                         journal is emptied into files, so that what is in it may go, too
    over 100 %                           the lowest class goes right from the journal
    over 100 %, and nothing may go       nothing more is taken in, and nothing acknowledged, until 95 %

Shedding takes the oldest first, and critical never. What is held back has room for tombstones, answers and
the books, for checkpoints, and for files that are allocated before they are filled
(`headland.config.apportioning`). Where others fill the disk, what the parent has goes, nothing is shed, and
nothing more is taken in: the way north needs room for its answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headland.journal.outbox_files import outbox_directory
from headland.line.outbox import Outbox
from headland.link.contract import Ref
from headland.node.blocks_on_disk import IN_FILE, file_number
from headland.node.kept_files import KeptFiles
from headland.node.refusing import FILE_SYSTEM, Refusal
from headland.vocabulary import Instant, Priority

if TYPE_CHECKING:
    from headland.node.core import Node

ROWS_IN_MEMORY_MAX = 200_000
"""Answered blocks whose bodies are in the journal cost memory; beyond so many they are forgotten."""
ANSWERED_RUNS_MAX = 4_096
"""Runs of at most 256 answered blocks in files cost memory, too: beyond so many the oldest files go, whatever
the disk may hold. A parent that was restored can be sent again what is younger."""
FILES_AT_ONCE = 4
WATCH_NS = 1_000_000_000
WATCH_PRESSED_NS = 50_000_000
WATCH_SHARE = 32
"""Looked at again when this part of what may be used has been written since."""


def in_journal(ref: Ref) -> bool:
    """Whether a block's body is in the journal, not in a file."""
    return not ref.space & IN_FILE


class Budget:
    """Watches once a second, and oftener while much is written.

    Attributes:
        room: Bytes that were free on the file system at the last commit; None where that is not known.
        tight: Whether answered blocks are forgotten in place of being copied into files.
        short: Whether more has to go than files can give: the journal is to be emptied.
        pressed: Whether what may go leaves the journal, the open segment too, before anything is refused.
    """

    def __init__(self, outbox: Outbox | None, files: KeptFiles) -> None:
        self.room: int | None = None
        self.tight = False
        self.short = False
        self.pressed = False
        self._outbox = outbox
        self._files = files
        self._due_ns = 0
        self._looked_bytes = 0
        self._outgrown = False

    def committed(self, node: Node, now: Instant) -> None:
        """A commit is durable: look, if it is time."""
        written = node.parts.journal.appended_bytes - self._looked_bytes
        if now.monotonic_ns < self._due_ns and written * WATCH_SHARE < self.limit(node):
            return
        self._due_ns = now.monotonic_ns + (WATCH_PRESSED_NS if self.pressed else WATCH_NS)
        self._looked_bytes = node.parts.journal.appended_bytes
        self._watch_disk(node)
        if self._outbox is not None and self._outbox.in_memory() > ROWS_IN_MEMORY_MAX:
            for file in self._outbox.forget_answered(in_journal, node.draft):
                self.give_back(node, file)
            # A step's work at a time; the next one comes soon.
            self._due_ns = min(self._due_ns, now.monotonic_ns + WATCH_PRESSED_NS)
        elif self._outbox is not None and self._outbox.answered_runs() > ANSWERED_RUNS_MAX:
            done = [file for file, answered in self._outbox.files().items() if answered]
            for file in [] if self._files.unlinking else done[:FILES_AT_ONCE]:
                self.give_back(node, file)

    def next_wake(self, node: Node) -> int | None:
        """Monotonic ns at which a full node looks for room again."""
        waits = node.draft.empty or node.draft.only_books  # else a commit is due anyway
        return self._due_ns if waits and node.full and node.commits.in_flight is None else None

    def wake(self, node: Node, now: Instant) -> None:
        """A full node that takes nothing in still has to commit, so that checkpoints and deletions go on."""
        due = self.next_wake(node)
        if due is not None and due <= now.monotonic_ns:
            node.draft.state("node", node.parts.store_id)

    def crowded(self, node: Node) -> bool:
        """Less is free on the file system than what is held back, and the segment and file that come next."""
        settings = node.settings
        least = settings.reserve_bytes + settings.journal.segment_bytes + settings.file_bytes
        return self.room is not None and self.room < least

    def room_for_events(self, node: Node) -> bool:
        """Whether what is held back may give a little: a quarter of it, half where others fill the disk."""
        held_back = node.settings.reserve_bytes
        if self.room is not None and self.room < held_back // 2 + node.settings.journal.segment_bytes:
            return False
        return self.used(node) <= self.limit(node) + held_back // 4

    def limit(self, node: Node) -> int:
        """Bytes that may be used, those that are held back left out; without a budget practically any."""
        settings = node.settings
        return max(1, settings.budget_bytes - settings.reserve_bytes) if settings.budget_bytes else 1 << 62

    def empties(self, node: Node) -> bool:
        """Whether the journal is to be emptied, as far as it takes."""
        limit = self.limit(node)
        return self.short and self.used(node) > limit - limit // 8

    def used(self, node: Node) -> int:
        """Bytes of blocks and log; checkpoints, and what is still to be filled, are in what is held back."""
        return self._files.used_bytes + node.parts.journal.closed_bytes

    def _watch_disk(self, node: Node) -> None:
        settings = node.settings
        if self.crowded(node):
            self.reclaim(node, settings.reserve_bytes, shed=False)
            node.refuse_input(True, FILE_SYSTEM)
            return
        if not settings.budget_bytes:
            node.refuse_input(False)
            return
        self._judge_checkpoints(node)
        used, limit, freed = self.used(node), self.limit(node), 0
        self.tight = used > limit - limit // 5
        if used <= limit - limit // 10:
            self.short = False
        elif not self._files.unlinking:
            needed = used - (limit - limit // 8)
            freed = self.reclaim(node, needed)
            self.short = freed < needed
        over = used - freed - (limit - limit // 20 if node.full else limit)
        # Before anything is refused, what may go leaves the journal, wherever it is there.
        self.pressed = over > 0 and self._outbox is not None and self._outbox.loose(in_journal)
        waits = self.pressed and not node.full and over <= settings.journal.segment_bytes
        if over > 0 and not waits:
            node.refuse_input(True, self._why(node))
        elif over <= 0:
            node.refuse_input(False)

    def _judge_checkpoints(self, node: Node) -> None:
        """What a node remembers may outgrow what is held back for it: then it says so."""
        size, held_back = node.parts.journal.checkpoint_bytes, node.settings.reserve_bytes
        if size > held_back and not self._outgrown:
            told = f"checkpoints take {size} bytes, {held_back} are held back: disk.budget_bytes is exceeded"
            node.say("warning", "checkpoints_outgrown", detail=told)
        self._outgrown = size > held_back

    def _why(self, node: Node) -> Refusal:
        budget = f"the disk budget of {node.settings.budget_bytes // 1_000_000} MB is used up"
        if self._outbox is None:
            return Refusal("disk_budget", f"{budget} by what this root stores, which stays")
        if self.pressed or self._files.unlinking:
            return Refusal("disk_budget", f"{budget}, and more comes than can be given up in time")
        return Refusal("disk_budget", f"{budget} by data that may not go: critical, or sent and not answered")

    def reclaim(self, node: Node, bytes_needed: int, *, shed: bool = True) -> int:
        """Delete answered files, oldest first; then shed, lowest class first, critical never.

        Returns:
            Bytes that go with the open commit.
        """
        outbox = self._outbox
        if outbox is None or self._files.unlinking:
            return 0
        freed = sum(self.give_back(node, file) for file in self._left_over(outbox))
        for file, answered in outbox.files().items():
            if freed >= bytes_needed:
                return freed
            if answered:
                freed += self.give_back(node, file)
        if shed and freed < bytes_needed:
            for file in outbox.shed(bytes_needed - freed, node.draft, in_journal):
                freed += self.give_back(node, file)
        return freed

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

    def _left_over(self, outbox: Outbox) -> list[int]:
        """Files that nothing refers to: what was being appended to them was given up meanwhile."""
        there = {
            IN_FILE | priority << 56 | info.number
            for priority in Priority
            for info in self._files.by_directory[outbox_directory(priority)].files()
        }
        return sorted(there - outbox.referred(there))
