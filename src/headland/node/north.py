"""The node's way north: its outbox and its uplink, and what they need of the disk.

Without a parent there is neither; then every method does nothing (`headland.node.shelving` keeps the blocks).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from headland.blocks.header import BlockHeader
from headland.journal.draft import Draft
from headland.journal.outbox_files import outbox_directory, path_of
from headland.line.outbox import DeadRun, Outbox, PagedHeader
from headland.link import actions as link
from headland.link.contract import Alarm, BlockEntry, PageIn, Ref, StreamKey
from headland.link.protocol import IntentStatus
from headland.link.uplink import Phase, Uplink
from headland.node import events as ev
from headland.node import restores
from headland.node.blocks_on_disk import Paged, block_at, file_number
from headland.node.forwarding import Forwarding
from headland.node.link_trouble import Trouble
from headland.vocabulary import Account, Instant, Priority

if TYPE_CHECKING:
    from headland.node.core import Node

RUN_MAX = 1 << 16
"""Headers of a damaged run that are read at once; a run is one batch of a spill."""
RUN_PAGE = 256
"""Headers of an expired run that are read, and sent again, in one commit."""
BEHIND_BYTES = 64 * 1024
"""Bytes in the socket to the parent at which nothing more is put there."""


NOBODY = 0
"""Token of an order whose answer nobody waits for."""


def resent(token: int, number: int) -> ev.Reply:
    """The answer to an order to send dead letters again."""
    return _json(token, 200, {"number": number, "state": "waits again"})


def resend_failed(token: int, number: int, why: str) -> ev.Reply:
    """The answer when a run's file cannot be read."""
    return _json(token, 409, {"code": "not_readable", "message": f"dead letters {number}: {why}"})


def _found(page: PageIn, headers: Sequence[Paged]) -> list[PagedHeader]:
    return [PagedHeader(one.header, Ref(page.file, one.offset, one.length)) for one in headers]


def _json(token: int, status: int, body: object) -> ev.Reply:
    return ev.Reply(token, status, msgspec.json.encode(body), (("content-type", "application/json"),))


class North:
    """Executes what the uplink asks for; feeds it what the disk answers.

    Attributes:
        outbox: The sender's state, None at a root.
        uplink: The child's end of the link, None at a root.
        reached_ns: Monotonic time at which the link came up last.
        forwarding: How long blocks take to be answered.
    """

    def __init__(self, outbox: Outbox | None, uplink: Uplink | None) -> None:
        self.outbox = outbox
        self.uplink = uplink
        self.reached_ns: int | None = None
        self.link_downs = 0
        self.trouble = Trouble()
        self._wire_booked = 0
        self.forwarding = Forwarding()
        self._reads: dict[int, list[BlockEntry]] = {}
        self._pages: dict[int, PageIn] = {}
        self._damaged: dict[int, PageIn] = {}
        self._damaged_runs: dict[int, tuple[int, int]] = {}
        self._runs: dict[int, tuple[int, int]] = {}
        self._dirty = False

    # ── events ─────────────────────────────────────────────────────────────────────────────────────
    def start(self, node: Node, now: Instant) -> None:
        """Begin to dial."""
        if self.uplink is not None:
            self._do(node, self.uplink.start(node.parts.epoch, node.parts.last_epoch, now), now)

    def connected(self, node: Node, connection: int, now: Instant) -> None:
        """The dial succeeded."""
        if self.uplink is not None:
            self._do(node, self.uplink.connected(connection, now), now)

    def dial_failed(self, node: Node, reason: str, now: Instant) -> None:
        """The parent could not be reached."""
        if self.uplink is not None:
            self.trouble.failed(node, reason, now)
            self._do(node, self.uplink.dial_failed(now), now)

    def received(self, node: Node, connection: int, data: bytes, now: Instant) -> None:
        """Bytes of the parent."""
        if self.uplink is not None:
            self._do(node, self.uplink.received(connection, data, now, node.draft), now)
            if self.outbox is not None:
                self.forwarding.answered(self.outbox, node.stages, self.reached_ns, now)
            restores.ask(node)
            self._dirty = True

    def closed(self, node: Node, connection: int, reason: str, now: Instant) -> None:
        """The connection to the parent is gone."""
        if self.uplink is not None:
            self.trouble.ended = reason
            self._do(node, self.uplink.closed(connection, reason, now), now)

    def unwritten(self, node: Node, waiting_bytes: int, now: Instant) -> None:
        """So much waits in the socket: live blocks must not stand behind more backlog than that."""
        if self.uplink is not None and self.uplink.paused != (waiting_bytes > BEHIND_BYTES):
            self._do(node, self.uplink.pause(waiting_bytes > BEHIND_BYTES, now), now)

    def committed(self, node: Node, n: int, now: Instant) -> None:
        """Commit n is durable."""
        if self.outbox is not None and self.uplink is not None:
            self.outbox.committed(n, now)
            self.forwarding.committed(self.outbox, now)
            self._do(node, self.uplink.committed(n, now), now)

    def read(self, node: Node, event: ev.BlocksRead | ev.PageRead, now: Instant) -> None:
        """What was asked of the disk for the uplink."""
        if isinstance(event, ev.BlocksRead):
            asked = self._reads.pop(event.token, None)
            if asked is None:
                return  # asked for on a connection that is gone
            for entry, block in zip(asked, event.blocks, strict=True):
                if block is None:
                    self._lost(node, entry, event.error, now)
                else:
                    header, body, sids = block
                    self._give(node, entry, header, body, sids, now)
        elif (run := self._runs.pop(event.token, None)) is not None:
            self._run_read(node, *run, event, now)
        elif (run := self._damaged_runs.pop(event.token, None)) is not None:
            self._run_lost(node, *run, event, now)
        elif (page := self._pages.pop(event.token, None)) is not None:
            self._paged(node, page, event.page, event.error, now)
        elif (page := self._damaged.pop(event.token, None)) is not None:
            self._page_lost(node, page, event.page, now)

    def next_wake(self, node: Node) -> int | None:
        """Monotonic ns of the next timer of outbox or uplink."""
        if self.outbox is None or self.uplink is None:
            return None
        dues = [self.uplink.next_wake()]
        if node.commits.in_flight is None and not node.commits.stalled:
            dues.append(self.outbox.next_wake())
        return min((due for due in dues if due is not None), default=None)

    def wake(self, node: Node, now: Instant) -> None:
        """Timers."""
        if self.outbox is None or self.uplink is None:
            return
        due = self.outbox.next_wake()
        if due is not None and due <= now.monotonic_ns and not node.commits.stalled:
            self._alarms(node, self.outbox.wake(now, node.draft))
            self._dirty = True
        self._do(node, self.uplink.wake(now), now)

    def pump(self, node: Node, now: Instant) -> None:
        """Send what has become sendable by the event in hand."""
        if self._dirty and self.uplink is not None:
            self._dirty = False
            self._do(node, self.uplink.pump(now), now)

    def stop(self, node: Node, now: Instant) -> None:
        """Say goodbye."""
        if self.uplink is not None:
            self._do(node, self.uplink.stop(now), now)

    @property
    def wire_unbooked(self) -> int:
        """Bytes sent that no commit has in its books yet."""
        return self.uplink.bytes_sent - self._wire_booked if self.uplink is not None else 0

    def book_wire(self, draft: Draft) -> None:
        """What was sent since the last commit; a crash forgets at most that."""
        sent = self.wire_unbooked
        if sent:
            self._wire_booked += sent
            draft.book(Account.WIRE, "", 0, "", 0, sent)

    @property
    def up(self) -> bool:
        """Whether the parent has welcomed us."""
        return self.uplink is not None and self.uplink.phase is Phase.UP

    def stir(self) -> None:
        """Something may be sendable that was not: ask the outbox after this event."""
        self._dirty = True

    # ── what the uplink wants ──────────────────────────────────────────────────────────────────────
    def _do(self, node: Node, actions: Sequence[link.UplinkAction], now: Instant) -> None:
        reads: list[BlockEntry] = []
        for action in actions:
            match action:
                case link.Send(connection, data):
                    node.emit(ev.Send(connection, data))
                case link.ReadBlock(entry):
                    reads.append(entry)
                case link.ReadPage(page):
                    self._ask_page(node, page)
                case link.Close(connection, reason):
                    self.trouble.ended = reason
                    node.emit(ev.Close(connection, reason))
                case link.Dial():
                    node.emit(ev.Dial())
                case link.Up(parent, version):
                    self.reached_ns = now.monotonic_ns
                    self.trouble = Trouble()
                    self._forget_hints(node)
                    node.say("info", "link_up", parent=parent.name, version=version)
                    node.established_parent()
                    node.parts.reloading.connected(node, now)
                    self._dirty = True
                case link.Down(reason):
                    self.link_downs += 1
                    self._reads.clear()
                    self._pages.clear()
                    self._damaged.clear()
                    node.say("warning", "link_down", reason=reason)
                case link.PeerClock(wall_ns, trusted, within_ns):
                    if trusted and not now.trusted:
                        node.emit(ev.Believe(wall_ns + within_ns // 2))
                case link.StoredUpTo(stream, p):
                    self._stored(node, stream, p)
                case link.Settle(number, verdicts):
                    restores.decide(node, verdicts)
                    if self.uplink is not None:
                        self.uplink.noted(number, node.draft.n)
                case link.Intent():
                    node.intent(action, now)
                case Alarm(kind, detail):
                    node.alarm(kind, detail)
        if reads:
            self._read_blocks(node, reads, now)
        if self.uplink is not None:
            self.trouble.watch(node, self.uplink.phase, now)

    def _stored(self, node: Node, stream: StreamKey, p: int) -> None:
        """The cloud has applied this: it goes first when room is needed, and children are told."""
        if self.outbox is not None:
            self.outbox.state.stored_up_to(stream, p)
        if node.parts.south.children.stored is not None:
            node.parts.south.children.stored.told(stream, p)

    def _forget_hints(self, node: Node) -> None:
        """What one parent said is not what another says, or the same after it was restored."""
        if self.outbox is not None:
            self.outbox.state.stored.clear()
        if node.parts.south.children.stored is not None:
            node.parts.south.children.stored.forget()

    def _read_blocks(self, node: Node, entries: list[BlockEntry], now: Instant) -> None:
        """From the cache at once; the rest in one read of the disk."""
        asked: list[BlockEntry] = []
        refs = []
        here = []
        for entry in entries:
            cached = node.parts.shelving.cache.take((entry.ref.space, entry.ref.at))
            if cached is not None:
                here.append((entry, cached))
                continue
            ref = block_at(node.parts.places, entry.ref, entry.stream.priority)
            if ref is None:
                self._lost(node, entry, "its place is not known", now)
            else:
                asked.append(entry)
                refs.append(ref)
        if refs:
            token = node.token()
            self._reads[token] = asked
            node.emit(ev.ReadBlocks(token, tuple(refs)))
        for entry, (header, body, sids) in here:
            self._give(node, entry, header, body, sids, now)

    def _give(
        self,
        node: Node,
        entry: BlockEntry,
        header: BlockHeader,
        body: bytes,
        sids: Iterable[int],
        now: Instant,
    ) -> None:
        assert self.uplink is not None
        self._do(node, self.uplink.block_read(entry, header, body, frozenset(sids), now), now)

    def _lost(self, node: Node, entry: BlockEntry, error: str, now: Instant) -> None:
        assert self.uplink is not None
        assert self.outbox is not None
        node.alarm("corrupt", f"block at {entry.stream} position {entry.p}: {error}")
        self._do(node, self.uplink.block_lost(entry, now), now)
        self.outbox.unreadable(entry.stream, entry.p, node.draft)
        self._dirty = True

    def _ask_page(self, node: Node, page: PageIn) -> None:
        directory = outbox_directory(Priority(page.stream.priority))
        token = node.token()
        self._pages[token] = page
        _, number = file_number(page.file)
        end = node.parts.shelving.files.end(page.stream.priority, number)
        node.emit(ev.ReadPage(token, path_of(directory, number), number, page.at, end, page.count))

    def _paged(self, node: Node, page: PageIn, headers: Sequence[Paged], error: str, now: Instant) -> None:
        assert self.outbox is not None
        if headers:
            found = _found(page, headers)
            self.outbox.paged(page.stream, page.p, found, headers[-1].offset + headers[-1].length)
            self._dirty = True
            return
        region = self.outbox.page_damaged(page.stream, page.p)
        if region is None:
            return
        node.alarm("corrupt", f"{page.stream} position {page.p}: {error or 'no header where one was noted'}")
        token = node.token()
        self._damaged[token] = page
        path, number, _ = self._file(node, page)
        at, end = region
        node.emit(ev.ReadPage(token, path, number, at, end, RUN_MAX, around=True))

    def _page_lost(self, node: Node, page: PageIn, headers: Sequence[Paged], now: Instant) -> None:
        """What verifies of a damaged run is known: the rest is given up, and the lane goes on."""
        assert self.outbox is not None
        node.begin(now)
        self._alarms(node, self.outbox.page_lost(page.stream, page.p, _found(page, headers), now, node.draft))
        self._dirty = True

    def _file(self, node: Node, page: PageIn) -> tuple[str, int, int]:
        """Path, number and noted length of the file of a page."""
        _, number = file_number(page.file)
        priority = page.stream.priority
        path = path_of(outbox_directory(Priority(priority)), number)
        return path, number, node.parts.shelving.files.end(priority, number)

    def resend_run(self, node: Node, number: int, asked: int) -> None:
        """Send a run that expired unread again, a page at a time; question `asked` is answered at its end."""
        assert self.outbox is not None
        run = next(item for item in self.outbox.dead_runs() if item.number == number)
        if run.info.skipped:
            self._survey_run(node, run, asked)  # where its first record begins is not known
            return
        priority, file = file_number(run.info.file)
        token = node.token()
        self._runs[token] = number, asked
        path = path_of(outbox_directory(Priority(priority)), file)
        end = run.info.at + run.info.length
        node.emit(ev.ReadPage(token, path, file, run.info.at, end, min(run.blocks, RUN_PAGE)))

    def _run_read(self, node: Node, number: int, asked: int, event: ev.PageRead, now: Instant) -> None:
        assert self.outbox is not None
        run = next((item for item in self.outbox.dead_runs() if item.number == number), None)
        if run is None:
            node.emit(resend_failed(asked, number, "its file is gone"))
            return
        if event.error and not event.page:
            self._survey_run(node, run, asked)
            return
        node.begin(now)
        found = [PagedHeader(one.header, Ref(run.info.file, one.offset, one.length)) for one in event.page]
        next_at = event.page[-1].offset + event.page[-1].length
        left = self.outbox.resend_page(number, found, next_at, now, node.draft)
        self.stir()
        if left is not None:
            self.resend_run(node, number, asked)
        else:
            node.after(node.draft.n, resent(asked, number))

    def _survey_run(self, node: Node, run: DeadRun, asked: int) -> None:
        """The next header of a dead run cannot be read: look for all that can."""
        priority, file = file_number(run.info.file)
        token = node.token()
        self._damaged_runs[token] = run.number, asked
        path = path_of(outbox_directory(Priority(priority)), file)
        end = run.info.at + run.info.length
        node.emit(ev.ReadPage(token, path, file, run.info.at, end, RUN_MAX, around=True))

    def _run_lost(self, node: Node, number: int, asked: int, event: ev.PageRead, now: Instant) -> None:
        assert self.outbox is not None
        run = next((item for item in self.outbox.dead_runs() if item.number == number), None)
        if run is None:
            node.emit(resend_failed(asked, number, "its file is gone"))
            return
        node.begin(now)
        found = [PagedHeader(one.header, Ref(run.info.file, one.offset, one.length)) for one in event.page]
        blocks, readings = self.outbox.resend_readable(number, found, now, node.draft)
        self.stir()
        told = f"{blocks} blocks, {readings} readings cannot be read ({event.error})"
        if blocks:
            node.alarm("corrupt", f"dead letters {number}: {told}")
        if blocks == run.blocks:
            node.emit(resend_failed(asked, number, told))
        else:
            node.after(node.draft.n, resent(asked, number))

    def _alarms(self, node: Node, alarms: Sequence[Alarm]) -> None:
        for alarm in alarms:
            node.alarm(alarm.kind, alarm.detail)

    def report(self, node: Node, status: IntentStatus, now: Instant) -> None:
        """Tell the parent what became of an intent."""
        if self.uplink is not None:
            self._do(node, self.uplink.report(status, now), now)
