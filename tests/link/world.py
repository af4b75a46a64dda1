"""A child and a parent on a pipe that can be cut at any byte; disks that keep exactly what was committed."""

from __future__ import annotations

from random import Random

import msgspec

from headland.blocks import codec
from headland.blocks.header import Run, decode_alone, encode_alone
from headland.blocks.wire import Reader
from headland.journal.draft import Draft
from headland.line.ledger import Ledger
from headland.line.outbox import Outbox, OutboxSettings
from headland.line.outbox.outbox import PagedHeader
from headland.link import actions as act
from headland.link import received
from headland.link.children import Children, ChildrenSettings
from headland.link.contract import Alarm, DraftLike, Ref
from headland.link.uplink import Uplink, UplinkSettings
from headland.vocabulary import Account, Columns, Instant, Lane, Priority, SeriesKey

S = 1_000_000_000
T0 = 1_800_000_000 * S


class Clock:
    def __init__(self) -> None:
        self.ns = 10 * S

    @property
    def now(self) -> Instant:
        return Instant(self.ns, T0 + self.ns)

    def advance(self, seconds: float) -> None:
        self.ns += int(seconds * S)


class Frame:
    def __init__(self, epoch: bytes, draft: Draft, running_ms: int) -> None:
        self.epoch = epoch
        self.n = draft.n
        self.running_ms = running_ms
        self.sections = draft.sections()
        self.ledger = {key: amount[:] for key, amount in draft.ledger.items()}
        self.bodies: dict[tuple[int, int], bytes] = {}


class Node:
    """Commits: `draft` is open, at most one is in flight; what is finished is on `frames`."""

    def __init__(self, clock: Clock, random: Random, frames: list[Frame] | None = None) -> None:
        self.clock = clock
        self.random = random
        self.frames: list[Frame] = frames if frames is not None else []
        self.checkpoint: tuple[int, list[bytes]] | None = None
        self.epoch = random.randbytes(16)
        self.n = self.frames[-1].n + 1 if self.frames else 1
        self.draft = Draft(self.n)
        self.in_flight: Frame | None = None
        self.alarms: list[Alarm] = []
        self.ledger = Ledger()
        self.index = {frame.n: frame for frame in self.frames}
        self.bodies: dict[tuple[int, int], bytes] = {}

    @property
    def now(self) -> Instant:
        return self.clock.now

    def close_commit(self) -> None:
        if self.in_flight is None and not self.draft.empty:
            self.in_flight = Frame(self.epoch, self.draft, self.clock.ns // 1_000_000)
            self.in_flight.bodies = {key: b for key, b in self.bodies.items() if key[0] == self.draft.n}
            self.n += 1
            self.draft = Draft(self.n)

    def finish_commit(self) -> None:
        frame, self.in_flight = self.in_flight, None
        if frame is not None:
            self.frames.append(frame)
            self.index[frame.n] = frame
            failed = self.ledger.apply(frame.ledger, 0)
            assert not failed, failed
            self.on_committed(frame.n)

    def commit(self) -> None:
        self.finish_commit()
        self.close_commit()
        self.finish_commit()

    def on_committed(self, n: int) -> None:
        raise AssertionError

    def section(self, n: int, index: int) -> bytes:
        return self.index[n].sections[index].data


class ChildNode(Node):
    def __init__(
        self,
        clock: Clock,
        random: Random,
        frames: list[Frame] | None = None,
        *,
        name: str = "child",
        outbox: OutboxSettings | None = None,
        checkpoint: bytes | None = None,
        checkpoint_n: int = 0,
        files: dict[int, list[tuple[bytes, bytes]]] | None = None,
        metered: bool = False,
    ) -> None:
        super().__init__(clock, random, frames)
        self.name = name
        self.files: dict[int, list[tuple[bytes, bytes]]] = files if files is not None else {}
        self.settings = outbox or OutboxSettings()
        self.outbox = Outbox(name, self.settings, random)
        predecessor, predecessor_n = b"", 0
        if checkpoint is not None:
            self.outbox.restore(checkpoint)
        for frame in self.frames:
            self.ledger.apply(frame.ledger, 0)
            self.bodies.update(frame.bodies)
            predecessor, predecessor_n = frame.epoch, frame.n
            if frame.n <= checkpoint_n:
                continue
            for index, section in enumerate(frame.sections):
                self.outbox.replay_section(section.type, section.data, frame.n, index, frame.running_ms)
        self.outbox.recovered()
        self.outbox.boot(clock.ns // 1_000_000, self.now)
        self.predecessor = predecessor
        self.predecessor_n = predecessor_n
        self.opened = False
        self.dial = False
        self.to_send: list[act.Send] = []
        self.close = False
        self.reads_paused = False
        self.reading = False
        self.pending_reads: list[act.ReadBlock | act.ReadPage] = []
        self.intents: list[act.Intent] = []
        self.ups = self.downs = 0
        self.values = 0
        self.uplink = Uplink(
            UplinkSettings(node=name, coalesce_s=0.0, metered=metered), self.outbox, self.series_of, random
        )

    def open_epoch(self) -> None:
        if not self.opened:
            self.opened = True
            self.outbox.open_epoch(self.epoch, self.predecessor, self.predecessor_n, self.draft)

    def series_of(self, origin: str, epoch: bytes, sid: int) -> SeriesKey:
        return SeriesKey(f"{origin}.s{sid}")

    def keep(self, priority: Priority = Priority.NORMAL, rows: int = 1, *, body: bytes | None = None):
        """Rows arrive, are kept and sealed in the open commit."""
        self.open_epoch()
        columns = Columns()
        for _ in range(rows):
            self.values += 1
            columns.append(1 + self.values % 3, T0 + self.clock.ns, float(self.values), size=8)
        for account in (Account.OFFERED, Account.KEPT):
            self.draft.book(account, "g", priority, "r", rows, 8 * rows)
        self.draft.book(Account.PENDING, "", priority, "", rows, 8 * rows)
        sealed = self.outbox.seal(
            priority,
            columns,
            [Run(self.draft.n, T0 + self.clock.ns, rows)],
            ["g"],
            self.outbox.age_clock(self.now),
            self.now,
            self.draft,
        )
        ref = self.outbox.state.find(sealed.stream).rows_at(sealed.p).row(sealed.p).ref
        made = codec.compress(priority, codec.encode(columns, codec.Codec.AUTO, sealed.header.base_ns))
        self.bodies[(ref.space, ref.at)] = made if body is None else body
        return sealed

    def on_committed(self, n: int) -> None:
        self.outbox.committed(n, self.now)
        self.do(self.uplink.committed(n, self.now))

    def do(self, actions: list[object]) -> None:
        for action in actions:
            match action:
                case act.Dial():
                    self.dial = True
                case act.Send():
                    self.to_send.append(action)
                case act.Close():
                    self.close = True
                case act.ReadBlock() | act.ReadPage():
                    self.pending_reads.append(action)
                case act.Up():
                    self.ups += 1
                case act.Down():
                    self.downs += 1
                case act.Intent():
                    self.intents.append(action)
                case Alarm():
                    self.alarms.append(action)
        if not self.reads_paused:
            self.read_all()

    def read_all(self) -> None:
        if self.reading:
            return
        self.reading = True
        while self.pending_reads:
            self.read_one(self.pending_reads.pop(0))
        self.reading = False

    def body_of(self, ref: Ref) -> tuple[bytes, bytes]:
        if ref.space >= FILE:
            return self.files[ref.space][ref.at]
        return self.section(ref.space, ref.at), self.bodies[(ref.space, ref.at)]

    def read_one(self, action: act.ReadBlock | act.ReadPage) -> None:
        if isinstance(action, act.ReadPage):
            page = action.page
            found, at = [], page.at
            while len(found) < page.count:
                head, body = self.files[page.file][at]
                header = decode_alone(Reader(head))
                if (header.priority, header.lane) == (page.stream.priority, page.stream.lane):
                    found.append(PagedHeader(header, Ref(page.file, at, len(body))))
                at += 1
            self.outbox.paged(page.stream, page.p, found, at)
            self.do(self.uplink.pump(self.now))
            return
        entry = action.entry
        head, body = self.body_of(entry.ref)
        header = decode_alone(Reader(head))
        self.do(self.uplink.block_read(entry, header, body, {1, 2, 3}, self.now))

    def spill(self, up_to_n: int) -> None:
        """Copy the blocks of old commits to a new file, noted in the open commit."""
        number = FILE + len(self.files)
        blocks = self.files[number] = []
        now_ms = self.outbox.age_clock(self.now)
        for run in list(self.outbox.to_spill(lambda ref: ref.space <= up_to_n, self.now)):
            refs = []
            for ref, age in zip(run.refs, run.ages_ms, strict=True):
                head, body = self.body_of(ref)
                header = msgspec.structs.replace(
                    decode_alone(Reader(head)), age_ms=age, lane=Lane(run.stream.lane)
                )
                refs.append(Ref(number, len(blocks), len(body)))
                blocks.append((encode_alone(header), body))
            self.outbox.spilled(run, refs, now_ms, self.draft)

    def crash(self) -> None:
        """Power is gone: the commit in flight may or may not be on disk."""
        frame, self.in_flight = self.in_flight, None
        if frame is not None and self.random.random() < 0.5:
            self.frames.append(frame)

    def save(self) -> tuple[bytes, int] | None:
        """A checkpoint, where one may be taken."""
        if self.in_flight is not None or not self.draft.empty:
            return None
        return self.outbox.snapshot(), self.n - 1

    def wake(self) -> None:
        at = self.outbox.next_wake()
        if at is not None and at <= self.clock.ns:
            if self.outbox.state.due:
                self.open_epoch()
            self.alarms += self.outbox.wake(self.now, self.draft)
        self.do(self.uplink.wake(self.now))
        self.do(self.uplink.pump(self.now))


FILE = 1 << 40


class ParentNode(Node):
    def __init__(
        self,
        clock: Clock,
        random: Random,
        frames: list[Frame] | None = None,
        *,
        store: bytes = b"S" * 16,
        window: int = 1 << 20,
        checkpoint: bytes | None = None,
        checkpoint_n: int = 0,
    ) -> None:
        super().__init__(clock, random, frames)
        self.unauthorised: set[str] = set()
        self.children = Children(
            ChildrenSettings(node="parent", store=store, window=window),
            lambda child, origin: origin not in self.unauthorised,
        )
        if checkpoint is not None:
            self.children.restore(checkpoint)
        self.delivered: list[received.ReceivedBlock | received.ReceivedGap] = []
        for frame in self.frames:
            self.ledger.apply(frame.ledger, 0)
            for section in frame.sections:
                if section.type == received.SECTION:
                    self.delivered.append(received.decode(section.data))
                if frame.n <= checkpoint_n:
                    continue
                if section.type == received.SECTION:
                    self.children.replay_received(section.data)
                elif section.type == 6:
                    self.children.replay(section.data[5:])
        self.children.recovered()
        self.out: dict[int, list[bytes]] = {}
        self.closes: set[int] = set()
        self.definitions: dict[tuple[str, bytes, int], SeriesKey] = {}
        self.reported: list[act.Reported] = []

    def crash(self) -> None:
        frame, self.in_flight = self.in_flight, None
        if frame is not None and self.random.random() < 0.5:
            self.frames.append(frame)

    def save(self) -> tuple[bytes, int] | None:
        if self.in_flight is not None or not self.draft.empty:
            return None
        return self.children.snapshot(), self.n - 1

    def on_committed(self, n: int) -> None:
        for frame in self.frames[-1:]:
            self.delivered += [
                received.decode(item.data) for item in frame.sections if item.type == received.SECTION
            ]
        self.do(self.children.committed(n, self.now))

    def do(self, actions: list[object]) -> None:
        for action in actions:
            match action:
                case act.Send():
                    self.out.setdefault(action.connection, []).append(action.data)
                case act.Close():
                    self.closes.add(action.connection)
                case act.Deliver():
                    self.deliver(action, self.draft)
                case act.Reported():
                    self.reported.append(action)
                case Alarm():
                    self.alarms.append(action)

    def deliver(self, action: act.Deliver, draft: DraftLike) -> None:
        for item in action.definitions:
            for sid, key in item.series:
                self.definitions[(item.origin, item.epoch, sid)] = key
        draft.section(received.SECTION, received.encode(action.item))
        if isinstance(action.item, received.ReceivedBlock):
            header = action.item.header
            draft.book(Account.RECEIVED, "", header.priority, "", header.rows, header.size)
            draft.book(Account.UNAPPLIED, "", header.priority, "", header.rows, header.size)

    def wake(self) -> None:
        at = self.children.next_wake()
        if at is not None and at <= self.clock.ns:
            self.do(self.children.wake(self.now, self.draft))


class Pair:
    """A child, a parent, and at most one connection between them."""

    def __init__(self, seed: int = 0, **child: object) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        self.child_options = child
        self.child = ChildNode(self.clock, self.random, **child)  # type: ignore[arg-type]
        self.parent = ParentNode(self.clock, self.random)
        self.connection = -1
        self.next_connection = 0
        self.north = bytearray()
        self.south = bytearray()
        self.reachable = True
        self.bytes_north = self.bytes_south = self.writes_north = 0
        self.start_child()

    def start_child(self) -> None:
        child = self.child
        child.do(child.uplink.start(child.epoch, child.predecessor, self.clock.now))

    def gather(self) -> None:
        """Move what both sides wrote into the pipe; connect and disconnect."""
        child, parent = self.child, self.parent
        if child.dial:
            child.dial = False
            if not self.reachable:
                child.do(child.uplink.dial_failed(self.clock.now))
            else:
                self.connection = self.next_connection
                self.next_connection += 1
                self.north, self.south = bytearray(), bytearray()
                parent.do(parent.children.opened(self.connection, child.name, self.clock.now))
                child.do(child.uplink.connected(self.connection, self.clock.now))
        for send in child.to_send:
            if send.connection == self.connection:
                self.north += send.data
                self.bytes_north += len(send.data)
                self.writes_north += 1
        child.to_send.clear()
        for data in parent.out.pop(self.connection, []):
            self.south += data
            self.bytes_south += len(data)
        parent.out.clear()
        if self.connection >= 0 and (child.close or self.connection in parent.closes):
            self.flow(None)
            self.cut()
        child.close = False

    def flow(self, limit: int | None = None) -> bool:
        """Carry up to `limit` bytes each way; whether anything moved."""
        if self.connection < 0:
            return False
        child, parent, connection = self.child, self.parent, self.connection
        north = bytes(self.north[:limit] if limit is not None else self.north)
        south = bytes(self.south[:limit] if limit is not None else self.south)
        del self.north[: len(north)]
        del self.south[: len(south)]
        if north:
            parent.do(parent.children.received(connection, north, self.clock.now, parent.draft))
        if south:
            child.open_epoch()
            child.do(child.uplink.received(connection, south, self.clock.now, child.draft))
        return bool(north or south)

    def cut(self) -> None:
        """The connection breaks; bytes on their way are lost."""
        connection, self.connection = self.connection, -1
        self.north, self.south = bytearray(), bytearray()
        if connection >= 0:
            self.child.do(self.child.uplink.closed(connection, "cut", self.clock.now))
            self.parent.do(self.parent.children.closed(connection, "cut", self.clock.now))

    def step(self, seconds: float = 0.01) -> None:
        """One calm round: everything flows, both sides commit."""
        self.gather()
        self.flow()
        self.child.commit()
        self.parent.commit()
        self.clock.advance(seconds)
        self.child.wake()
        self.parent.wake()

    def run(self, seconds: float, step: float = 0.05) -> None:
        end = self.clock.ns + int(seconds * S)
        while self.clock.ns < end:
            self.step(step)

    def restart_child(self, frames: list[Frame] | None = None, **options: object) -> None:
        """SIGKILL and start again from what is on disk."""
        self.drop_connection_silently()
        self.clock.advance(0.001)
        old = self.child
        kept = old.frames if frames is None else frames
        merged = {**self.child_options, "files": old.files, **options}
        self.child = ChildNode(self.clock, self.random, kept, **merged)  # type: ignore[arg-type]
        self.child.values = old.values
        self.start_child()

    def restart_parent(self, frames: list[Frame] | None = None, **options: object) -> None:
        """The same for the parent."""
        self.drop_connection_silently()
        self.clock.advance(0.001)
        kept = self.parent.frames if frames is None else frames
        unauthorised, refusing = self.parent.unauthorised, self.parent.children.refusing
        self.parent = ParentNode(self.clock, self.random, kept, **options)  # type: ignore[arg-type]
        self.parent.unauthorised = unauthorised
        self.parent.children.refusing = refusing

    def drop_connection_silently(self) -> None:
        self.cut()


def blocks_of(parent: ParentNode) -> list[tuple[str, int, int, int]]:
    """(stream, p, k, lane) of every delivered block."""
    return [
        (str(item.stream), item.p, item.header.k, item.stream.lane)
        for item in parent.delivered
        if isinstance(item, received.ReceivedBlock)
    ]


def delivered_identities(parent: ParentNode) -> list[tuple[str, bytes, int, int]]:
    return [
        (item.header.origin, item.header.epoch, int(item.header.priority), item.header.k)
        for item in parent.delivered
        if isinstance(item, received.ReceivedBlock)
    ]


__all__ = [
    "FILE",
    "T0",
    "ChildNode",
    "Clock",
    "Lane",
    "Pair",
    "ParentNode",
    "S",
    "blocks_of",
    "delivered_identities",
]
