"""An outbox alone: its commits, and a parent played by the test."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import msgspec

from headland.blocks.header import BlockHeader, Run
from headland.journal.draft import Draft
from headland.line.ledger import Ledger
from headland.line.outbox import Outbox, OutboxSettings, PagedHeader, SpillRun
from headland.line.outbox.rows import PIECE
from headland.link.contract import (
    Answer,
    BlockEntry,
    ExceptionAnswer,
    GapEntry,
    PageIn,
    ParentName,
    Ref,
    StreamKey,
    StreamWelcome,
)
from headland.vocabulary import Account, Columns, Instant, Priority

S = 1_000_000_000
T0 = 1_800_000_000 * S
PLENTY = (1 << 30,) * 4
PARENT = ParentName("parent", b"S" * 16)
FILE = 1 << 40


def joined(runs: Iterable[SpillRun]) -> list[SpillRun]:
    """Runs of a step each as the longest that could be noted."""
    out: list[SpillRun] = []
    for run in runs:
        last = out[-1] if out else None
        behind = last is not None and (last.stream, last.p_from + len(last.refs)) == (run.stream, run.p_from)
        if last is not None and behind and run.p_from % PIECE != 1:
            refs, ages = last.refs + run.refs, last.ages_ms + run.ages_ms
            out[-1] = SpillRun(last.stream, last.p_from, refs, ages)
        else:
            out.append(run)
    return out


class Desk:
    def __init__(self, settings: OutboxSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or OutboxSettings()
        self.random = Random(seed)
        self.ns = 10 * S
        self.n = 1
        self.outbox = Outbox("node", self.settings, self.random)
        self.outbox.boot(self.ns // 1_000_000, self.now)
        self.draft = Draft(1)
        self.ledger = Ledger()
        self.frames: list[tuple[int, int, list]] = []
        self.values = 0
        self.files: dict[int, list[BlockHeader]] = {}
        self.headers: dict[tuple[int, int], BlockHeader] = {}
        self.hurt: set[tuple[int, int]] = set()
        self.epoch = self.random.randbytes(16)
        self.outbox.open_epoch(self.epoch, b"", 0, self.draft)
        self.alarms: list = []

    @property
    def now(self) -> Instant:
        return Instant(self.ns, T0 + self.ns)

    def up(self, positions=(), parent: ParentName = PARENT) -> None:
        welcome = list(positions)
        if not welcome:
            for epoch in self.outbox.epochs():
                for s in epoch.streams:
                    key = StreamKey(epoch.epoch, s.priority, s.lane)
                    welcome.append(StreamWelcome(key, s.acked, s.chain))
        self.alarms += self.outbox.link_up(parent, welcome, self.now, self.draft)
        self.commit()

    def down(self) -> None:
        self.outbox.link_down(self.now)

    def keep(self, priority: Priority = Priority.NORMAL, rows: int = 1, groups=("g",)):
        columns = Columns()
        for _ in range(rows):
            self.values += 1
            columns.append(1, T0 + self.values, float(self.values), size=8)
        for account in (Account.OFFERED, Account.KEPT):
            self.draft.book(account, "g", priority, "r", rows, 8 * rows)
        self.draft.book(Account.PENDING, "", priority, "", rows, 8 * rows)
        run = Run(self.draft.n, T0 + self.ns, rows)
        born = self.outbox.age_clock(self.now)
        sealed = self.outbox.seal(priority, columns, [run], groups, born, self.now, self.draft)
        ref = self.outbox.state.find(sealed.stream).rows_at(sealed.p).row(sealed.p).ref
        self.headers[(ref.space, ref.at)] = sealed.header
        return sealed

    def commit(self) -> None:
        sections = self.draft.sections()
        self.frames.append((self.draft.n, self.ns // 1_000_000, sections))
        failed = self.ledger.apply(self.draft.ledger, 0)
        assert not failed, failed
        n = self.draft.n
        self.draft = Draft(n + 1)
        self.outbox.committed(n, self.now)

    def advance(self, seconds: float) -> None:
        self.ns += int(seconds * S)

    def wake(self) -> None:
        at = self.outbox.next_wake()
        if at is not None and at <= self.ns:
            self.alarms += self.outbox.wake(self.now, self.draft)
        self.commit()

    def send(self, limit: int = 10_000, credit=PLENTY) -> list[BlockEntry | GapEntry]:
        """Take everything that may leave, serving pages; heads that need a commit get one."""
        out: list[BlockEntry | GapEntry] = []
        stuck = 0
        while len(out) < limit and stuck < 3:
            entry = self.outbox.next_to_send(credit, self.now)
            match entry:
                case None:
                    stuck += 1
                    self.wake()
                case PageIn():
                    self.serve(entry)
                case BlockEntry():
                    self.outbox.sent(entry.stream, entry.p)
                    out.append(entry)
                    stuck = 0
                case GapEntry():
                    self.outbox.sent(entry.stream, entry.p_to)
                    out.append(entry)
                    stuck = 0
        return out

    def serve(self, page: PageIn) -> None:
        headers = self.files[page.file]
        found, at = [], page.at
        while len(found) < page.count and (page.file, at) not in self.hurt:
            header = headers[at]
            if (header.priority, header.lane) == (page.stream.priority, page.stream.lane):
                found.append(PagedHeader(header, Ref(page.file, at, 40)))
            at += 1
        if found:
            self.outbox.paged(page.stream, page.p, found, at)
        else:
            self.survey(page)

    def survey(self, page: PageIn) -> None:
        """A page that cannot be read: everything of its run that can."""
        region = self.outbox.page_damaged(page.stream, page.p)
        assert region is not None
        verified = [
            PagedHeader(header, Ref(page.file, at, 40))
            for at, header in enumerate(self.files[page.file])
            if region[0] <= at < region[1] and (page.file, at) not in self.hurt
        ]
        self.alarms += self.outbox.page_lost(page.stream, page.p, verified, self.now, self.draft)
        self.commit()

    def verified(self, file: int) -> list[PagedHeader]:
        """Every header of a file that can be read."""
        return [
            PagedHeader(header, Ref(file, at, 40))
            for at, header in enumerate(self.files[file])
            if (file, at) not in self.hurt
        ]

    def spill(self) -> int:
        number = FILE + len(self.files)
        headers = self.files[number] = []
        for run in joined(self.outbox.to_spill(lambda ref: ref.space < FILE, self.now)):
            refs = []
            for ref, age in zip(run.refs, run.ages_ms, strict=True):
                header = self.headers[(ref.space, ref.at)]
                refs.append(Ref(number, len(headers), 40))
                headers.append(msgspec.structs.replace(header, age_ms=age))
            self.outbox.spilled(run, refs, self.outbox.age_clock(self.now), self.draft)
        self.commit()
        return number

    def answer(self, stream: StreamKey, p: int, *exceptions: ExceptionAnswer, chain: bytes | None = None):
        found = self.outbox.state.find(stream)
        value = found.chain_at(p) if chain is None else chain
        alarms = self.outbox.answered([Answer(stream, p, value[:8], exceptions)], self.now, self.draft)
        self.commit()
        self.alarms += alarms
        return alarms

    def stream(self, priority: Priority = Priority.NORMAL, lane: int = 1):
        return self.outbox.state.find(StreamKey(self.epoch, priority, lane))

    def pending(self) -> int:
        return self.ledger.total(Account.PENDING)[0]

    def total(self, account: Account) -> int:
        return self.ledger.total(account)[0]

    def replayed(self, snapshot: bytes | None = None, after: int = 0) -> Outbox:
        """Another outbox made from the frames (and a snapshot)."""
        other = Outbox("node", self.settings, self.random)
        if snapshot is not None:
            other.restore(snapshot)
        for n, running_ms, sections in self.frames:
            if n > after:
                for index, section in enumerate(sections):
                    other.replay_section(section.type, section.data, n, index, running_ms)
        other.recovered()
        other.boot(self.ns // 1_000_000, self.now)
        return other

    def restart(self) -> None:
        """SIGKILL: what was not committed is gone, a new epoch begins."""
        predecessor, n = self.epoch, self.draft.n
        self.outbox = self.replayed()
        self.draft = Draft(n)
        self.epoch = self.random.randbytes(16)
        self.outbox.open_epoch(self.epoch, predecessor, n - 1, self.draft)
        self.commit()


def ks(entries) -> list[int]:
    return [entry.p for entry in entries]


__all__ = ["FILE", "PARENT", "PLENTY", "Desk", "Priority", "S", "ks"]
