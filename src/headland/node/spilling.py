"""Blocks leave the journal for files, a segment at a time, when it is over its share, or room is short.

    IDLE ─(journal over its share)─► PRESS ─(unsealed rows sealed, durable)─► READ ─► WRITE ─► NOTE ─┐
      ▲                                                          ▲─────────── more blocks ────────┤
      └──────────────── recycle the segment ◄────────────────────────────── nothing left ─────────┘

A node with a parent spills to `outbox/<class>/`, a root to `store/`. A segment is recycled when two
checkpoints have passed it and no block in it is needed. A crash between write and note repeats the spill.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from headland.blocks.header import BlockHeader
from headland.journal import Draft, SegmentInfo
from headland.journal.outbox_files import FileInfo, outbox_directory
from headland.line.outbox import Outbox, SpillLetter, SpillRun
from headland.link.contract import Ref
from headland.node import events as ev
from headland.node.blocks_on_disk import IN_FILE, NOWHERE, BlockRef, block_at
from headland.node.budget import Budget, in_journal
from headland.node.kept_files import STORE, KeptFiles
from headland.node.shelf import Resting, Shelf, StoreNote
from headland.vocabulary import DefectError, Instant, Lane, Priority

if TYPE_CHECKING:
    from headland.node.core import Node

BATCH_BLOCKS = 256
"""Blocks of one batch of a root's store: their bytes are not known before they are read."""
PLACES_MAX = 400_000
RETRY_NS = 1_000_000_000


class Phase(Enum):
    """Where the spill is."""

    IDLE = "idle"
    PRESS = "press"
    READ = "read"
    WRITE = "write"
    NOTE = "note"


class _Batch(msgspec.Struct):
    """Blocks that are being spilled: a run of a stream, or letters, or what rests on the shelf of a root."""

    refs: list[BlockRef]
    directory: str = STORE
    run: SpillRun | None = None
    letters: list[SpillLetter] = []
    resting: list[Resting] = []
    age_clock_ms: int = 0
    priority: int = 0
    files: list[FileInfo] = []
    places: list[Ref] = []
    note_n: int = 0


class Spilling:
    """The spill of one node.

    Attributes:
        phase: Where it is.
        blocks: Blocks spilled since the process started.
    """

    def __init__(self, outbox: Outbox | None, shelf: Shelf, files: KeptFiles, budget: Budget) -> None:
        self.phase = Phase.IDLE
        self.blocks = 0
        self._outbox = outbox
        self._shelf = shelf
        self._files = files
        self._budget = budget
        self._segment: SegmentInfo | None = None
        self._batch: _Batch | None = None
        self._token = 0
        self._due_ns = 0

    @property
    def presses(self) -> bool:
        """Whether unsealed rows should be sealed now, so that an old segment can be emptied."""
        return self.phase is Phase.PRESS

    # ── what moves it ──────────────────────────────────────────────────────────────────────────────
    def committed(self, node: Node, n: int, now: Instant) -> None:
        """Commit n is durable."""
        if (self.phase is Phase.NOTE and self._batch is not None and self._batch.note_n <= n) or (
            self.phase is Phase.PRESS and not self._unsealed_in(node)
        ):
            self._next_batch(node, now)
        elif self.phase is Phase.IDLE and now.monotonic_ns >= self._due_ns:
            self._begin(node, now)

    def read(self, node: Node, event: ev.BlocksRead | ev.PageRead, now: Instant) -> bool:
        """Blocks were read; whether they had been asked for here."""
        if not isinstance(event, ev.BlocksRead) or event.token != self._token or self.phase is not Phase.READ:
            return False
        self._write(node, event, now)
        return True

    def done(self, node: Node, token: int, error: str, now: Instant) -> None:
        """Operations beside the commits have ended."""
        if token != self._token or self.phase is not Phase.WRITE:
            return
        self._files.growing = set()
        if error:
            node.say("warning", "spill_failed", reason=error)
            self.phase, self._batch = Phase.IDLE, None
            self._due_ns = now.monotonic_ns + RETRY_NS
        else:
            self._note(node)

    # ── which segment, and what of it ──────────────────────────────────────────────────────────────
    def _begin(self, node: Node, now: Instant) -> None:
        journal = node.parts.journal
        segments = journal.segments()
        if self._budget.pressed and len(segments) == 1:
            journal.turn()
        over = (
            journal.used_bytes > node.settings.journal_bytes
            or len(node.parts.places) > PLACES_MAX
            or self._budget.empties(node)
            or self._budget.crowded(node)
        )
        if not over or len(segments) < 2 or segments[0].id not in journal.recyclable():
            return
        self._segment = segments[0]
        self.phase = Phase.PRESS
        if not self._unsealed_in(node):
            self._next_batch(node, now)

    def _unsealed_in(self, node: Node) -> bool:
        oldest = node.parts.sealing.oldest_n()
        return self._segment is not None and oldest is not None and oldest <= self._segment.last_n

    def _limit_n(self, node: Node) -> int:
        """Last commit whose blocks leave the journal.

        A block sealed after the segment may have rows in it.
        """
        assert self._segment is not None
        places, last_n = node.parts.places, self._segment.last_n
        limit = last_n
        for seals, rows in zip(places.seals, places.rows, strict=True):
            sealed_n = seals.after(last_n)
            if sealed_n is not None and rows.between(seals.before(sealed_n) + 1, last_n):
                limit = max(limit, sealed_n)
        return limit

    def _next_batch(self, node: Node, now: Instant) -> None:
        assert self._segment is not None
        limit = self._limit_n(node)
        if self._outbox is None:
            batch = self._store_batch(node, limit)
        elif self._gone(self._outbox, node, limit):
            self._batch, self.phase = _Batch([], note_n=node.draft.n), Phase.NOTE
            return
        else:
            batch = self._outbox_batch(self._outbox, node, limit, now)
        if batch is None:
            self._recycle(node, self._segment)
            return
        self._batch, self._token, self.phase = batch, node.token(), Phase.READ
        node.emit(ev.ReadBlocks(self._token, tuple(batch.refs)))

    def _gone(self, outbox: Outbox, node: Node, limit: int) -> bool:
        """Short of room, blocks go in place of being copied; whether any went.

        First what is answered is forgotten; with no room left, the lowest class is given up.
        """

        def inside(ref: Ref) -> bool:
            return in_journal(ref) and ref.space <= limit

        if not self._budget.tight:
            return False
        before = node.draft.section_count
        for file in outbox.forget_answered(inside, node.draft):
            self._budget.give_back(node, file)
        if node.draft.section_count > before:
            return True
        return self._budget.pressed and outbox.shed_rows(inside, in_journal, node.draft)

    def _outbox_batch(self, outbox: Outbox, node: Node, limit: int, now: Instant) -> _Batch | None:
        def inside(ref: Ref) -> bool:
            return in_journal(ref) and ref.space <= limit

        run = next(iter(outbox.to_spill(inside, now)), None)
        if run is not None:
            priority = run.stream.priority
            return _Batch(
                [_place(node, ref, priority) for ref in run.refs],
                outbox_directory(Priority(priority)),
                run,
                age_clock_ms=outbox.age_clock(now),
                priority=priority,
            )
        letters = outbox.letters_to_spill(inside, now)
        if not letters:
            return None
        priority = letters[0].priority
        letters = [letter for letter in letters if letter.priority == priority]
        refs = [_place(node, letter.ref, priority) for letter in letters]
        return _Batch(refs, outbox_directory(Priority(priority)), letters=letters, priority=priority)

    def _store_batch(self, node: Node, limit: int) -> _Batch | None:
        resting: list[Resting] = []
        for item in self._shelf.resting:
            if item.n > limit or len(resting) >= BATCH_BLOCKS:
                break
            resting.append(item)
        refs = [_place(node, Ref(item.n, item.index), item.priority) for item in resting]
        return _Batch(refs, resting=resting) if refs else None

    # ── write, note, recycle ───────────────────────────────────────────────────────────────────────
    def _write(self, node: Node, event: ev.BlocksRead, now: Instant) -> None:
        batch = self._batch
        assert batch is not None
        if self._outbox is None:
            blocks = self._resting_blocks(node, batch, event)
        elif batch.run is None:
            blocks = _letter_blocks(self._outbox, node, batch, event)
        else:
            blocks = _run_blocks(node, batch.run, event)
            if not blocks:
                self._lose_first(self._outbox, node, batch.run, now)
                return
        files = self._files.by_directory[batch.directory]
        before = files.files(), files.next_number
        spilled = files.append(blocks)
        files.restore(*before)  # what is not noted is not there: not in a checkpoint, not for the next spill
        batch.files = spilled.files
        self._files.growing = {(batch.directory, info.number) for info in spilled.files}
        bits = IN_FILE | batch.priority << 56
        batch.places = [Ref(bits | ref.number, ref.offset, ref.length) for ref in spilled.refs]
        self.phase, self._token = Phase.WRITE, node.token()
        node.emit(ev.Beside(self._token, spilled.plan))

    def _resting_blocks(
        self, node: Node, batch: _Batch, event: ev.BlocksRead
    ) -> list[tuple[BlockHeader, bytes]]:
        blocks = []
        for item, block in zip(batch.resting, event.blocks, strict=True):
            if block is None:
                node.alarm("corrupt", f"block of commit {item.n}: {event.error}")
            else:
                blocks.append(self._shelf.record(item, block, node.parts.names))
        return blocks

    def _lose_first(self, outbox: Outbox, node: Node, run: SpillRun, now: Instant) -> None:
        """The first block of a run is damaged: a tombstone takes its place, then the spill goes on.

        One that the parent may have stays where it is, without a body: the handshake answers it, or reading
        it fails then, and leaves the tombstone.
        """
        if outbox.unreadable(run.stream, run.p_from, node.draft):
            assert self._batch is not None
            self._batch.note_n = node.draft.n
            self.phase = Phase.NOTE
        else:
            outbox.moved(run.stream, run.p_from, Ref(NOWHERE, 0))
            self._next_batch(node, now)

    def _note(self, node: Node) -> None:
        batch, draft = self._batch, node.draft
        assert batch is not None
        if self._outbox is None:
            draft.state("store", msgspec.msgpack.encode(StoreNote(len(batch.resting))))
            self._shelf.spilled(len(batch.resting))
        elif batch.run is None:
            numbers = [letter.number for letter in batch.letters]
            self._outbox.letters_spilled(numbers, batch.places, draft)
        else:
            _note_run(self._outbox, batch.run, batch, draft)
        self._files.note(batch.directory, batch.files, draft)
        self.blocks += len(batch.places)
        batch.note_n = draft.n
        self.phase = Phase.NOTE

    def _recycle(self, node: Node, segment: SegmentInfo) -> None:
        journal = node.parts.journal
        if segment.id in journal.recyclable():
            ops = journal.recycle(segment.id)
            node.parts.places.forget_to(segment.last_n)
            if ops:
                node.emit(ev.Beside(node.token(), ops))
        self._segment, self._batch, self.phase = None, None, Phase.IDLE


def _place(node: Node, ref: Ref, priority: int) -> BlockRef:
    place = block_at(node.parts.places, ref, priority)
    if place is None:
        raise DefectError(f"the block of class {priority} at {ref.space}/{ref.at} is nowhere")
    return place


def _run_blocks(node: Node, run: SpillRun, event: ev.BlocksRead) -> list[tuple[BlockHeader, bytes]]:
    """The blocks of a run up to the first that cannot be read."""
    blocks = []
    for block, age_ms in zip(event.blocks, run.ages_ms, strict=False):
        if block is None:
            node.alarm("corrupt", f"a block in the journal cannot be read: {event.error}")
            break
        blocks.append(
            (msgspec.structs.replace(block[0], age_ms=age_ms, lane=Lane(run.stream.lane)), block[1])
        )
    return blocks


def _letter_blocks(
    outbox: Outbox, node: Node, batch: _Batch, event: ev.BlocksRead
) -> list[tuple[BlockHeader, bytes]]:
    """Letters that can be read; the others are lost, and told so."""
    blocks, read = [], []
    for letter, block in zip(batch.letters, event.blocks, strict=True):
        if block is None:
            node.alarm("corrupt", f"letter {letter.number}: {event.error}")
            outbox.letter_lost(letter.number, node.draft)
        else:
            header = msgspec.structs.replace(block[0], age_ms=letter.age_ms, lane=Lane(letter.lane))
            blocks.append((header, block[1]))
            read.append(letter)
    batch.letters = read
    return blocks


def _note_run(outbox: Outbox, run: SpillRun, batch: _Batch, draft: Draft) -> None:
    """One note for each file that the run went to."""
    at = 0
    while at < len(batch.places):
        number = batch.places[at].space
        end = at
        while end < len(batch.places) and batch.places[end].space == number:
            end += 1
        part = msgspec.structs.replace(
            run, p_from=run.p_from + at, refs=run.refs[at:end], ages_ms=run.ages_ms[at:end]
        )
        outbox.spilled(part, batch.places[at:end], batch.age_clock_ms, draft)
        at = end
