"""Where blocks rest between their commit and their end: the journal first, then files, until they may go.

A node with a parent spills to `outbox/<class>/`, a root to `store/`. One segment at a time is emptied when
the
journal has grown past its budget:

    IDLE ─(journal over budget)─► PRESS ─(unsealed rows sealed, durable)─► READ ─► WRITE ─► NOTE ─┐
      ▲                                                          ▲─────────── more blocks ────────┤
      └──────────────── recycle the segment ◄────────────────────────────── nothing left ─────────┘

A file is deleted whole, after the commit that says so; a segment is recycled when two checkpoints have passed
it and no block in it is needed. A crash between write and note repeats the spill; an unnoted file is deleted.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from headland.blocks.block import seal as seal_block
from headland.blocks.header import BlockHeader, decode_alone, encode_alone
from headland.blocks.wire import Reader
from headland.journal import DiskOp, SectionType, SegmentInfo
from headland.journal.checkpoint import CheckpointInfo
from headland.journal.outbox_files import FILE_BYTES, BlockFiles, FileInfo, outbox_directory
from headland.line.outbox import Outbox, SpillLetter, SpillRun
from headland.link import actions as link
from headland.link import received
from headland.link.contract import GapRange, Ref
from headland.node import events as ev
from headland.node import restores
from headland.node.blocks_on_disk import IN_FILE, NOWHERE, Block, BlockRef, block_at, file_number
from headland.node.open_blocks import OpenBlock
from headland.node.sealing import BodyCache
from headland.storage import Applied
from headland.vocabulary import Account, DefectError, Instant, Lane, Priority

if TYPE_CHECKING:
    from headland.node.core import Node

BATCH_BYTES = 1 << 20
PLACES_MAX = 400_000
SMALL_BYTES = 256
"""What a block counts at least towards a batch that is copied."""
FILES = "files"
ROWS_IN_MEMORY_MAX = 200_000
WATCH_NS = 1_000_000_000


class Phase(Enum):
    """Where the spill is."""

    IDLE = "idle"
    PRESS = "press"
    READ = "read"
    WRITE = "write"
    NOTE = "note"


class FileNote(msgspec.Struct, frozen=True, array_like=True):
    """STATE section "files": files of one directory that changed, and those that are gone."""

    directory: str
    files: tuple[FileInfo, ...] = ()
    gone: tuple[int, ...] = ()


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


class _Batch(msgspec.Struct):
    """Blocks that are being spilled."""

    refs: list[BlockRef]
    run: SpillRun | None = None
    letters: list[SpillLetter] = []
    resting: list[Resting] = []
    age_clock_ms: int = 0
    priority: int = 0
    files: list[FileInfo] = []
    places: list[Ref] = []
    note_n: int = 0


class Shelving:
    """Blocks of one node; exactly one of `outbox` and the store is in use.

    Attributes:
        cache: Recent bodies.
        applied: Key table of a root.
        files: Files by directory: one for each class's outbox, or the store.
        shelf: Blocks of a root that are not in a file yet, in order of arrival.
        arrivals: Node time of the commits that the shelf refers to.
        tombstones: What a root was told will not come.
        room: Bytes that were free on the file system at the last commit; None where that is not known.
    """

    def __init__(self, origin: str, outbox: Outbox | None, journal_bytes: int) -> None:
        self.origin = origin
        self.outbox = outbox
        self.cache = BodyCache()
        self.applied = Applied()
        self.files = (
            {f"{outbox_directory(priority)}": BlockFiles(outbox_directory(priority)) for priority in Priority}
            if outbox is not None
            else {"store": BlockFiles()}
        )
        self.shelf: deque[Resting] = deque()
        self.arrivals: dict[int, int] = {}
        self.tombstones: list[received.ReceivedGap] = []
        self.k = [0, 0, 0, 0]
        self.epoch = b""
        self.phase = Phase.IDLE
        self.spilled_blocks = 0
        self._journal_bytes = journal_bytes
        self._segment: SegmentInfo | None = None
        self._batch: _Batch | None = None
        self._token = 0
        self._unlink_after: list[tuple[int, list[DiskOp]]] = []
        self._checkpoint: tuple[CheckpointInfo, bytes] | None = None
        self._checkpoint_token = 0
        self._checkpoint_bytes = 0
        self._watch_ns = 0
        self._spill_ns = 0
        self._checkpoint_segment = -1
        self._tight = False
        self.room: int | None = None

    @property
    def own_account(self) -> Account:
        """Where own rows go from their commit on."""
        return Account.PENDING if self.outbox is not None else Account.APPLIED

    @property
    def presses(self) -> bool:
        """Whether unsealed rows should be sealed now, so that an old segment can be emptied."""
        return self.phase is Phase.PRESS

    # ── in ─────────────────────────────────────────────────────────────────────────────────────────
    def open_epoch(self, node: Node, now: Instant) -> None:
        """This process makes its first commit."""
        self.epoch = node.parts.epoch
        self.k = [0, 0, 0, 0]
        if self.outbox is not None:
            self.outbox.open_epoch(self.epoch, node.parts.last_epoch, node.parts.last_n, node.draft)

    def seal(self, node: Node, block: OpenBlock, now: Instant) -> None:
        """Seal an open block in the draft that is being closed."""
        draft = node.draft
        if self.outbox is not None:
            sealed = self.outbox.seal(
                block.priority, block.columns, block.runs, (), block.born_ms, now, draft
            )
            header, body = sealed.header, sealed.body
            place = (draft.n, sealed.index)
        else:
            self.k[block.priority] += 1
            header, body = seal_block(
                block.columns,
                origin=self.origin,
                epoch=self.epoch,
                priority=block.priority,
                k=self.k[block.priority],
                lane=Lane.LIVE,
                runs=tuple(block.runs),
                age_ms=max(0, node.running_ms(now) - block.born_ms),
                with_body=False,
            )
            place = (draft.n, draft.section(SectionType.SEALS, encode_alone(header)))
            self.put_on_shelf(header, place, own=True)
            self.arrivals[draft.n] = now.wall_ns
        if body:
            self.cache.put(place, (header, body, frozenset(block.columns.sid)))

    def receive(self, node: Node, deliver: link.Deliver, now: Instant) -> None:
        """Make a child's block or tombstone durable in the open draft."""
        item, draft = deliver.item, node.draft
        if self.outbox is None:
            index = draft.section(SectionType.RECEIVED, received.encode(item))
            if isinstance(item, received.ReceivedGap):
                self.tombstones.append(item)
                restores.asked(node, item.child, item.ranges)
                return
            header = item.header
            fresh = self.put_on_shelf(header, (draft.n, index), own=False)
            self.arrivals[draft.n] = now.wall_ns
            restores.arrived(node, header)
            account = Account.APPLIED if fresh else Account.DUPLICATE_RECEIVED
            for one in (Account.RECEIVED, account):
                draft.book(one, "", header.priority, "", header.rows, header.size)
            return
        if isinstance(item, received.ReceivedGap):
            priority = Priority(item.ranges[0].priority if item.ranges else item.stream.priority)
            lane = self.outbox.lane_of_seal(priority, now, Lane(item.stream.lane))
            ranges = restores.passed_on(item.ranges)
            relayed = msgspec.structs.replace(item, lane=lane, ranges=ranges)
            draft.section(SectionType.RECEIVED, received.encode(relayed))
            if ranges:
                self.outbox.relay_gap(ranges, lane, draft)
                restores.asked(node, item.child, item.ranges)
            return
        header = item.header
        lane = self.outbox.lane_of_seal(header.priority, now, Lane(item.stream.lane))
        data = received.encode(msgspec.structs.replace(item, lane=lane))
        index = draft.section(SectionType.RECEIVED, data)
        self.outbox.relay(header, Ref(draft.n, index, len(data)), lane, now, draft)
        assert deliver.columns is not None
        self.cache.put((draft.n, index), (header, item.body, frozenset(deliver.columns.sid)))

    def gaps(self) -> list[GapRange]:
        """What a root was told will not come, and has not come since by another road."""
        return [
            msgspec.structs.replace(item, k_from=low, k_to=high)
            for gap in self.tombstones
            for item in gap.ranges
            for low, high, held in self.applied.split(
                item.origin, item.epoch, item.priority, item.k_from, item.k_to
            )
            if not held
        ]

    def put_on_shelf(self, header: BlockHeader, place: tuple[int, int], *, own: bool) -> bool:
        """A root takes a block; False when it had it already."""
        if not self.applied.apply(header.origin, header.epoch, header.priority, header.k):
            return False
        self.shelf.append(Resting(*place, header.priority, own))
        return True

    # ── the commit cycle ───────────────────────────────────────────────────────────────────────────
    def closed(self, node: Node, n: int) -> None:
        """Commit n is on its way; the state in memory is that after it."""
        journal = node.parts.journal
        if self._checkpoint is None and (journal.wants_checkpoint or self._held_up(node)):
            self._checkpoint = (journal.start_checkpoint(n), node.snapshot())
            self._checkpoint_segment = journal.segments()[-1].id

    def committed(self, node: Node, n: int, now: Instant) -> None:
        """Commit n is durable."""
        if self._checkpoint is not None and not self._checkpoint_token and self._checkpoint[0].mark.n <= n:
            ops, self._checkpoint_bytes = node.parts.journal.checkpoint_ops(*self._checkpoint)
            self._checkpoint_token = node.token()
            node.emit(ev.Beside(self._checkpoint_token, ops))
        while self._unlink_after and self._unlink_after[0][0] <= n:
            node.emit(ev.Beside(node.token(), self._unlink_after.pop(0)[1]))
        if (self.phase is Phase.NOTE and self._batch is not None and self._batch.note_n <= n) or (
            self.phase is Phase.PRESS and not self._unsealed_in(node)
        ):
            self._next_batch(node, now)
        elif self.phase is Phase.IDLE and now.monotonic_ns >= self._spill_ns:
            self._begin(node, now)
        if now.monotonic_ns >= self._watch_ns:
            self._watch_ns = now.monotonic_ns + WATCH_NS
            self._watch_budget(node)
            self._watch_memory(node)

    def done(self, node: Node, token: int, error: str, now: Instant) -> None:
        """Operations beside the commits have ended."""
        if token == self._checkpoint_token and self._checkpoint is not None:
            if error:
                node.say("warning", "checkpoint_failed", reason=error)
            else:
                node.parts.journal.finish_checkpoint(self._checkpoint[0], self._checkpoint_bytes)
            self._checkpoint, self._checkpoint_token = None, 0
        elif token == self._token and self.phase is Phase.WRITE:
            if error:
                node.say("warning", "spill_failed", reason=error)
                self.phase, self._batch = Phase.IDLE, None
                self._spill_ns = now.monotonic_ns + WATCH_NS
            else:
                self._note(node, now)

    def read(self, node: Node, event: ev.BlocksRead | ev.PageRead, now: Instant) -> bool:
        """Blocks were read; whether they had been asked for here."""
        if not isinstance(event, ev.BlocksRead) or event.token != self._token or self.phase is not Phase.READ:
            return False
        self._write(node, event, now)
        return True

    def _held_up(self, node: Node) -> bool:
        """The journal is over its budget, and only for want of a checkpoint its oldest segment cannot go."""
        journal = node.parts.journal
        segments = journal.segments()
        return (
            journal.used_bytes > self._journal_bytes
            and segments[0].id not in journal.recyclable()
            and segments[-1].id > self._checkpoint_segment
        )

    def next_wake(self, node: Node) -> int | None:
        """Monotonic ns at which a full node looks for room again."""
        return self._watch_ns if node.full and node.commits.in_flight is None else None

    def wake(self, node: Node, now: Instant) -> None:
        """A full node that takes nothing in still has to commit, so that checkpoints and deletions go on."""
        due = self.next_wake(node)
        if due is not None and due <= now.monotonic_ns:
            node.draft.state("node", node.parts.store_id)

    # ── spilling ───────────────────────────────────────────────────────────────────────────────────
    def _begin(self, node: Node, now: Instant) -> None:
        journal = node.parts.journal
        segments = journal.segments()
        over = (
            sum(info.bytes for info in segments) > self._journal_bytes
            or len(node.parts.places) > PLACES_MAX
            or self._crowded(node)
        )
        recyclable = journal.recyclable()
        if not over or len(segments) < 2 or segments[0].id not in recyclable:
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
        if self._tight and self._forgotten(node):
            self._batch, self.phase = _Batch([], note_n=node.draft.n), Phase.NOTE
            return
        batch = self._outbox_batch(node, now) if self.outbox is not None else self._store_batch(node)
        if batch is None:
            self._recycle(node)
            return
        self._batch, self._token, self.phase = batch, node.token(), Phase.READ
        node.emit(ev.ReadBlocks(self._token, tuple(batch.refs)))

    def _forgotten(self, node: Node) -> bool:
        """Short of room, answered blocks are forgotten in place of being copied; whether there were any."""
        if self.outbox is None:
            return False
        limit, before = self._limit_n(node), node.draft.section_count
        for file in self.outbox.forget_answered(
            lambda ref: not ref.space & IN_FILE and ref.space <= limit, node.draft
        ):
            self._give_back(node, file)
        return node.draft.section_count > before

    def _outbox_batch(self, node: Node, now: Instant) -> _Batch | None:
        assert self.outbox is not None
        limit = self._limit_n(node)

        def inside(ref: Ref) -> bool:
            return not ref.space & IN_FILE and ref.space <= limit

        runs = self.outbox.to_spill(inside, now)
        for run in runs:
            refs: list[BlockRef] = []
            size = 0
            for ref in run.refs:
                place = block_at(node.parts.places, ref, run.stream.priority)
                if place is None:
                    raise DefectError(f"the block at {run.stream} {run.p_from + len(refs)} is nowhere")
                refs.append(place)
                size += max(ref.length, SMALL_BYTES)
                if size > BATCH_BYTES:
                    break
            count = len(refs)
            part = msgspec.structs.replace(run, refs=run.refs[:count], ages_ms=run.ages_ms[:count])
            return _Batch(refs, part, age_clock_ms=self.outbox.age_clock(now), priority=run.stream.priority)
        return self._letters_batch(node, self.outbox.letters_to_spill(inside, now))

    def _letters_batch(self, node: Node, letters: list[SpillLetter]) -> _Batch | None:
        """Blocks that wait for another attempt, and dead letters, of one class."""
        letters = [letter for letter in letters if letter.priority == letters[0].priority][:256]
        refs: list[BlockRef] = []
        for letter in letters:
            place = block_at(node.parts.places, letter.ref, letter.priority)
            if place is None:
                raise DefectError(f"the block of letter {letter.number} is nowhere")
            refs.append(place)
        return _Batch(refs, letters=letters, priority=letters[0].priority) if letters else None

    def _store_batch(self, node: Node) -> _Batch | None:
        limit = self._limit_n(node)
        resting: list[Resting] = []
        refs: list[BlockRef] = []
        for item in self.shelf:
            if item.n > limit or len(resting) >= 256:
                break
            place = block_at(node.parts.places, Ref(item.n, item.index), item.priority)
            if place is None:
                raise DefectError(f"the block of commit {item.n} is nowhere")
            resting.append(item)
            refs.append(place)
        return _Batch(refs, resting=resting) if refs else None

    def _write(self, node: Node, event: ev.BlocksRead, now: Instant) -> None:
        batch = self._batch
        assert batch is not None
        blocks: list[tuple[BlockHeader, bytes]] = []
        if self.outbox is not None and batch.run is not None:
            files = self.files[outbox_directory(Priority(batch.priority))]
            good = self._good_prefix(node, batch, event)
            if good == 0:
                self._lose_first(node, batch, now)
                return
            for (header, body, _), age in zip(event.blocks[:good], batch.run.ages_ms, strict=False):  # type: ignore[misc]
                lane = Lane(batch.run.stream.lane)
                blocks.append((msgspec.structs.replace(header, age_ms=age, lane=lane), body))
        elif batch.letters:
            files = self.files[outbox_directory(Priority(batch.priority))]
            blocks = self._letter_blocks(node, batch, event)
        else:
            files = self.files["store"]
            for item, block in zip(batch.resting, event.blocks, strict=True):
                if block is None:
                    node.alarm("corrupt", f"block of commit {item.n}: {event.error}")
                    continue
                blocks.append(self._stored(node, item, block))
        before = files.files(), files.next_number
        spilled = files.append(blocks)
        files.restore(*before)  # what is not noted is not there: not in a checkpoint, not for the next spill
        batch.files = spilled.files
        bits = IN_FILE | batch.priority << 56
        batch.places = [Ref(bits | ref.number, ref.offset, ref.length) for ref in spilled.refs]
        self.phase, self._token = Phase.WRITE, node.token()
        node.emit(ev.Beside(self._token, spilled.plan))

    def _letter_blocks(
        self, node: Node, batch: _Batch, event: ev.BlocksRead
    ) -> list[tuple[BlockHeader, bytes]]:
        assert self.outbox is not None
        blocks = []
        for letter, block in zip(batch.letters, event.blocks, strict=True):
            if block is None:
                node.alarm("corrupt", f"letter {letter.number}: {event.error}")
                self.outbox.letter_lost(letter.number, node.draft)
            else:
                header = msgspec.structs.replace(block[0], age_ms=letter.age_ms, lane=Lane(letter.lane))
                blocks.append((header, block[1]))
        read = zip(batch.letters, event.blocks, strict=True)
        batch.letters = [letter for letter, block in read if block is not None]
        return blocks

    def _good_prefix(self, node: Node, batch: _Batch, event: ev.BlocksRead) -> int:
        good = next((i for i, block in enumerate(event.blocks) if block is None), len(event.blocks))
        if good < len(event.blocks):
            node.alarm("corrupt", f"a block in the journal cannot be read: {event.error}")
        return good

    def _lose_first(self, node: Node, batch: _Batch, now: Instant) -> None:
        """The first block of a run is damaged: a tombstone takes its place, then the spill goes on.

        One that the parent may have stays where it is, without a body: the handshake answers it, or reading
        it fails then, and leaves the tombstone.
        """
        assert self.outbox is not None
        assert batch.run is not None
        if self.outbox.unreadable(batch.run.stream, batch.run.p_from, node.draft):
            batch.note_n = node.draft.n
            self.phase = Phase.NOTE
        else:
            self.outbox.moved(batch.run.stream, batch.run.p_from, Ref(NOWHERE, 0))
            self._next_batch(node, now)

    def _stored(self, node: Node, item: Resting, block: Block) -> tuple[BlockHeader, bytes]:
        header, body, sids = block
        keys = [(sid, node.parts.names.key(header.origin, header.epoch, sid)) for sid in sorted(sids)]
        names = tuple((sid, key.name, key.labels) for sid, key in keys)
        return header, msgspec.msgpack.encode(Stored(item.n, self.arrivals.get(item.n, 0), names, body))

    def _note(self, node: Node, now: Instant) -> None:
        batch, draft = self._batch, node.draft
        assert batch is not None
        if self.outbox is not None and batch.run is not None:
            directory = outbox_directory(Priority(batch.priority))
            self._note_runs(batch, draft)
        elif self.outbox is not None:
            directory = outbox_directory(Priority(batch.priority))
            numbers = [letter.number for letter in batch.letters]
            self.outbox.letters_spilled(numbers, batch.places, draft)
        else:
            directory = "store"
            draft.state("store", msgspec.msgpack.encode(StoreNote(len(batch.resting))))
            self.unshelve(len(batch.resting))
        note = FileNote(directory, tuple(batch.files))
        draft.state(FILES, msgspec.msgpack.encode(note))
        self._take_note(note)
        self.spilled_blocks += len(batch.places)
        batch.note_n = draft.n
        self.phase = Phase.NOTE

    def _note_runs(self, batch: _Batch, draft: object) -> None:
        """One note for each file that the run went to."""
        assert self.outbox is not None
        assert batch.run is not None
        at = 0
        while at < len(batch.places):
            number = batch.places[at].space
            end = at
            while end < len(batch.places) and batch.places[end].space == number:
                end += 1
            part = msgspec.structs.replace(
                batch.run,
                p_from=batch.run.p_from + at,
                refs=batch.run.refs[at:end],
                ages_ms=batch.run.ages_ms[at:end],
            )
            self.outbox.spilled(part, batch.places[at:end], batch.age_clock_ms, draft)  # type: ignore[arg-type]
            at = end

    def unshelve(self, count: int) -> None:
        """So many blocks at the front of the shelf are in files."""
        for _ in range(count):
            self.shelf.popleft()
        first = self.shelf[0].n if self.shelf else 0
        for n in [n for n in self.arrivals if n < first]:
            del self.arrivals[n]

    def _recycle(self, node: Node) -> None:
        assert self._segment is not None
        journal = node.parts.journal
        if self._segment.id in journal.recyclable():
            ops = journal.recycle(self._segment.id)
            node.parts.places.forget_to(self._segment.last_n)
            if ops:
                node.emit(ev.Beside(node.token(), ops))
        self._segment, self._batch, self.phase = None, None, Phase.IDLE

    # ── files ──────────────────────────────────────────────────────────────────────────────────────
    def file_end(self, priority: int, number: int) -> int:
        """Noted length of an outbox file."""
        files = self.files[outbox_directory(Priority(priority))]
        return next((info.bytes for info in files.files() if info.number == number), 0)

    @property
    def file_bytes(self) -> int:
        """Bytes in all files."""
        return sum(files.used_bytes for files in self.files.values())

    def _watch_budget(self, node: Node) -> None:
        """Within the budget everything stays.

        Near it what the parent has goes, then what may be shed; at it nothing more is taken in (critical
        rows, tombstones and answers still fit in the reserve). Where others fill the disk, what the parent
        has goes, nothing is shed, and nothing more is taken in: the way north needs room for its answers.
        """
        settings = node.settings
        if self._crowded(node):
            self.reclaim(node, settings.reserve_bytes, shed=False)
            node.refuse_input(True, "the file system is all but full")
            return
        if not settings.budget_bytes:
            node.refuse_input(False)
            return
        used = self.file_bytes + node.parts.journal.used_bytes
        limit = max(1, settings.budget_bytes - settings.reserve_bytes)
        self._tight = used > limit - limit // 5
        if used > limit - limit // 10:
            self.reclaim(node, used - (limit - limit // 8))
        node.refuse_input(used > limit)

    def _crowded(self, node: Node) -> bool:
        """Less is free on the file system than the reserve, and the segment and file that come next."""
        settings = node.settings
        least = settings.reserve_bytes + settings.journal.segment_bytes + FILE_BYTES
        return self.room is not None and self.room < least

    def _watch_memory(self, node: Node) -> None:
        """Answered blocks whose bodies are in the journal cost memory; beyond a bound they are forgotten."""
        if self.outbox is not None and self.outbox.in_memory() > ROWS_IN_MEMORY_MAX:
            for file in self.outbox.forget_answered(lambda ref: not ref.space & IN_FILE, node.draft):
                self._give_back(node, file)

    def reclaim(self, node: Node, bytes_needed: int, *, shed: bool = True) -> None:
        """Disk budget: delete answered files, oldest first; then shed, lowest class first, critical never."""
        if self.outbox is None or self._unlink_after:
            return
        freed = 0
        for file, answered in self.outbox.files().items():
            if freed >= bytes_needed:
                return
            if answered:
                freed += self._give_back(node, file)
        if shed and freed < bytes_needed:
            for file in self.outbox.shed(bytes_needed - freed, node.draft):
                self._give_back(node, file)

    def _give_back(self, node: Node, file: int) -> int:
        assert self.outbox is not None
        priority, number = file_number(file)
        directory = outbox_directory(Priority(priority))
        size = self.file_end(priority, number)
        if not size:
            return 0  # given back before
        for stream, p in self.outbox.last_positions(file):
            self.outbox.forget(stream, p, node.draft)
        self.outbox.drop_file(file, node.draft)
        node.draft.state(FILES, msgspec.msgpack.encode(FileNote(directory, (), (number,))))
        self._unlink_after.append((node.draft.n, self.files[directory].remove(number)))
        return size

    # ── recovery ───────────────────────────────────────────────────────────────────────────────────
    def snapshot(self) -> bytes:
        """Everything that no other machine remembers, for a checkpoint."""
        return msgspec.msgpack.encode(
            [
                {name: [files.next_number, files.files()] for name, files in self.files.items()},
                list(self.shelf),
                {str(n): ns for n, ns in self.arrivals.items()},
                self.applied.snapshot(),
                [received.encode(gap) for gap in self.tombstones],
                self.k,
                self.epoch,
            ]
        )

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        files, shelf, arrivals, applied, gaps, self.k, self.epoch = msgspec.msgpack.decode(
            data,
            type=tuple[
                dict[str, tuple[int, list[FileInfo]]],
                list[Resting],
                dict[str, int],
                bytes,
                list[bytes],
                list[int],
                bytes,
            ],
        )
        for name, (next_number, infos) in files.items():
            self.files.setdefault(name, BlockFiles(name)).restore(infos, next_number)
        self.shelf = deque(shelf)
        self.arrivals = {int(n): ns for n, ns in arrivals.items()}
        self.applied.restore(applied)
        self.tombstones = [
            gap for one in gaps if isinstance(gap := received.decode(one), received.ReceivedGap)
        ]

    def replay_seal(self, data: bytes, n: int, index: int, node_ns: int) -> None:
        """A SEALS section of a recovered commit of a root."""
        header = decode_alone(Reader(data))
        self.k[header.priority] = header.k
        self.put_on_shelf(header, (n, index), own=True)
        self.arrivals[n] = node_ns

    def replay_files(self, data: bytes) -> None:
        """A STATE section "files" of a recovered commit."""
        self._take_note(msgspec.msgpack.decode(data, type=FileNote))

    def _take_note(self, note: FileNote) -> None:
        files = self.files.setdefault(note.directory, BlockFiles(note.directory))
        infos = {info.number: info for info in (*files.files(), *note.files)}
        for number in note.gone:
            infos.pop(number, None)
        files.restore(infos.values(), files.next_number)
