"""The sender's state: what waits for the parent, in which order it goes, and what became of it.

Laws
    1. A block is handed out only when the commit that holds its seal is durable.
    2. A stream is a FIFO: positions are handed out in order, once a connection, and answered cumulatively.
    3. Nothing is reclaimable before it is answered; an answer beyond what was sent, or with another chain
       value, changes nothing.
    4. An attempt is spent only by a `Later` that says so. `Later` never blocks its lane: the block re-enters
       at the tail after a while, with its identity and a new position.
    5. A block whose outcome is unknown is neither expired, shed nor buried.
    6. What will not be sent leaves a tombstone at its positions, durable before anything is deleted.
    7. Every change that matters is a record in a commit; replaying the records gives the same state.

The outbox holds no bodies: about 110 bytes a block while its body is in the journal, one object for a run of
blocks in an outbox file (256 at most), 40 bytes for each of the newest 100,000 answered blocks.

Books: whoever keeps, derives or receives rows books them into `pending` in the rows' own commit, under group
"" and rule ""; the outbox books them out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop

from headland.blocks.block import seal as seal_block
from headland.blocks.header import BlockHeader, Run, encode_alone
from headland.line.outbox import catching_up, damaged, dead_runs, durable, records, releasing, settling, space
from headland.line.outbox.applying import (
    append_row,
    append_tombstone,
    apply,
    current_stream,
    must_find,
)
from headland.line.outbox.records import DeadRun
from headland.line.outbox.scheduling import Scheduler
from headland.line.outbox.settings import OutboxSettings, Sync, wait_s
from headland.line.outbox.state import DEAD_RUNS_MAX, State, Waiting, book_out
from headland.line.outbox.stream import Extent, Stream
from headland.line.outbox.values import PagedHeader, Random, SealedBlock, SpillLetter, SpillRun
from headland.link.contract import (
    REASONS,
    Alarm,
    Answer,
    DraftLike,
    EpochHello,
    GapRange,
    LaterReason,
    PageIn,
    ParentName,
    Ref,
    SendEntry,
    StreamKey,
    StreamWelcome,
)
from headland.vocabulary import Account, Columns, DefectError, Instant, Lane, Priority, Reason

REENTRIES = 1000
"""Waiting blocks that re-enter in one commit."""


class Outbox:
    """See the module. `Headland` has one per node that has a parent."""

    def __init__(self, origin: str, settings: OutboxSettings, random: Random) -> None:
        self.origin = origin
        self.settings = settings
        self.state = State(settings)
        self._random = random
        self._age_offset_ms = 0
        self._connected = False
        self._scheduler = Scheduler(self.state)

    def reconfigure(self, settings: OutboxSettings) -> None:
        """Go by other settings from now on; what waits for an attempt keeps the time it was given."""
        self.settings = self.state.settings = settings

    # ── time ────────────────────────────────────────────────────────────────────────────────────────────────

    def boot(self, running_ms: int, now: Instant) -> None:
        """Set the age clock: running time so far, plus off time where it was trusted, in ms."""
        self._age_offset_ms = running_ms - now.monotonic_ns // 1_000_000

    def age_clock(self, now: Instant) -> int:
        """The age clock, ms."""
        return self._age_offset_ms + now.monotonic_ns // 1_000_000

    # ── in ──────────────────────────────────────────────────────────────────────────────────────────────────

    def open_epoch(
        self, epoch: bytes, predecessor: bytes, predecessor_n: int, draft: DraftLike | None
    ) -> None:
        """This node's epoch from here on; with a draft it is written, without (at recovery) only applied."""
        record = records.EpochOpened(epoch, predecessor, predecessor_n)
        if draft is not None:
            draft.section(records.OUTBOX, records.encode(record))
        apply(self.state, record)

    def begin_after(self, epoch: bytes, numbers: Sequence[int]) -> None:
        """What this node sealed in `epoch` so far went into no outbox: it was a root then."""
        self.open_epoch(epoch, b"", 0, None)
        self.state.k = {int(priority): k for priority, k in zip(Priority, numbers, strict=True)}

    @property
    def epoch(self) -> bytes:
        """The current epoch, or b""."""
        return self.state.current.epoch if self.state.current is not None else b""

    def lane_of_seal(self, priority: Priority, now: Instant, arrived: Lane = Lane.LIVE) -> Lane:
        """Live if the link is up, it did not arrive as backlog, and its class is not behind."""
        if not self._connected or arrived is Lane.BACKLOG:
            return Lane.BACKLOG
        if self.settings.classes[priority].sync is Sync.ON_DEMAND:
            return Lane.BACKLOG
        size = 0
        for epoch in self.state.epochs:
            stream = epoch.streams.get((priority, Lane.LIVE))
            if stream is None or not stream.live:
                continue
            size += stream.live_bytes
            if now.monotonic_ns - stream.live[0][1] >= self.settings.live_age_s * 1e9:
                return Lane.BACKLOG
        return Lane.LIVE if size < self.settings.live_bytes else Lane.BACKLOG

    def seal(
        self,
        priority: Priority,
        columns: Columns,
        runs: Sequence[Run],
        groups: Sequence[str],
        born_ms: int,
        now: Instant,
        draft: DraftLike,
        of: tuple[bytes, int] | None = None,
    ) -> SealedBlock:
        """Make the block of these rows; it may be sent when this commit is durable.

        Args:
            priority: Its class.
            columns: Rows in commit order, at least one.
            runs: The commits that brought them; the last may be this one.
            groups: Series groups in them.
            born_ms: Age clock at which the first row was made.
            now: The moment.
            draft: The open commit; its SEALS section refers to itself as `Ref(draft.n, index)`.
            of: Epoch and number of the block; the current epoch and its next number without.
        """
        current = self.state.current
        if current is None:
            raise DefectError("an epoch has to be opened before a block is sealed")
        epoch, k = of or (current.epoch, self.state.k.get(priority, 0) + 1)
        lane = self.lane_of_seal(priority, now)
        header, body = seal_block(
            columns,
            origin=self.origin,
            epoch=epoch,
            priority=priority,
            k=k,
            lane=lane,
            runs=tuple(runs),
            age_ms=max(0, self.age_clock(now) - born_ms),
            groups=tuple(groups),
            with_body=lane is Lane.LIVE,
        )
        settling.stand(current_stream(self.state, priority, header.lane), draft)
        index = draft.section(records.SEALS, encode_alone(header))
        stream, p = self._place(header, born_ms, Ref(draft.n, index, len(body)), header.lane)
        stream.noted_live(now.monotonic_ns, len(body))
        self.state.drafted.append((draft.n, stream, p))
        return SealedBlock(header, body, stream.key, p, index)

    def stand(self, priority: int, lane: Lane, draft: DraftLike) -> None:
        """A child's block is about to be written: say first where the stream stands that it goes on in."""
        settling.stand(current_stream(self.state, priority, lane), draft)

    def relay(
        self, header: BlockHeader, ref: Ref, lane: Lane, now: Instant, draft: DraftLike
    ) -> tuple[StreamKey, int]:
        """Take a child's block, identity unchanged; books it received and pending.

        `lane` is what `lane_of_seal` says of it; the block's RECEIVED section holds it too.
        """
        draft.book(Account.RECEIVED, "", header.priority, "", header.rows, header.size)
        draft.book(Account.PENDING, "", header.priority, "", header.rows, header.size)
        stream, p = self._place(header, self.age_clock(now) - header.age_ms, ref, lane)
        stream.noted_live(now.monotonic_ns, ref.length or header.size)
        self.state.drafted.append((draft.n, stream, p))
        return stream.key, p

    def relay_gap(self, ranges: tuple[GapRange, ...], lane: Lane, draft: DraftLike) -> tuple[StreamKey, int]:
        """Take a child's tombstones; they travel on like data."""
        stream = current_stream(self.state, ranges[0].priority, lane)
        gap = append_tombstone(self.state, stream, ranges)
        self.state.drafted.append((draft.n, stream, gap.last))
        return stream.key, gap.last

    def _place(self, header: BlockHeader, born_ms: int, ref: Ref, lane: Lane) -> tuple[Stream, int]:
        stream = current_stream(self.state, header.priority, lane)
        if header.origin == self.origin and header.epoch == stream.key.epoch:
            self.state.k[header.priority] = header.k
        row = self.state.row_of(header, born_ms, ref.space, ref.at, ref.length)
        return stream, append_row(self.state, stream, row)

    # ── out ─────────────────────────────────────────────────────────────────────────────────────────────────

    def committed(self, n: int, now: Instant) -> None:
        """Commits up to n are durable: what they sealed may be sent."""
        drafted = self.state.drafted
        done = 0
        while done < len(drafted) and drafted[done][0] <= n:
            _, stream, p = drafted[done]
            stream.durable = max(stream.durable, p)
            done += 1
        del drafted[:done]
        for at, stream, p in self.state.acks:
            if at <= n:
                stream.acked_durable = min(p, stream.acked)
        self.state.acks = [item for item in self.state.acks if item[0] > n]
        for stream in self.state.held:
            if stream.held_n <= n:
                stream.held_from = 0
        self.state.held = [stream for stream in self.state.held if stream.held_from]

    def epochs(self) -> list[EpochHello]:
        """Epochs and streams that the handshake asks about."""
        return self.state.hello()

    def next_to_send(
        self, credit: Sequence[int], now: Instant, backlog: Sequence[int] | None = None
    ) -> SendEntry | PageIn | None:
        """The next block or tombstone, or headers that have to be read first; None when there is nothing.

        Args:
            credit: Bytes that may be sent, per class; a class with none is passed over.
            now: The moment.
            backlog: Of those, what the backlog lane may take; all of them unless it is told.
        """
        if not self._connected:
            return None
        return self._scheduler.next(credit, credit if backlog is None else backlog, self.age_clock(now))

    def sent(self, stream: StreamKey, p: int) -> None:
        """The first byte of the block at p is about to leave."""
        found = must_find(self.state, stream)
        found.sent = max(found.sent, p)
        found.uncertain = max(found.uncertain, p)

    def paged(self, stream: StreamKey, p: int, headers: Sequence[PagedHeader], next_at: int) -> None:
        """Headers of an outbox file that `PageIn` asked for, in order, and the offset behind them.

        A page that was asked for on an earlier connection, and is not the next one any more, is ignored.
        """
        found = must_find(self.state, stream)
        extent = found.piece_at(p)
        if not isinstance(extent, Extent) or extent.next_p != p:
            return
        extent.asked = False
        durable.page(self.state, found, extent, p, headers, next_at)

    def page_damaged(self, stream: StreamKey, p: int) -> tuple[int, int] | None:
        """The header at p, which `PageIn` asked for, cannot be read: where in its file to look for others.

        None when nobody waits for that page any more.
        """
        found = self.state.find(stream)
        extent = found.piece_at(p) if found is not None else None
        if not isinstance(extent, Extent) or extent.next_p != p or not extent.asked:
            return None
        return extent.info.at, extent.info.at + extent.info.length

    def page_lost(
        self, stream: StreamKey, p: int, headers: Sequence[PagedHeader], now: Instant, draft: DraftLike
    ) -> list[Alarm]:
        """What is left of the run that the page was asked from: `headers` are those that verify."""
        if self.page_damaged(stream, p) is None:
            return []
        found = must_find(self.state, stream)
        extent = found.piece_at(p)
        assert isinstance(extent, Extent)
        extent.asked = False
        alarms = damaged.lose(self.state, found, extent, headers, now, draft)
        self._hold(found, p, draft)
        return alarms

    def demand(self, priority: Priority) -> None:
        """On-demand classes: send what is here now."""
        for stream in self.state.streams():
            if stream.key.priority == priority:
                stream.released = stream.tail

    # ── answers and handshake ───────────────────────────────────────────────────────────────────────────────

    def answered(self, answers: Sequence[Answer], now: Instant, draft: DraftLike) -> list[Alarm]:
        """Take a parent's answers; an alarm of kind `lying_ack` means that one was refused."""
        alarms: list[Alarm] = []
        before = self.state.next_number
        for answer in answers:
            stream = self.state.find(answer.stream)
            if stream is None:
                alarms.append(Alarm("lying_ack", f"{answer.stream}: no such stream"))
                continue
            alarms += settling.settle(self.state, stream, answer, now, draft)
        self._set_times(before, now, draft)
        return alarms

    def link_up(
        self, parent: ParentName, positions: Sequence[StreamWelcome], now: Instant, draft: DraftLike
    ) -> list[Alarm]:
        """Compare where the parent stands with where we do, and start sending from there."""
        known = self.state.parent
        returns = known is not None and known.name == parent.name
        same = catching_up.meet(self.state, parent, draft)
        alarms: list[Alarm] = []
        before = self.state.next_number
        for welcome in positions:
            stream = self.state.find(welcome.stream)
            if stream is not None:
                alarms += catching_up.compare(self.state, stream, welcome, same, returns, now, draft)
        self._set_times(before, now, draft)
        self.state.parked.clear()
        for item in self.state.waiting.values():
            if item.due_ns - now.monotonic_ns > settling.PARK_NS // 2 and item.reason in (
                0,
                LaterReason.NOT_AUTHORISED,
            ):
                item.due_ns = now.monotonic_ns
                self.state.set_waiting(item)
        self._scheduler.reset()
        self._connected = True
        return alarms

    def link_down(self, now: Instant) -> None:
        """The connection is gone; what was sent and not answered is of unknown outcome."""
        self._connected = False
        for stream in self.state.streams():
            stream.claimed = stream.sent = stream.acked
            for piece in stream.pieces:
                if isinstance(piece, Extent):
                    piece.asked = False

    def opening(self, stream: StreamKey) -> tuple[int, bytes]:
        """Position and chain value that a parent without history is to start from."""
        found = must_find(self.state, stream)
        return found.acked, found.acked_chain

    def durable_ack(self, stream: StreamKey) -> int:
        """Last position whose answer is in a finished commit."""
        return must_find(self.state, stream).acked_durable

    def unknown(self) -> tuple[str, int] | None:
        """A parent that is not connected, and how many blocks it may have; None when there are none."""
        parent = self.state.foreign_parent or (None if self._connected else self.state.parent)
        blocks = sum(stream.unknown(foreign_only=self._connected) for stream in self.state.streams())
        return (parent.name, blocks) if parent is not None and blocks else None

    def parent_gone(self, draft: DraftLike) -> None:
        """An operator's word: the parent is gone for good, what it may hold counts as unsent.

        While the link is up the word is of earlier parents only.
        """
        here = self.state.parent if self._connected else None
        name, store = (here.name, here.store) if here is not None else ("", b"")
        settling.write(self.state, records.ParentIs(name, store, gone=True), draft)

    def _set_times(self, first_number: int, now: Instant, draft: DraftLike) -> None:
        for number in range(first_number, self.state.next_number):
            item = self.state.waiting.get(number)
            if item is not None and item.due_ns == 0:
                settings = self.settings.classes[item.priority]
                wait = wait_s(settings, item.letter.row.tries, self.settings.jitter, self._random.random())
                item.due_ns = now.monotonic_ns + int(wait * 1e9)
                self.state.set_waiting(item)

    # ── time passes ─────────────────────────────────────────────────────────────────────────────────────────

    def next_wake(self) -> int | None:
        """Monotonic ns at which `wake` has something to do; 0 for at once."""
        if self._scheduler.needs_wake:
            return 0
        return self.state.due[0][0] if self.state.due and self.state.current is not None else None

    def wake(self, now: Instant, draft: DraftLike) -> list[Alarm]:
        """Expire and park at the heads of streams, allow more backlog, let waiting blocks re-enter."""
        age = self.age_clock(now)
        self._scheduler.tend(age, now, draft, self._hold)
        before = self.state.next_number
        alarms = [
            alarm
            for stream in self.state.streams()
            if stream.verify is not None
            for alarm in catching_up.verify(self.state, stream, now, draft)
        ]
        self._set_times(before, now, draft)
        alarms += self._reenter(now, age, draft)
        return alarms

    def _hold(self, stream: Stream, p: int, draft: DraftLike) -> None:
        """From p on nothing is sent before this commit is durable."""
        stream.held_from = min(stream.held_from or p, p)
        stream.held_n = draft.n
        if stream not in self.state.held:
            self.state.held.append(stream)

    def _reenter(self, now: Instant, age: int, draft: DraftLike) -> list[Alarm]:
        alarms: list[Alarm] = []
        current = self.state.current
        for item in self._due(now):
            assert current is not None
            ttl = self.settings.classes[item.priority].ttl_s
            if ttl is not None and age - item.letter.row.born_ms > ttl * 1000:
                settling.bury(self.state, item.number, Reason.EXPIRED, draft)
                alarms.append(Alarm("expired", f"block {item.letter.row.k} of {item.letter.origin}"))
            else:
                self.state.parked.discard(item.letter.origin)
                key = StreamKey(current.epoch, item.priority, item.lane)
                settling.stand(current_stream(self.state, item.priority, item.lane), draft)
                settling.write(self.state, records.Reentered(item.number, key), draft)
                stream = current_stream(self.state, item.priority, item.lane)
                stream.noted_live(now.monotonic_ns, item.letter.row.length)
                self.state.drafted.append((draft.n, stream, stream.tail))
        return alarms

    def _due(self, now: Instant) -> Iterator[Waiting]:
        due = self.state.due
        for _ in range(REENTRIES):
            if not due or due[0][0] > now.monotonic_ns or self.state.current is None:
                return
            at, number = heappop(due)
            item = self.state.waiting.get(number)
            if item is not None and item.due_ns == at:
                yield item

    # ── space ───────────────────────────────────────────────────────────────────────────────────────────────

    def to_spill(self, inside: Callable[[Ref], bool], now: Instant) -> Iterator[SpillRun]:
        """Runs of blocks whose `Ref` is `inside` (a segment to be recycled): take one, or all at once."""
        return space.to_spill(self.state, inside, self.age_clock(now))

    def letters_to_spill(self, inside: Callable[[Ref], bool], now: Instant) -> list[SpillLetter]:
        """Waiting blocks and dead letters whose `Ref` is `inside`: they leave the segment too."""
        return space.letters_to_spill(self.state, inside, self.age_clock(now))

    def letters_spilled(self, numbers: Sequence[int], refs: Sequence[Ref], draft: DraftLike) -> None:
        """They are in an outbox file, synced."""
        for number, ref in zip(numbers, refs, strict=True):
            settling.write(self.state, records.Moved(number, ref), draft)

    def letter_lost(self, number: int, draft: DraftLike) -> None:
        """Its body cannot be read."""
        if number in self.state.waiting:
            settling.bury(self.state, number, Reason.CORRUPT, draft)
        if number in self.state.dead:
            settling.write(self.state, records.Evicted(number), draft)

    def spilled(self, run: SpillRun, refs: Sequence[Ref], now_ms: int, draft: DraftLike) -> None:
        """A run is in an outbox file, synced; `refs` say where, `now_ms` is the age clock of its ages."""
        space.spilled(self.state, run, refs, now_ms, draft)

    def moved(self, stream: StreamKey, p: int, ref: Ref) -> None:
        """The block at p is somewhere else now (its commit has been written to a segment)."""
        found = self.state.find(stream)
        rows = found.rows_at(p) if found is not None else None
        if rows is not None:
            rows.move(p, ref)

    def in_memory(self) -> int:
        """Blocks whose row is in memory (112 bytes each): a reason to spill, or to forget answered ones."""
        return sum(len(rows) for stream in self.state.streams() for rows in stream.rows_pieces())

    def answered_runs(self) -> int:
        """Runs in files in which everything is answered: each costs about 2 kB of memory."""
        return space.answered_runs(self.state)

    def forget(self, stream: StreamKey, p: int, draft: DraftLike) -> None:
        """Answered bodies up to p are being deleted (their segment or file is)."""
        settling.write(self.state, records.Forgotten(stream, p), draft)

    def forget_answered(self, inside: Callable[[Ref], bool], draft: DraftLike) -> list[int]:
        """Forget answered bodies at the front of each stream that are `inside` (a segment to be recycled).

        A step's work; ask again while there are more.

        Returns:
            Outbox files that nothing refers to any more.
        """
        for stream, p in space.answered(self.state, inside):
            settling.write(self.state, records.Forgotten(stream, p), draft)
        return durable.unused(self.state)

    def files(self) -> dict[int, bool]:
        """Outbox files in use, oldest first: whether everything in them is answered or given up."""
        return durable.files(self.state)

    def loose(self, inside: Callable[[Ref], bool]) -> bool:
        """Whether of the bodies that are `inside` any may go, answered or shed."""
        return space.loose(self.state, inside)

    def referred(self, files: set[int]) -> set[int]:
        """Of these files those in which a body is looked for."""
        return space.referred(self.state, files)

    def last_positions(self, file: int) -> list[tuple[StreamKey, int]]:
        """Of every stream with answered blocks in an outbox file, the last position there."""
        return space.last_positions(self.state, file)

    def shed_rows(
        self, inside: Callable[[Ref], bool], in_journal: Callable[[Ref], bool], draft: DraftLike
    ) -> bool:
        """Give up blocks in a segment that has to go, of the lowest class only; whether there were any."""
        shed = space.shed_rows(self.state, inside, in_journal, draft)
        for stream, p in shed:
            self._hold(stream, p, draft)
        return bool(shed)

    def shed(
        self, bytes_needed: int, draft: DraftLike, in_journal: Callable[[Ref], bool] = lambda _: False
    ) -> list[int]:
        """Give up the oldest runs in outbox files, lowest class first, critical never.

        Classes above the lowest that has something to give up in the journal are left alone.

        Returns:
            Files in which nothing is left; they may be deleted when this commit is durable.
        """
        for stream, p in space.shed(self.state, bytes_needed, draft, in_journal):
            self._hold(stream, p, draft)
        return durable.unused(self.state)

    def unreadable(self, stream: StreamKey, p: int, draft: DraftLike) -> bool:
        """The body at p is damaged: a tombstone stands in its place, unless the parent may have the block."""
        found = must_find(self.state, stream)
        unknown = found.sent
        if not self._connected or found.verify is not None:
            unknown = max(unknown, found.uncertain)
        if found.rows_at(p) is None or p <= unknown or p in found.elsewhere:
            return False
        found.claimed = min(found.claimed, p - 1)
        settling.give_up(self.state, found, p, p, Reason.CORRUPT, draft)
        self._hold(found, p, draft)
        return True

    def take_questions(self) -> list[GapRange]:
        """Blocks that a restored parent lost, booked unknown in the open commit: to be asked about."""
        asked, self.state.asked = self.state.asked, []
        return asked

    # ── stopped streams ─────────────────────────────────────────────────────────────────────────────────────

    def stopped(self) -> list[Stream]:
        """Streams whose positions mean something else to the parent, oldest epoch first."""
        return [stream for stream in self.state.streams() if stream.frozen]

    def why_not_released(self, stream: StreamKey, *, bury: bool) -> str:
        """Why a stopped stream cannot be released now, or ""."""
        found = must_find(self.state, stream)
        if self.state.current is None:
            return "this node has no epoch yet"
        return releasing.obstacle(self.state, found, bury=bury, runs_max=DEAD_RUNS_MAX)

    def release(self, stream: StreamKey, draft: DraftLike, *, bury: bool) -> releasing.Release:
        """Let what a stopped stream holds leave it, to its lane's tail or to the dead letters."""
        return releasing.release(self.state, must_find(self.state, stream), draft, bury=bury)

    # ── dead letters ────────────────────────────────────────────────────────────────────────────────────────

    def dead_letters(self) -> list[Waiting]:
        """What was given up and may be sent again, oldest first."""
        return list(self.state.dead.values())

    def resend(self, number: int, now: Instant, draft: DraftLike) -> bool:
        """Send a dead letter again; False when it is no longer listed.

        Same identity, new position, and its age begins anew: what has expired would expire again.
        """
        item = self.state.dead.get(number)
        current = self.state.current
        if item is None or current is None:
            return False
        account = REASONS[Reason(item.reason)]
        book_out(draft, account, item.priority, -item.letter.row.rows, -item.letter.row.size)
        key = StreamKey(current.epoch, item.priority, item.lane)
        settling.stand(current_stream(self.state, item.priority, item.lane), draft)
        settling.write(self.state, records.Resent(number, key, self.age_clock(now)), draft)
        stream = must_find(self.state, key)
        stream.noted_live(now.monotonic_ns, item.letter.row.length)
        self.state.drafted.append((draft.n, stream, stream.tail))
        return True

    def dead_runs(self) -> list[DeadRun]:
        """Runs in outbox files that were given up unread and may be sent again, oldest first."""
        return list(self.state.dead_runs.values())

    def resend_page(
        self, number: int, headers: Sequence[PagedHeader], next_at: int, now: Instant, draft: DraftLike
    ) -> DeadRun | None:
        """Send the next blocks of such a run again; what is left of it."""
        dead_runs.resend_page(
            self.state, self.state.dead_runs[number], headers, next_at, self.age_clock(now), draft
        )
        return self.state.dead_runs.get(number)

    def resend_readable(
        self, number: int, headers: Sequence[PagedHeader], now: Instant, draft: DraftLike
    ) -> tuple[int, int]:
        """Send all that verifies of such a run again; the rest is lost: (blocks, readings)."""
        run = self.state.dead_runs[number]
        found = dead_runs.of_run(run, headers)
        lost = dead_runs.lose_rest(self.state, run, found, draft)
        if found:
            dead_runs.resend_page(self.state, run, found, run.info.at, self.age_clock(now), draft)
        if number in self.state.dead_runs:
            dead_runs.evict(self.state, number, draft)
        return lost

    def drop_file(self, file: int, draft: DraftLike) -> None:
        """An outbox file is being deleted: runs in it are no longer listed."""
        dead_runs.drop_file(self.state, file, draft)

    # ── durability ──────────────────────────────────────────────────────────────────────────────────────────

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        return durable.snapshot(self.state)

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        durable.restore(self.state, data)

    def replay_section(self, kind: int, data: bytes, n: int, index: int, running_ms: int) -> None:
        """One section of a frame after the checkpoint, in order; others than the outbox's are ignored.

        Args:
            kind: Type of the section.
            data: Its body.
            n: The frame's commit number.
            index: The section's index in it.
            running_ms: The frame's running time.
        """
        durable.replay(self.state, kind, data, n, index, running_ms)

    def tell_lost(self, draft: DraftLike) -> list[GapRange]:
        """Own blocks that were sealed in commits which are missing from the log: tombstones, once."""
        lost = list(self.state.lost)
        for priority in sorted({item.priority for item in lost}):
            stream = current_stream(self.state, priority, Lane.BACKLOG)
            releasing.tell(self.state, stream, [item for item in lost if item.priority == priority], draft)
        return lost

    def held(self, priority: Priority) -> tuple[int, int]:
        """Readings and payload bytes of a class that are `pending` in blocks."""
        return releasing.held(self.state, priority)

    def recovered(self) -> None:
        """Replay is over: everything found is durable, and may have been sent."""
        self.state.drafted.clear()
        for stream in self.state.streams():
            durable.presume_sent(stream)
