"""What one connection of a child has under way: bodies being read, credit, numbering, unwritten bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

from headland.blocks.header import BlockHeader, HeaderWriter
from headland.link import bounds, protocol
from headland.link.actions import ReadBlock, ReadPage, UplinkAction
from headland.link.contract import BlockEntry, EpochHello, GapEntry, Outgoing, PageIn, SendEntry, StreamKey
from headland.link.frames import Kind, put_frame
from headland.link.pacing import READ_URGENT, Pacing, weight_of
from headland.link.protocol import Point
from headland.vocabulary import Instant, Lane, PeerError, Priority, SeriesKey

DIGEST_FROM_ROWS = 32
"""Blocks of fewer rows travel without their digest; the chain value in the ack still proves it."""
HELLO_EPOCHS = bounds.MAX_EPOCHS // 2
"""Epochs in one hello; others may be opened while the connection lasts."""
BURST = 32 * 1024
"""Bytes of backlog put on a connection at once: what a live block may have to wait behind, beside buffers."""
READ_WEIGHT_MIN = 4096
"""What a block counts at least towards the bound on reading ahead: a small one is work, too."""
DEFINE_MAX = 256
"""Series in one DEFINE."""
LIVE_RESERVE = 64 << 10
"""Credit of a class that backlog leaves for its live lane: at most a quarter of what was granted last."""

SeriesLookup = Callable[[str, bytes, int], SeriesKey]


class _Slot:
    """An entry on its way out; `ready` once its body is here."""

    __slots__ = ("asked_ns", "body", "entry", "header", "ready", "sids", "weight")

    def __init__(self, entry: SendEntry, asked_ns: int) -> None:
        self.entry = entry
        self.asked_ns = asked_ns
        self.weight = max(entry.size, READ_WEIGHT_MIN) if isinstance(entry, BlockEntry) else 0
        self.header: BlockHeader | None = None
        self.body = b""
        self.sids: Collection[int] = ()
        self.ready = isinstance(entry, GapEntry)


class Sending:
    """The outgoing half of one connection.

    Attributes:
        out: Bytes to be written.
        granted: Bytes of BLOCK frames that the parent allows, per class, since the connection began.
        blocks: Blocks put into `out` so far.
        more: Backlog is ready and waits for the next burst.
        pacing: How much backlog may be under way.
        exhausted: The next block's origin has no number left, or its stream was not compared: nothing more
            is taken, and the connection has to be made anew.
        stuck: Not even what is ready can be sent.
    """

    def __init__(
        self, outgoing: Outgoing, series_of: SeriesLookup, with_digests: bool, read_ahead: int
    ) -> None:
        self.out = bytearray()
        self.granted = [0, 0, 0, 0]
        self.blocks = 0
        self.more = False
        self.exhausted = False
        self.stuck = False
        self.pacing = Pacing()
        self._outgoing = outgoing
        self._series_of = series_of
        self._with_digests = with_digests
        self._read_ahead = read_ahead
        self._ahead = [read_ahead, read_ahead]
        self._unnamed: frozenset[bytes] = frozenset()
        self._writer = HeaderWriter()
        self._epochs: dict[bytes, int] = {}
        self._names: list[bytes] = []
        self._turns: dict[int, tuple[bytes, int]] = {}
        self._queues: dict[StreamKey, deque[_Slot]] = {}
        self._unread: dict[tuple[StreamKey, int], _Slot] = {}
        self._under_way = [0, 0]
        self._cut_short = [False, False]
        self._spent = [0, 0, 0, 0]
        self._window = [0, 0, 0, 0]
        self._reserved = [0, 0, 0, 0]
        self._defined: dict[tuple[str, bytes], set[int]] = {}

    def greet(self, epochs: list[EpochHello]) -> tuple[EpochHello, ...]:
        """The epochs that a hello names: all, or of very many the current one and those whose turn is next.

        The rest is compared on a later connection, which is made when its turn comes.
        """
        chosen = {item.epoch for item in epochs[-1:]}
        for epoch in [*_by_turn(epochs), *(item.epoch for item in reversed(epochs))]:
            if len(chosen) < HELLO_EPOCHS:
                chosen.add(epoch)
        named = [item for item in epochs if item.epoch in chosen]
        self._unnamed = frozenset(item.epoch for item in epochs) - {item.epoch for item in named}
        self.name_epochs(named)
        return tuple(named)

    @property
    def partial(self) -> bool:
        """Whether the hello did not name every epoch."""
        return bool(self._unnamed)

    def name_epochs(self, epochs: Collection[EpochHello]) -> None:
        """Number epochs in the order in which the peer learns of them."""
        for item in epochs:
            self._epochs[item.epoch] = len(self._names)
            self._names.append(item.epoch)

    def index(self, epoch: bytes) -> int:
        """Number of an epoch; one that the peer has not heard of is announced first."""
        number = self._epochs.get(epoch)
        if number is None:
            known = next(item for item in self._outgoing.epochs() if item.epoch == epoch)
            protocol.put(self.out, EpochHello(known.epoch, known.predecessor, known.predecessor_n))
            self.name_epochs([known])
            number = self._epochs[epoch]
        return number

    def key(self, index: int, priority: int, lane: int) -> StreamKey:
        """The stream that a peer's message names.

        Raises:
            PeerError: No such epoch was announced.
        """
        if index >= len(self._names):
            raise PeerError(f"epoch number {index}")
        return StreamKey(self._names[index], priority, lane)

    def open_at(self, key: StreamKey, p: int, chain: bytes) -> None:
        """Tell a parent without history where a stream begins."""
        index = self.index(key.epoch)
        protocol.put(self.out, protocol.Open(key.priority << 1 | key.lane, index, p, chain))

    def allow(self, priority: int, total: int) -> None:
        """The parent has granted so many bytes of a class since the connection began."""
        self.granted[priority] = max(self.granted[priority], total)
        self._window[priority] = self.granted[priority] - self._spent[priority]

    def pull(self, now: Instant) -> list[UplinkAction]:
        """Take what may be sent from the outbox, as far as credit and read-ahead allow."""
        actions: list[UplinkAction] = []
        self._cut_short = [True, True]
        hurried = self.pacing.rests.hurried(now.monotonic_ns)
        self._ahead[Lane.BACKLOG] = min(self._read_ahead, READ_URGENT) if hurried else self._read_ahead
        while self._room(Lane.LIVE) and not self.exhausted:
            backlog = self._room(Lane.BACKLOG) and self.pacing.rests.over(now.monotonic_ns)
            credit = [g - s - r for g, s, r in zip(self.granted, self._spent, self._reserved, strict=True)]
            least = [min(LIVE_RESERVE, window // 4) for window in self._window]
            left = [c - r if backlog else 0 for c, r in zip(credit, least, strict=True)]
            entry = self._outgoing.next_to_send(credit, now, left)
            match entry:
                case None:
                    self._cut_short = [False, not backlog]
                    break
                case PageIn():
                    actions.append(ReadPage(entry))
                case _ if entry.stream.epoch in self._unnamed:
                    self.exhausted = True
                case BlockEntry():
                    self._queue(entry, now)
                    self._reserved[entry.stream.priority] += entry.size
                    actions.append(ReadBlock(entry))
                case GapEntry():
                    self._queue(entry, now)
        return actions

    def _room(self, lane: Lane) -> bool:
        return self._under_way[lane] < self._ahead[lane]

    def next_pull(self) -> int | None:
        """Monotonic ns at which `pull` may take more than it did; 0 for now, None until something happens."""
        live, backlog = (size < most // 2 for size, most in zip(self._under_way, self._ahead, strict=True))
        if self.exhausted:
            return None
        if self._cut_short[Lane.LIVE]:
            return 0 if live else None
        return self.pacing.rests.until_ns if self._cut_short[Lane.BACKLOG] and backlog else None

    def _queue(self, entry: SendEntry, now: Instant) -> None:
        slot = _Slot(entry, now.monotonic_ns)
        self._queues.setdefault(entry.stream, deque()).append(slot)
        self._under_way[entry.stream.lane] += slot.weight
        if isinstance(entry, BlockEntry):
            self._unread[(entry.stream, entry.p)] = slot

    def read(
        self, entry: BlockEntry, header: BlockHeader, body: bytes, sids: Collection[int], now: Instant
    ) -> None:
        """A body is here; it waits for those before it in its stream."""
        slot = self._unread.pop((entry.stream, entry.p), None)
        if slot is not None:
            slot.header, slot.body, slot.sids, slot.ready = header, body, sids, True
            if entry.stream.lane == Lane.BACKLOG:
                self.pacing.rests.worked(slot.asked_ns, now.monotonic_ns)

    def drop_from(self, entry: BlockEntry) -> None:
        """A body cannot be read: this block and those behind it in its stream go back to the outbox."""
        queue = self._queues.get(entry.stream)
        while queue and _first(queue[-1].entry) >= entry.p:
            slot = queue.pop()
            self._unread.pop((entry.stream, _first(slot.entry)), None)
            self._release(slot)

    def _release(self, slot: _Slot) -> None:
        if isinstance(slot.entry, BlockEntry):
            self._under_way[slot.entry.stream.lane] -= slot.weight
            self._reserved[slot.entry.stream.priority] -= slot.entry.size

    def emit(self, now: Instant) -> tuple[bool, bool]:
        """Put what is ready into `out`, live first, backlog as paced and while less than a burst is in it.

        Returns:
            Whether anything was put there, and whether any of it is urgent.
        """
        any_sent = urgent = False
        self.more = False
        waits: set[tuple[int, int]] = set()
        for key in sorted(self._queues, key=_precedence):
            queue = self._queues[key]
            if _precedence(key) in waits:
                continue  # a younger epoch does not overtake one whose bodies are still being read
            backlog = key.lane == Lane.BACKLOG
            while queue and queue[0].ready and not self.stuck:
                if backlog and self.pacing.full:
                    break
                if backlog and len(self.out) >= BURST:
                    self.more = True
                    break
                slot = queue.popleft()
                self._release(slot)
                if isinstance(slot.entry, GapEntry):
                    self._put_gap(slot.entry)
                elif slot.header is not None and not self._put_block(slot.entry, slot.header, slot, now):
                    break
                any_sent = True
                urgent |= key.priority <= Priority.HIGH or backlog
            if queue:
                waits.add(_precedence(key))
            else:
                del self._queues[key]
        return any_sent, urgent

    def _put_gap(self, entry: GapEntry) -> None:
        key = entry.stream
        code, index = key.priority << 1 | key.lane, self.index(key.epoch)
        self._outgoing.sent(key, entry.p_to)
        protocol.put(self.out, protocol.Gap(code, index, entry.p_from, entry.p_to, entry.chain, entry.ranges))
        self._turns[code] = (key.epoch, entry.p_to + 1)

    def _put_block(self, entry: BlockEntry, header: BlockHeader, slot: _Slot, now: Instant) -> bool:
        key = entry.stream
        identity = (header.origin, header.epoch)
        if self._writer.full and identity not in self._defined:
            self.exhausted = self.stuck = True
            return False
        self._define(identity, slot.sids)
        code = key.priority << 1 | key.lane
        if self._turns.get(code) != (key.epoch, entry.p):
            point = Point(key.priority, key.lane, self.index(key.epoch), entry.p)
            protocol.put_point(self.out, Kind.TURN, point)
        self._turns[code] = (key.epoch, entry.p + 1)
        age_ms = max(0, self._outgoing.age_clock(now) - entry.born_ms)
        head = self._writer.encode(
            _as_sent(header, key.lane, age_ms),
            with_digest=self._with_digests or header.rows >= DIGEST_FROM_ROWS,
        )
        before = len(self.out)
        self._outgoing.sent(key, entry.p)
        put_frame(self.out, Kind.BLOCK, head, slot.body)
        size = len(self.out) - before
        self._spent[key.priority] += size
        if key.lane == Lane.BACKLOG:
            self.pacing.sent(key, entry.p, weight_of(size, header.rows), now.monotonic_ns)
        elif key.priority <= Priority.HIGH:
            self.pacing.rests.urgent(now.monotonic_ns)
        self.blocks += 1
        return True

    def _define(self, identity: tuple[str, bytes], sids: Collection[int]) -> None:
        known = self._defined.setdefault(identity, set())
        new = sorted(set(sids) - known)
        known.update(new)
        for at in range(0, len(new), DEFINE_MAX):
            keys = [(sid, self._series_of(*identity, sid)) for sid in new[at : at + DEFINE_MAX]]
            series = tuple((sid, key.name, key.labels) for sid, key in keys)
            protocol.put(self.out, protocol.Define(*identity, series))

    @property
    def idle(self) -> bool:
        """Whether nothing is being read or waits for its turn."""
        return not self._queues


def _by_turn(epochs: list[EpochHello]) -> list[bytes]:
    """Epochs of undrained streams in the order in which an outbox sends: lane, class, age."""
    turns = [
        (stream.lane, stream.priority, age, item.epoch)
        for age, item in enumerate(epochs)
        for stream in item.streams
        if stream.acked < stream.sealed
    ]
    return [epoch for *_, epoch in sorted(turns)]


def _precedence(key: StreamKey) -> tuple[int, int]:
    return key.lane, key.priority


def _first(entry: SendEntry) -> int:
    return entry.p if isinstance(entry, BlockEntry) else entry.p_from


def _as_sent(header: BlockHeader, lane: int, age_ms: int) -> BlockHeader:
    return BlockHeader(
        origin=header.origin,
        epoch=header.epoch,
        priority=header.priority,
        k=header.k,
        lane=Lane(lane),
        rows=header.rows,
        size=header.size,
        runs=header.runs,
        ts_min=header.ts_min,
        ts_max=header.ts_max,
        age_ms=age_ms,
        digest=header.digest,
        groups=header.groups,
        backlog_hops=header.backlog_hops,
        key_id=header.key_id,
        signature=header.signature,
    )
