"""The parent's end of one connection: reads frames, checks them, keeps credit and what has to be answered.

```
GREETING ──hello──► PROBING (another connection has the name) ──► SETTLING (a commit is due) ──► UP ──► closed
                        └────────────────────────────────────────────►┘
```
What it decides alone: the shape of frames, positions, chain values, digests, definitions. What it asks
`headland.link.children.Children`: who may connect, what is durable, which origins are authorised.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import msgspec

from headland.blocks.block import examine
from headland.blocks.digest import chain, identity_bytes
from headland.blocks.header import MAX_HOPS, BlockHeader, HeaderReader
from headland.blocks.wire import Reader
from headland.link import bounds, protocol
from headland.link.actions import Definitions
from headland.link.arrivals import Arrival, Arrivals
from headland.link.contract import (
    CHAIN_BYTES,
    ExceptionAnswer,
    Later,
    LaterReason,
    Rejected,
    RejectReason,
    StreamKey,
)
from headland.link.credit import Credit
from headland.link.frames import Deframer, Kind, put_frame
from headland.link.positions import ChildState, ChildStream
from headland.link.protocol import Hello, Point
from headland.link.received import ReceivedBlock, ReceivedGap
from headland.link.stored import StoredAbove
from headland.vocabulary import Instant, Lane, PeerError, SeriesKey

MAX_DEFINED_AHEAD = 1 << 18
MAX_DEFINED_AHEAD_BYTES = 64 << 20
"""Names that a connection may define without having sent a block that uses them, and their bytes in memory.

Names of blocks that were answered with an exception stay: they come again without their names.
"""
NAME_BYTES = 200
"""What a name takes beside its text."""
MAX_PAYLOAD_BYTES = 1 << 40
"""Payload that the rows of one block may have been: more is no block of ours, and would spoil the books."""


class Phase(Enum):
    """Where a connection is; see the picture above."""

    GREETING = "greeting"
    PROBING = "probing"
    SETTLING = "settling"
    UP = "up"
    CLOSED = "closed"


class NeedsDigests(Exception):
    """A block without a digest does not decode, so it cannot be refused by name."""


class Taken(msgspec.Struct, frozen=True):
    """A block or tombstone at its place: either delivered, or answered with an exception.

    Attributes:
        stream: The stream it came in.
        item: What came; None when it is answered with `exception` or only moves the stream.
        p: Last position it covers.
        chain: Chain value after it.
        sids: Series in a delivered block.
        exception: Why it is not taken.
    """

    stream: ChildStream
    item: ReceivedBlock | ReceivedGap | None
    p: int
    chain: bytes
    sids: frozenset[int] = frozenset()
    exception: ExceptionAnswer | None = None


class ChildLink:
    """One connection of a child.

    Attributes:
        connection: Its number.
        peer_name: Name in the certificate, or None.
        phase: Where it is.
        hello: The child's first message.
        child: What is known of the child, from the hello on.
        version: The version spoken.
        out: Bytes to be written.
        heard_at: Monotonic ns of the last bytes that came.
        sent_at: Monotonic ns of the last bytes that went.
        probed_at: When the other connection of the name was probed for this one's sake.
        granted: Bytes of blocks allowed, per class, since the connection began.
        taken: Bytes of blocks that came, per class.
        told: Last position answered on this connection, per stream.
        duplicates: Blocks at positions that were already here.
        parts: Parts of intents still to be sent.
        watch: Number of its newest entry among the deadlines.
        verdicts_told: Number of the last message of verdicts that was sent.
        hinted_at: Monotonic ns of the last look at what is stored.
        hinted: Last position told as stored on this connection, per stream.
        arrivals: Backlog that waits to be checked.
    """

    def __init__(
        self, connection: int, peer_name: str | None, credit: Credit, max_block: int, now: Instant
    ) -> None:
        self.connection = connection
        self.peer_name = peer_name
        self.phase = Phase.GREETING
        self.hello: Hello | None = None
        self.child: ChildState | None = None
        self.version = 0
        self.out = bytearray()
        self.opened_at = self.heard_at = self.sent_at = now.monotonic_ns
        self.probed_at = 0
        self.granted = [0, 0, 0, 0]
        self.taken = [0, 0, 0, 0]
        self.told: dict[StreamKey, int] = {}
        self.duplicates = 0
        self.parts: list[protocol.IntentChunk] = []
        self.watch = 0
        self.verdicts_told = 0
        self.hinted_at = now.monotonic_ns
        self.hinted: dict[StreamKey, int] = {}
        self.arrivals = Arrivals()
        self.deframer = Deframer()
        self._credit = credit
        self._max_block = max_block
        self._reader = HeaderReader()
        self._names: list[bytes] = []
        self._turns: dict[int, tuple[ChildStream, int]] = {}
        self._defined: dict[tuple[str, bytes], set[int]] = {}
        self._ahead: dict[tuple[str, bytes], dict[int, SeriesKey]] = {}
        self._ahead_count = 0
        self._ahead_bytes = 0
        self.openable: set[StreamKey] = set()

    def index(self, key: StreamKey) -> int:
        """Number of a stream's epoch on this connection; -1 when the child did not name it."""
        return self._names.index(key.epoch) if key.epoch in self._names else -1

    def name_epoch(self, epoch: bytes) -> None:
        """The child named an epoch.

        Raises:
            PeerError: Malformed or too many.
        """
        if len(epoch) != 16 or epoch in self._names or len(self._names) >= bounds.MAX_EPOCHS:
            raise PeerError("an epoch that cannot be named")
        self._names.append(epoch)

    def stream_at(self, epoch: int, priority: int, lane: int) -> ChildStream:
        """The stream that a message of the child names.

        Raises:
            PeerError: No such epoch was named.
        """
        if epoch >= len(self._names) or self.child is None:
            raise PeerError(f"epoch number {epoch}")
        return self.child.stream(StreamKey(self._names[epoch], priority, lane))

    def turn(self, payload: memoryview) -> None:
        """TURN: which position the next block of a lane stands at.

        Raises:
            PeerError: It leaves a hole.
        """
        point = protocol.parse_point(payload, 0)
        stream = self.stream_at(point.epoch, point.priority, point.lane)
        last = self.arrivals.last(stream)
        if point.p < 1 or point.p > last + 1:
            raise PeerError(f"position {point.p} of {stream.key} after {last}")
        self._turns[point.priority << 1 | point.lane] = (stream, point.p)

    def define(self, message: protocol.Define) -> None:
        """DEFINE: names of series; they are kept when a block uses them.

        Raises:
            PeerError: Out of bounds, or a name for what has one.
        """
        if len(message.epoch) != 16 or not message.series:
            raise PeerError("a definition of nothing")
        scope = (message.origin, message.epoch)
        known, ahead = self._defined.setdefault(scope, set()), self._ahead.setdefault(scope, {})
        for sid, name, labels in message.series:
            if len(name) > protocol.MAX_SERIES_NAME or len(labels) > protocol.MAX_LABELS:
                raise PeerError(f"definition of series {sid}")
            if sid in known:
                raise PeerError(f"series {sid} of {message.origin} is defined twice")
            known.add(sid)
            ahead[sid] = SeriesKey(name, labels)
            self._ahead_count += 1
            self._ahead_bytes += _bytes_of(ahead[sid])
        self._ahead_bytes += len(message.origin)
        if self._ahead_count > MAX_DEFINED_AHEAD or self._ahead_bytes > MAX_DEFINED_AHEAD_BYTES:
            raise PeerError(f"{self._ahead_count} series are defined that no block uses")

    def definitions_of(self, origin: str, epoch: bytes, sids: Iterable[int]) -> tuple[Definitions, ...]:
        """Names of these series, as far as they are used for the first time on this connection."""
        ahead = self._ahead.get((origin, epoch), {})
        series = tuple((sid, ahead.pop(sid)) for sid in sorted(sids) if sid in ahead)
        if not series:
            return ()
        self._ahead_count -= len(series)
        self._ahead_bytes -= sum(_bytes_of(key) for _, key in series)
        if not ahead:
            del self._ahead[origin, epoch]
        return (Definitions(origin, epoch, series),)

    def block(self, payload: memoryview, name: str) -> Taken | None:
        """BLOCK: check it; None for one whose position is here already, and for backlog: that waits its turn.

        Raises:
            PeerError: It breaks the protocol.
            NeedsDigests: It does not decode and has no digest to be refused by.
        """
        reader = Reader(payload)
        header = self._reader.decode(reader)
        code = header.priority << 1 | header.lane
        turn = self._turns.get(code)
        if turn is None:
            raise PeerError("a block before a turn")
        stream, p = turn
        self._turns[code] = (stream, p + 1)
        self._came(header.priority, len(payload) + 2)
        last = self.arrivals.last(stream)
        if p <= last:
            self.duplicates += 1
            return None
        if p != last + 1:
            raise PeerError(f"position {p} of {stream.key} after {last}")
        body = reader.take(reader.left)
        if stream.key.lane == Lane.BACKLOG:
            self.arrivals.put(Arrival(stream, p, (header, body)))
            return None
        return self._checked(stream, p, header, body, name)

    def check(self, arrival: Arrival, name: str) -> Taken:
        """What waited has its turn.

        Raises:
            PeerError: It breaks the protocol.
            NeedsDigests: It does not decode and has no digest to be refused by.
        """
        stream, item = arrival.stream, arrival.item
        first = item.p_from if isinstance(item, protocol.Gap) else arrival.p
        if first != stream.p + 1:
            raise PeerError(f"position {first} of {stream.key} after {stream.p}")
        if isinstance(item, protocol.Gap):
            return self._tombstones(stream, item, name)
        return self._checked(stream, arrival.p, *item, name)

    def _checked(self, stream: ChildStream, p: int, header: BlockHeader, body: bytes, name: str) -> Taken:
        sids, found, reject = self._open(header, body)
        if reject and not header.digest:
            raise NeedsDigests
        identity = identity_bytes(header.origin, header.epoch, header.priority, header.k)
        value = chain(stream.chain, identity, header.digest if reject else found)
        if reject:
            return Taken(stream, None, p, value, exception=Rejected(p, reject))
        defined = self._defined.get((header.origin, header.epoch), set())
        if not defined.issuperset(sids):
            raise PeerError(f"a block of {header.origin} uses a series that was not defined")
        hops = min(header.backlog_hops + 1, MAX_HOPS) if header.lane is Lane.BACKLOG else 0
        header = msgspec.structs.replace(header, digest=found, backlog_hops=hops)
        return Taken(stream, ReceivedBlock(name, stream.key, p, header, body), p, value, sids)

    def _open(self, header: BlockHeader, body: bytes) -> tuple[frozenset[int], bytes, int]:
        """Series, digest and why it has to be rejected (0: it has not)."""
        nothing: frozenset[int] = frozenset()
        if len(body) > self._max_block:
            return nothing, b"", RejectReason.TOO_LARGE
        try:
            rows, found, sids = examine(body, header.base_ns)
        except PeerError:
            return nothing, b"", RejectReason.MALFORMED
        if rows != header.rows or header.size > MAX_PAYLOAD_BYTES:
            return nothing, b"", RejectReason.MALFORMED
        if header.digest and header.digest != found:
            return nothing, b"", RejectReason.DIGEST
        return sids, found, 0

    def gap(self, message: protocol.Gap, name: str) -> Taken | None:
        """GAP: tombstones; None when the positions are already here, and behind backlog that waits.

        Raises:
            PeerError: It breaks the protocol.
        """
        priority, lane = protocol.split_lane(message.lane)
        stream = self.stream_at(message.epoch, priority, lane)
        if not 0 < message.p_from <= message.p_to or len(message.chain) != CHAIN_BYTES:
            raise PeerError("malformed tombstones")
        self._turns[message.lane] = (stream, message.p_to + 1)
        last = self.arrivals.last(stream)
        if message.p_to <= last:
            self.duplicates += 1
            return None
        if message.p_from != last + 1:
            raise PeerError(f"tombstones from {message.p_from} of {stream.key} after {last}")
        if self.arrivals.holds(stream):
            self.arrivals.put(Arrival(stream, message.p_to, message))
            return None
        return self._tombstones(stream, message, name)

    def _tombstones(self, stream: ChildStream, message: protocol.Gap, name: str) -> Taken:
        if not message.ranges:
            return Taken(stream, None, message.p_to, message.chain)
        priority = stream.key.priority
        if any(len(r.epoch) != 16 or r.priority != priority or r.k_to < r.k_from for r in message.ranges):
            raise PeerError("malformed tombstones")
        item = ReceivedGap(name, stream.key, message.p_from, message.p_to, message.chain, message.ranges)
        return Taken(stream, item, message.p_to, message.chain)

    def answer(self, stream: ChildStream) -> None:
        """Tell the child what is durable of a stream, once."""
        before = self.told.get(stream.key, 0)
        index = self.index(stream.key)
        if stream.durable_p <= before or index < 0:
            return
        self.told[stream.key] = stream.durable_p
        key, p = stream.key, stream.durable_p
        news = tuple(item for item in stream.exceptions if before < item.p <= p)
        if news:
            code = key.priority << 1 | key.lane
            protocol.put(self.out, protocol.ExceptionsUpTo(code, index, p, stream.durable_chain[:8], news))
        else:
            point = Point(key.priority, key.lane, index, p, stream.durable_chain)
            protocol.put_point(self.out, Kind.ACK, point)

    def hint(self, stored: StoredAbove | None, every_s: float, now: Instant) -> None:
        """Tell what the cloud has applied since the last hint, if it is time; None: this is the cloud."""
        if (
            self.child is None
            or self.phase is not Phase.UP
            or now.monotonic_ns - self.hinted_at < every_s * 1e9
        ):
            return
        self.hinted_at = now.monotonic_ns
        for key in self.told:
            stream, index = self.child.streams.get(key), self.index(key)
            if stream is None or index < 0:
                continue
            p = stream.durable_p
            if stored is not None:
                p = min(p, stored.of((self.child.name, key)))
            if p > self.hinted.get(key, 0):
                self.hinted[key] = p
                protocol.put_point(self.out, Kind.STORED, Point(key.priority, key.lane, index, p))

    def grant(self, window: int) -> list[int]:
        """Allow more bytes where half a window is used; the classes that got some."""
        more = []
        for priority, waiting in enumerate(self.arrivals.body_bytes):
            unused = self.granted[priority] - self.taken[priority]
            wanted = window - waiting - unused
            allowed = self._credit.allow(wanted, unused) if wanted >= max(1, window // 2) else 0
            if allowed:
                self.granted[priority] += allowed
                more.append(priority)
        return more

    def credit(self, window: int) -> None:
        """Tell the child what more it may send."""
        for priority in self.grant(window):
            protocol.put_credit(self.out, priority, self.granted[priority])

    def forfeit(self) -> None:
        """The connection is gone: what it may still have sent is for others."""
        for granted, taken in zip(self.granted, self.taken, strict=True):
            self._credit.moved(granted - taken, 0)
        self.granted = list(self.taken)

    def _came(self, priority: int, size: int) -> None:
        unused = self.granted[priority] - self.taken[priority]
        self._credit.moved(unused, unused - size)
        self.taken[priority] += size

    def overdrawn(self) -> bool:
        """Whether the child sent more than it was granted (one block over is the protocol's rule)."""
        return any(
            taken > granted + self._max_block + (64 << 10)
            for taken, granted in zip(self.taken, self.granted, strict=True)
        )

    def beat(self) -> None:
        """Append a heartbeat."""
        put_frame(self.out, Kind.HEARTBEAT)


def _bytes_of(key: SeriesKey) -> int:
    return NAME_BYTES + len(key.name) + sum(len(name) + len(value) for name, value in key.labels)


def not_authorised(p: int) -> Later:
    """The answer to a block of an origin that the child may not speak for."""
    return Later(p, LaterReason.NOT_AUTHORISED)
