"""The parent's end of the link: all children, who may connect as whom, and what each has been answered.

Laws
    1. An answer leaves only when the commit that holds the block (or the refusal) is durable.
    2. A position is taken once: a block at a position that is already here is counted and dropped, and a hole
       ends the connection.
    3. A child is welcomed only when nothing of it waits for a commit, so that what the welcome does not name
       has certainly not been received.
    4. Of two connections of one name the newer takes over at once if it has the same epoch. With any other it
       is a clone, refused and alarmed, if the connected one is still heard in the last 2 of 3 s; a restart is
       welcomed when the old connection ends, which a dead process's does at once.
    5. A peer that breaks the protocol loses its connection and nothing else.
    6. Live blocks are taken as they come; backlog is checked a turn at a time, the children's in turn, with
       rests while urgent live blocks come (`headland.link.pacing`).

Bounds: one unfinished frame, one credit window a class and `downlink.MAX_DEFINED_AHEAD` names without a block
for each connection; 10,000 children; together they may have 64 MiB under way, or 4 KiB a class each (and one
block).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush, heapreplace

import msgspec

from headland.link import handshake, intents, protocol, received
from headland.link.actions import (
    ChildDown,
    ChildUp,
    Close,
    Definitions,
    Deliver,
    DownlinkAction,
    Reported,
    Send,
)
from headland.link.contract import Alarm, DraftLike, EpochHello, Later, LaterReason, StreamKey
from headland.link.credit import Credit
from headland.link.downlink import ChildLink, NeedsDigests, Phase, Taken, not_authorised
from headland.link.frames import Kind, put_frame
from headland.link.handshake import Refusal
from headland.link.pacing import Rests
from headland.link.positions import (
    CHILDREN_MAX,
    EXCEPTIONS_MAX,
    ChildState,
    Desired,
    Dropped,
    Placed,
    Positions,
)
from headland.link.protocol import CloseReason, Hello, IntentStatus
from headland.link.received import ReceivedBlock
from headland.link.stored import StoredAbove
from headland.link.telling import Telling
from headland.vocabulary import Instant, PeerError, Priority

_NS = 1_000_000_000
PROBE_S = 3.0
STALE_S = 1.0
"""What comes so soon after the question may have been under way before the other process began."""
PARTS_AT_ONCE = 4


class ChildrenSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a parent's end behaves.

    Attributes:
        node: This node's name.
        store: 16 bytes made with the data directory.
        window: Credit per class and connection, bytes, while few are connected.
        together: Credit of all connections and classes, bytes (`headland.link.credit`).
        max_block: Largest body, bytes.
        heartbeat_s: Sent when nothing else was sent for so long.
        silent_s: A child is gone when nothing came for so long.
        greeting_s: A connection without a hello is closed after this.
        connections: At most so many at once.
    """

    node: str
    store: bytes
    window: int = 1 << 20
    together: int = 64 << 20
    max_block: int = 4 << 20
    heartbeat_s: float = 1.0
    silent_s: float = 3.5
    greeting_s: float = 5.0
    connections: int = 10_000


class Children:
    """See the module.

    Attributes:
        positions: What is durable of each child.
        telling: Verdicts for children.
        pressed: The disk is short: no more credit is granted (set by `press`).
        stored: What a relay knows of what the cloud has applied; None at a node that stores itself.
        refusing: The disk is full: blocks are answered `Later(full)`, which spends no attempt.
    """

    def __init__(self, settings: ChildrenSettings, authorised: Callable[[str, str], bool]) -> None:
        self.settings = settings
        self.positions = Positions()
        self.telling = Telling(self.positions)
        self.stored: StoredAbove | None = None
        self.pressed = False
        self.refusing = False
        self._authorised = authorised
        self._credit = Credit(settings.window, settings.together)
        self._links: dict[int, ChildLink] = {}
        self._up: dict[str, ChildLink] = {}
        self._drafted: list[tuple[int, str, StreamKey, int, bytes]] = []
        self._deadlines: list[tuple[int, int, int]] = []
        """Heap of (monotonic ns, watch, connection): the next deadline of each, or one before it."""
        self._watches = 0
        self._probing: dict[str, ChildLink] = {}
        """By name, who waits for the connected one to be silent."""
        self._rests = Rests(0)
        self._behind: dict[int, ChildLink] = {}
        """Connections whose backlog waits to be checked, in the order of their turns."""

    def connected(self) -> dict[str, int]:
        """Connection of each connected child."""
        return {name: link.connection for name, link in self._up.items()}

    def applied(self, name: str) -> tuple[tuple[str, int], ...]:
        """(kind, version) of the intents that a connected child named in its hello as applied."""
        link = self._up.get(name)
        return link.hello.intents[: intents.MAX_KINDS] if link is not None and link.hello is not None else ()

    # ── connections ─────────────────────────────────────────────────────────────────────────────────────────

    def opened(self, connection: int, peer_name: str | None, now: Instant) -> list[DownlinkAction]:
        """A connection was accepted; `peer_name` is the verified name in its certificate."""
        if len(self._links) >= self.settings.connections:
            return [Close(connection, "too many connections")]
        settings = self.settings
        link = ChildLink(connection, peer_name, self._credit, settings.max_block, now)
        self._links[connection] = link
        self._watch(link)
        return []

    def closed(self, connection: int, reason: str, now: Instant) -> list[DownlinkAction]:
        """A connection is gone."""
        link = self._links.pop(connection, None)
        return self._gone(link, reason) if link is not None else []

    def _gone(self, link: ChildLink, reason: str, *, replaced: bool = False) -> list[DownlinkAction]:
        link.phase = Phase.CLOSED
        link.forfeit()
        name = link.child.name if link.child is not None else ""
        if self._probing.get(name) is link:
            del self._probing[name]
        if self._up.get(name) is not link:
            return []
        del self._up[name]
        if name in self._probing and not replaced:  # nobody is left to be silent
            self._probing[name].probed_at -= int(PROBE_S * _NS)
            self._watch(self._probing[name])
        return [ChildDown(name, link.connection, reason)]

    def _end(
        self, link: ChildLink, reason: CloseReason, detail: str, now: Instant, *, replaced: bool = False
    ) -> list[DownlinkAction]:
        self._links.pop(link.connection, None)
        protocol.put(link.out, protocol.Closing(reason, detail))
        gone = self._gone(link, detail, replaced=replaced)
        return [*self._flush(link, now), Close(link.connection, detail), *gone]

    def _take_over(self, other: ChildLink, now: Instant) -> list[DownlinkAction]:
        detail = "a newer connection of the same name"
        return self._end(other, CloseReason.TAKEN_OVER, detail, now, replaced=True)

    def _flush(self, link: ChildLink, now: Instant) -> list[DownlinkAction]:
        if not link.out:
            return []
        data = bytes(link.out)
        link.out.clear()
        link.sent_at = now.monotonic_ns
        return [Send(link.connection, data)]

    # ── what comes ──────────────────────────────────────────────────────────────────────────────────────────

    def received(self, connection: int, data: bytes, now: Instant, draft: DraftLike) -> list[DownlinkAction]:
        """Bytes of a child; deliveries are to be written into `draft` in this same turn."""
        link = self._links.get(connection)
        if link is None:
            return []
        link.heard_at = now.monotonic_ns
        return self._guarded(link, self._frames(link, data, now, draft), now)

    def _frames(
        self, link: ChildLink, data: bytes, now: Instant, draft: DraftLike
    ) -> Iterator[DownlinkAction]:
        for kind, payload in link.deframer.feed(data):
            yield from self._frame(link, kind, payload, now, draft)
            if link.phase is Phase.CLOSED:
                return
        if link.arrivals:
            self._behind.setdefault(link.connection, link)
        if link.overdrawn():
            raise PeerError("more was sent than was granted")

    def _next_turn(self, now: Instant, draft: DraftLike) -> list[DownlinkAction]:
        """Check some of the backlog of the child whose turn it is."""
        link = self._behind.pop(next(iter(self._behind)))
        if link.phase is not Phase.UP:
            return []
        actions = self._guarded(link, self._checked(link, draft), now)
        if link.arrivals and link.phase is Phase.UP:
            self._behind[link.connection] = link
        return actions

    def _checked(self, link: ChildLink, draft: DraftLike) -> Iterator[DownlinkAction]:
        name = _name(link)
        for arrival in link.arrivals.turn():
            yield from self._take(link, link.check(arrival, name), draft)

    def _guarded(self, link: ChildLink, work: Iterator[DownlinkAction], now: Instant) -> list[DownlinkAction]:
        """What comes of a child's bytes; what it did wrong costs it its connection, not what came before."""
        actions: list[DownlinkAction] = []
        try:
            for action in work:
                actions.append(action)  # noqa: PERF402 - what was done before an error was done
        except PeerError as error:
            actions.append(Alarm("peer_error", f"{_name(link)}: {error}"))
            return actions + self._end(link, CloseReason.PROTOCOL, str(error), now)
        except NeedsDigests:
            return actions + self._end(link, CloseReason.WITH_DIGESTS, "a block does not decode", now)
        except Refusal as refusal:
            actions.append(Alarm(refusal.reason.name.lower(), f"{_name(link)}: {refusal.detail}"))
            return actions + self._end(link, refusal.reason, refusal.detail, now)
        return actions if link.phase is Phase.CLOSED else actions + self._flush(link, now)

    def _frame(
        self, link: ChildLink, kind: int, payload: memoryview, now: Instant, draft: DraftLike
    ) -> list[DownlinkAction]:
        if link.phase is Phase.GREETING:
            if kind != Kind.HELLO:
                raise PeerError(f"frame {kind:#x} before a hello")
            return self._hello(link, protocol.parse(payload, Hello), now, draft)
        if link.phase is not Phase.UP and kind not in (Kind.HEARTBEAT, Kind.CLOSE):
            raise PeerError(f"frame {kind:#x} before the welcome")
        name = _name(link)
        match kind:
            case Kind.BLOCK:
                taken = link.block(payload, name)
                if taken is not None and taken.stream.key.priority <= Priority.HIGH:
                    self._rests.urgent(now.monotonic_ns)
                return self._take(link, taken, draft)
            case Kind.TURN:
                link.turn(payload)
            case Kind.GAP:
                return self._take(link, link.gap(protocol.parse(payload, protocol.Gap), name), draft)
            case Kind.DEFINE:
                link.define(protocol.parse(payload, protocol.Define))
            case Kind.HEARTBEAT:
                pass
            case Kind.PROBE:
                link.beat()
            case Kind.EPOCH:
                link.name_epoch(protocol.parse(payload, EpochHello).epoch)
            case Kind.OPEN:
                self._open(link, protocol.parse(payload, protocol.Open), draft)
            case Kind.HEARD:
                self._heard(link, protocol.parse(payload, protocol.Heard), draft)
            case Kind.NOTED:
                number = protocol.parse(payload, protocol.Noted).number
                self.telling.noted(self.positions.child(name), number, draft)
            case Kind.STATUS:
                return self._status(link, protocol.parse(payload, IntentStatus))
            case Kind.CLOSE:
                detail = protocol.parse(payload, protocol.Closing).detail
                self._links.pop(link.connection, None)
                return [Close(link.connection, detail), *self._gone(link, detail)]
            case _ if kind & 0x80:
                pass
            case _:
                raise PeerError(f"frame of kind {kind:#x}")
        return []

    def _take(self, link: ChildLink, taken: Taken | None, draft: DraftLike) -> list[DownlinkAction]:
        if taken is None:
            return []
        name, stream, exception = _name(link), taken.stream, taken.exception
        block = taken.item if isinstance(taken.item, ReceivedBlock) else None
        if block is not None:
            if not self._authorised(name, block.header.origin):
                exception = not_authorised(taken.p)
            elif self.refusing:
                exception = Later(taken.p, LaterReason.FULL)
        actions: list[DownlinkAction] = []
        if exception is not None or taken.item is None:
            if len(stream.exceptions) >= EXCEPTIONS_MAX:
                raise PeerError(f"{EXCEPTIONS_MAX} answers of {stream.key} are unconfirmed")
            more = () if exception is None else (exception,)
            record = Placed(name, stream.key, taken.p, taken.chain, more, adds=True)
            self.positions.write(record, draft)
            if exception is not None and not isinstance(exception, Later):
                actions.append(
                    Alarm("rejected", f"{name} {stream.key} position {taken.p}: {exception.reason}")
                )
        else:
            self.positions.stand(name, stream.key, draft)
            self.positions.take(taken.item)
            names: tuple[Definitions, ...] = ()
            if block is not None:
                names = link.definitions_of(block.header.origin, block.header.epoch, taken.sids)
            actions.append(Deliver(taken.item, taken.sids, names))
        self._drafted.append((draft.n, name, stream.key, taken.p, taken.chain))
        return actions

    def _open(self, link: ChildLink, message: protocol.Open, draft: DraftLike) -> None:
        stream = link.stream_at(message.epoch, *protocol.split_lane(message.lane))
        if stream.key not in link.openable or message.p < 0 or len(message.chain) != 16:
            raise PeerError(f"an opening balance of {stream.key}, of which there is a history")
        link.openable.discard(stream.key)
        link.told[stream.key] = message.p
        name = _name(link)
        self.positions.write(Placed(name, stream.key, message.p, message.chain), draft)
        self._drafted.append((draft.n, name, stream.key, message.p, message.chain))

    def _heard(self, link: ChildLink, message: protocol.Heard, draft: DraftLike) -> None:
        stream = link.stream_at(message.epoch, *protocol.split_lane(message.lane))
        left = tuple(item for item in stream.exceptions if item.p > message.p)
        if len(left) < len(stream.exceptions):
            heard = stream.exceptions[-len(left) - 1].p
            record = Placed(_name(link), stream.key, stream.p, stream.chain, left, heard=heard)
            self.positions.write(record, draft)
            self._drafted.append((draft.n, record.child, stream.key, stream.p, stream.chain))

    def _status(self, link: ChildLink, status: IntentStatus) -> list[DownlinkAction]:
        return [Reported(_name(link), status)]

    # ── handshake ───────────────────────────────────────────────────────────────────────────────────────────

    def _hello(self, link: ChildLink, hello: Hello, now: Instant, draft: DraftLike) -> list[DownlinkAction]:
        link.version = handshake.agree(hello, link.peer_name)
        if hello.node not in self.positions.children and len(self.positions.children) >= CHILDREN_MAX:
            raise Refusal(CloseReason.FULL, "too many children")
        link.hello = hello
        link.child = self.positions.child(hello.node)
        for item in hello.epochs:
            link.name_epoch(item.epoch)
        other = self._up.get(hello.node)
        if other is not None and other.hello is not None:
            if not handshake.same_process(other.hello, hello):
                return self._probe(link, other, now)
            return self._take_over(other, now) + self._settle(link, now, draft)
        return self._settle(link, now, draft)

    def _probe(self, link: ChildLink, other: ChildLink, now: Instant) -> list[DownlinkAction]:
        """Let a connection wait until the connected one of its name is silent, or gone."""
        name = _name(link)
        actions: list[DownlinkAction] = []
        before = self._probing.pop(name, None)
        if before is not None and before is not link and _of_one_process(before, link):
            actions += self._take_over(before, now)
        link.phase = Phase.PROBING
        link.probed_at = now.monotonic_ns
        self._probing[name] = link
        self._watch(link)
        put_frame(other.out, Kind.PROBE)
        return actions + self._flush(other, now)

    def _settle(self, link: ChildLink, now: Instant, draft: DraftLike | None) -> list[DownlinkAction]:
        """Welcome the child as soon as nothing of it waits for a commit."""
        link.phase = Phase.SETTLING
        assert link.child is not None
        assert link.hello is not None
        child, hello = link.child, link.hello
        actions: list[DownlinkAction] = []
        other = self._up.get(child.name)
        if other is not None and other is not link:
            actions += self._take_over(other, now)
        self._up[child.name] = link
        if not child.settled:
            return actions
        link.phase = Phase.UP
        actions += handshake.compare(child, hello)
        positions = tuple(
            handshake.standing(child, item.epoch, stream.priority, stream.lane, stream.acked, stream.floor)
            for item in hello.epochs
            for stream in item.streams
        )
        link.openable = {item.stream for item in positions if item.p < 0}
        for item in positions:
            link.told[item.stream] = max(0, item.p)
        settings = self.settings
        if not self.pressed:
            link.grant(self._credit.share(len(self._up)))
        critical, high, normal, low = link.granted
        granted = (critical, high, normal, low)
        protocol.put(
            link.out,
            protocol.Welcome(
                link.version, settings.node, settings.store, positions, granted, now.wall_ns, now.trusted
            ),
        )
        self.telling.put(link, child)
        if draft is not None and not hello.partial:
            self._drop_old(child, hello, draft)
        applied = dict(hello.intents)
        for intent in child.desired.values():
            if applied.get(intent.kind, -1) < intent.version:
                link.parts += intents.split(intent.kind, intent.version, intent.body or b"", intent.signature)
        self._watch(link)
        return [*actions, ChildUp(child.name, link.connection, link.version)]

    def _drop_old(self, child: ChildState, hello: Hello, draft: DraftLike) -> None:
        named = {item.epoch for item in hello.epochs}
        gone = tuple(epoch for epoch in child.epochs()[:-1] if epoch not in named)
        if gone:
            self.positions.write(Dropped(child.name, gone), draft)

    # ── commits and time ────────────────────────────────────────────────────────────────────────────────────

    def committed(self, n: int, now: Instant) -> list[DownlinkAction]:
        """Commits up to n are durable: answer what they hold."""
        done = 0
        touched: dict[tuple[str, StreamKey], None] = {}
        while done < len(self._drafted) and self._drafted[done][0] <= n:
            _, name, key, p, chain_value = self._drafted[done]
            child = self.positions.children.get(name)
            stream = child.streams.get(key) if child is not None else None
            if stream is not None:
                stream.durable_p, stream.durable_chain = p, chain_value
                touched[(name, key)] = None
            done += 1
        del self._drafted[:done]
        self.telling.committed(n)
        actions: list[DownlinkAction] = []
        for name, key in touched:
            link = self._up.get(name)
            if link is not None and link.phase is Phase.UP and link.child is not None:
                link.answer(link.child.streams[key])
        window = self._credit.share(len(self._up))
        for link in list(self._up.values()):
            if link.phase is Phase.SETTLING:
                actions += self._settle(link, now, None)
            elif link.phase is Phase.UP:
                if not self.pressed:
                    link.credit(window)
                if link.child is not None:
                    self.telling.put(link, link.child)
                link.hint(self.stored, self.settings.heartbeat_s, now)
            actions += self._flush(link, now)
        return actions

    def share_credit(self, together: int) -> None:
        """Grant so much in all from now on."""
        self._credit.share_out(together)

    def press(self, pressed: bool, now: Instant) -> list[DownlinkAction]:
        """Withhold credit while the disk is short; grant it again when it is not."""
        self.pressed = pressed
        actions: list[DownlinkAction] = []
        window = self._credit.share(len(self._up))
        for link in self._up.values():
            if link.phase is Phase.UP and not pressed:
                link.credit(window)
                actions += self._flush(link, now)
        return actions

    def desire(
        self, child: str, kind: str, version: int, body: bytes | None, now: Instant, draft: DraftLike
    ) -> None:
        """Want an intent applied at a direct child (None takes it back); sent now and until it is applied.

        Raises:
            ValueError: The body is too large.
        """
        if body is not None and len(body) > intents.MAX_BODY:
            raise ValueError(f"an intent of {len(body)} bytes")
        state = self.positions.child(child)
        self.positions.write(Desired(child, kind, version, body), draft)
        link = self._up.get(state.name)
        if link is not None and link.phase is Phase.UP and body is not None:
            link.parts += intents.split(kind, version, body)
            self._watch(link)

    def _watch(self, link: ChildLink) -> None:
        """Its next deadline may be nearer than the one that is in the heap."""
        self._watches += 1
        link.watch = self._watches
        heappush(self._deadlines, (self._wake_of(link), link.watch, link.connection))

    def next_wake(self) -> int | None:
        """Monotonic ns at which `wake` has something to do; 0 for as soon as others had their turn."""
        due_ns, resting_ns = self._next_deadline(), self._rests.until_ns
        if self._behind or self._rests.measuring:
            return resting_ns if due_ns is None else min(due_ns, resting_ns)
        return due_ns

    def _next_deadline(self) -> int | None:
        """Monotonic ns at which `wake` has something to do."""
        deadlines = self._deadlines
        while deadlines:
            at_ns, watch, connection = deadlines[0]
            link = self._links.get(connection)
            if link is None or link.watch != watch:
                heappop(deadlines)
                continue
            due_ns = self._wake_of(link)
            if due_ns <= at_ns:
                return at_ns
            heapreplace(deadlines, (due_ns, watch, connection))  # bytes have come or gone since
        return None

    def _due(self, now: Instant) -> list[ChildLink]:
        """Connections whose deadline has come, out of the heap."""
        due: list[ChildLink] = []
        while (at_ns := self._next_deadline()) is not None and at_ns <= now.monotonic_ns:
            due.append(self._links[heappop(self._deadlines)[2]])
        return due

    def _wake_of(self, link: ChildLink) -> int:
        settings = self.settings
        match link.phase:
            case Phase.GREETING:
                return link.opened_at + int(settings.greeting_s * _NS)
            case Phase.PROBING:
                return link.probed_at + int(PROBE_S * _NS)
            case _ if link.parts:
                return 0
            case _:
                beat = link.sent_at + int(settings.heartbeat_s * _NS)
                return min(beat, link.heard_at + int(settings.silent_s * _NS))

    def wake(self, now: Instant, draft: DraftLike) -> list[DownlinkAction]:
        """Decide about clones, beat, give up silent children, send parts of intents, check backlog."""
        actions: list[DownlinkAction] = []
        if self._rests.over(now.monotonic_ns) and self._behind:
            self._rests.begin(now.monotonic_ns)
            actions += self._next_turn(now, draft)
        for link in self._due(now):
            match link.phase:
                case Phase.CLOSED:
                    continue
                case Phase.GREETING:
                    actions += self._end(link, CloseReason.SILENT, "no hello", now)
                case Phase.PROBING:
                    actions += self._probed(link, now, draft)
                case _:
                    if now.monotonic_ns - link.heard_at >= self.settings.silent_s * _NS:
                        actions += self._end(link, CloseReason.SILENT, "silent", now)
                        continue
                    for part in link.parts[:PARTS_AT_ONCE]:
                        protocol.put(link.out, part)
                    del link.parts[:PARTS_AT_ONCE]
                    link.hint(self.stored, self.settings.heartbeat_s, now)
                    if not link.out:
                        link.beat()
            actions += self._flush(link, now)
            if link.connection in self._links:
                self._watch(link)
        return actions

    def _probed(self, link: ChildLink, now: Instant, draft: DraftLike) -> list[DownlinkAction]:
        if self._probing.get(_name(link)) is link:
            del self._probing[_name(link)]
        other = self._up.get(_name(link))
        if other is None or _of_one_process(other, link):
            return self._settle(link, now, draft)
        if other.opened_at > link.probed_at:  # another has taken over meanwhile: it has not been asked
            return self._probe(link, other, now)
        if other.heard_at > link.probed_at + int(STALE_S * _NS):
            detail = f"{_name(link)} is connected and alive; this is a clone of it"
            return [Alarm("clone", detail), *self._end(link, CloseReason.CLONE, detail, now)]
        return self._settle(link, now, draft)

    # ── durability ──────────────────────────────────────────────────────────────────────────────────────────

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        return self.positions.snapshot()

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        self.positions.restore(data)

    def replay(self, data: bytes) -> None:
        """One STATE section of the owner "link"."""
        self.positions.replay(data)

    def replay_received(self, data: bytes) -> None:
        """One RECEIVED section."""
        self.positions.retake(received.decode(data))

    def recovered(self) -> None:
        """Replay is over."""
        self.positions.recovered()


def _of_one_process(one: ChildLink, other: ChildLink) -> bool:
    if one.hello is None or other.hello is None:
        return False
    return handshake.same_process(one.hello, other.hello)


def _name(link: ChildLink) -> str:
    return link.child.name if link.child is not None else link.peer_name or f"connection {link.connection}"
