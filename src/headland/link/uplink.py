"""The child's end of the link.

```
IDLE ──start──► WAITING ──due──► DIALLING ──connected──► GREETING ──welcome──► UP
                   ▲                │ failed                │ closed, silent      │ closed, silent, lie
                   └────────────────┴───────────────────────┴─────────────────────┘
```
Laws
    1. A byte of a block leaves only after the outbox has handed it out (its seal is durable).
    2. Blocks of a stream leave in order of position, whatever order their bodies are read in.
    3. No more of a class is under way than the parent granted, but for one block.
    4. A broken link, silence or withheld credit spends no attempt: the outbox only hears `link_down`.
    5. A series is defined on a connection before the first block that uses it.

Bounds: 128 KiB of bodies read ahead for each lane, one unfinished frame, 64 KiB a `Send`, backlog as paced.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

import msgspec

from headland.blocks.header import BlockHeader
from headland.link import protocol
from headland.link.actions import (
    Close,
    Dial,
    Down,
    Intent,
    PeerClock,
    Send,
    Settle,
    StoredUpTo,
    Up,
    UplinkAction,
)
from headland.link.contract import (
    CHAIN_SHOWN,
    Alarm,
    Answer,
    BlockEntry,
    DraftLike,
    Outgoing,
    ParentName,
    StreamKey,
    StreamWelcome,
)
from headland.link.dialling import Dialling, Random
from headland.link.frames import Deframer, Kind, put_frame
from headland.link.intents import Assembler
from headland.link.protocol import CloseReason, IntentStatus, Point
from headland.link.sending import Sending, SeriesLookup
from headland.vocabulary import Instant, PeerError

_NS = 1_000_000_000
DIAL_TIMEOUT_S = 20.0


class UplinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How an uplink behaves.

    Attributes:
        node: This node's name, as in its certificate.
        metered: Bytes are dear: long redial steps.
        heartbeat_s: Sent when nothing else was sent for so long.
        silent_s: The parent is dead when nothing came for so long (three heartbeats).
        greeting_s: A parent that does not welcome within this is given up.
        coalesce_s: Live blocks of normal and low class may wait so long to share a TLS record (22 bytes).
        coalesce_bytes: ... or until so many bytes wait.
        read_ahead_bytes: Bodies being read or waiting to be sent, per lane.
        send_bytes: Largest `Send`.
    """

    node: str
    metered: bool = False
    heartbeat_s: float = 1.0
    silent_s: float = 3.5
    greeting_s: float = 10.0
    coalesce_s: float = 0.25
    coalesce_bytes: int = 1200
    read_ahead_bytes: int = 128 * 1024
    send_bytes: int = 64 * 1024


class Phase(Enum):
    """Where the machine is; see the picture above."""

    IDLE = "idle"
    WAITING = "waiting"
    DIALLING = "dialling"
    GREETING = "greeting"
    UP = "up"


class Uplink:
    """See the module.

    Attributes:
        phase: Where it is.
        parent: Who welcomed it, while up.
        blocks_sent: Blocks that left, ever.
        bytes_sent: Bytes that left (before TLS), ever.
        bytes_received: Bytes that came, ever.
        paused: The connection's buffer is full: nothing is added to it (set by `pause`).
    """

    def __init__(
        self,
        settings: UplinkSettings,
        outgoing: Outgoing,
        series_of: SeriesLookup,
        random: Random,
    ) -> None:
        self.settings = settings
        self.phase = Phase.IDLE
        self.parent: ParentName | None = None
        self.paused = False
        self.blocks_sent = self.bytes_sent = self.bytes_received = 0
        self._outgoing = outgoing
        self._series_of = series_of
        self._dialling = Dialling(random, settings.metered)
        self._connection = -1
        self._epoch = bytes(16)
        self._predecessor = b""
        self._applied: dict[str, int] = {}
        self._with_digests = False
        self._since = 0
        self._reset()

    def _reset(self) -> None:
        """Forget everything that belongs to one connection."""
        self._deframer = Deframer()
        self._assembler = Assembler()
        self._sending = Sending(
            self._outgoing, self._series_of, self._with_digests, self.settings.read_ahead_bytes
        )
        self._flush_by: int | None = None
        self._heard: list[tuple[StreamKey, int]] = []
        self._acked: dict[StreamKey, int] = {}
        self._noting: list[tuple[int, int]] = []
        self._heard_at = 0
        self._sent_at = 0
        self.paused = False

    # ── connection ──────────────────────────────────────────────────────────────────────────────────────────

    def start(self, epoch: bytes, predecessor: bytes, now: Instant) -> list[UplinkAction]:
        """Begin dialling; `epoch` is this process's (16 bytes), `predecessor` the last one on disk."""
        self._epoch, self._predecessor = epoch, predecessor
        self._dialling.begin(now)
        self.phase = Phase.WAITING
        return self.wake(now)

    def connected(self, connection: int, now: Instant) -> list[UplinkAction]:
        """The dial succeeded (TLS and the parent's name are verified)."""
        if self.phase is not Phase.DIALLING:
            return [Close(connection, "not expected")]
        self._reset()
        self.phase = Phase.GREETING
        self._connection = connection
        self._since = self._heard_at = now.monotonic_ns
        epochs = self._sending.greet(self._outgoing.epochs())
        self._acked = {
            StreamKey(item.epoch, stream.priority, stream.lane): stream.acked
            for item in epochs
            for stream in item.streams
        }
        hello = protocol.Hello(
            protocol.MAGIC,
            protocol.VERSION_MIN,
            protocol.VERSION_MAX,
            self.settings.node,
            self._epoch,
            self._predecessor,
            epochs,
            now.wall_ns,
            now.trusted,
            self.settings.metered,
            tuple(sorted(self._applied.items())),
            self._sending.partial,
        )
        protocol.put(self._sending.out, hello)
        return self._flush(now)

    def dial_failed(self, now: Instant) -> list[UplinkAction]:
        """The parent could not be reached."""
        if self.phase is Phase.DIALLING:
            self.phase = Phase.WAITING
            self._dialling.failed(now)
        return []

    def closed(self, connection: int, reason: str, now: Instant) -> list[UplinkAction]:
        """The connection is gone."""
        return self._down(reason, now) if connection == self._connection else []

    def stop(self, now: Instant) -> list[UplinkAction]:
        """Say goodbye and dial no more."""
        actions: list[UplinkAction] = []
        if self.phase in (Phase.GREETING, Phase.UP):
            actions = self._end(CloseReason.GOING, "this node stops", now)
        self.phase = Phase.IDLE
        self._dialling.dialled()
        return actions

    def _end(self, reason: CloseReason, detail: str, now: Instant, slow: bool = False) -> list[UplinkAction]:
        protocol.put(self._sending.out, protocol.Closing(reason, detail))
        connection = self._connection
        actions = self._flush(now)
        actions.append(Close(connection, detail))
        return actions + self._down(detail, now, slow)

    def _down(self, reason: str, now: Instant, slow: bool = False) -> list[UplinkAction]:
        was_up = self.phase is Phase.UP
        self.phase = Phase.WAITING
        self.parent = None
        self._connection = -1
        self._reset()
        self._outgoing.link_down(now)
        self._dialling.failed(now, slow)
        return [Down(reason)] if was_up else []

    # ── what comes ──────────────────────────────────────────────────────────────────────────────────────────

    def received(self, connection: int, data: bytes, now: Instant, draft: DraftLike) -> list[UplinkAction]:
        """Bytes of the parent."""
        if connection != self._connection:
            return []
        self._heard_at = now.monotonic_ns
        self.bytes_received += len(data)
        actions: list[UplinkAction] = []
        answers: list[Answer] = []
        try:
            for kind, payload in self._deframer.feed(data):
                actions += self._frame(kind, payload, answers, now, draft)
                if self._connection != connection:
                    return actions
            actions += self._take(answers, now, draft)
        except PeerError as error:
            actions.append(Alarm("peer_error", f"the parent: {error}"))
            actions += self._end(CloseReason.PROTOCOL, str(error), now)
        if self._connection == connection:
            actions += self._flush_if_due(now)
        return actions

    def _frame(
        self, kind: int, payload: memoryview, answers: list[Answer], now: Instant, draft: DraftLike
    ) -> list[UplinkAction]:
        if self.phase is Phase.GREETING and kind not in (
            Kind.WELCOME,
            Kind.CLOSE,
            Kind.HEARTBEAT,
            Kind.PROBE,
        ):
            raise PeerError(f"frame {kind:#x} before a welcome")
        match kind:
            case Kind.ACK:
                answers.append(self._answer(protocol.parse_point(payload, CHAIN_SHOWN)))
            case Kind.ANSWER:
                answers.append(self._exceptions(protocol.parse(payload, protocol.ExceptionsUpTo)))
            case Kind.STORED:
                point = protocol.parse_point(payload, 0)
                key = self._sending.key(point.epoch, point.priority, point.lane)
                return [StoredUpTo(key, point.p)]
            case Kind.CREDIT:
                self._sending.allow(*protocol.parse_credit(payload))
            case Kind.HEARTBEAT:
                pass
            case Kind.PROBE:
                put_frame(self._sending.out, Kind.HEARTBEAT)
                self._flush_by = now.monotonic_ns
            case Kind.WELCOME:
                return self._welcome(protocol.parse(payload, protocol.Welcome), now, draft)
            case Kind.CLOSE:
                return self._closing(protocol.parse(payload, protocol.Closing), now)
            case Kind.INTENT:
                return self._intent(protocol.parse(payload, protocol.IntentChunk))
            case Kind.SETTLED:
                settled = protocol.parse(payload, protocol.Settled)
                return [Settle(settled.number, settled.verdicts)]
            case Kind.CLOCK:
                clock = protocol.parse(payload, protocol.Clock)
                return [PeerClock(clock.wall_ns, clock.trusted, int(self.settings.silent_s * _NS))]
            case _ if kind & 0x80:
                pass
            case _:
                raise PeerError(f"frame of kind {kind:#x}")
        return []

    def _welcome(self, welcome: protocol.Welcome, now: Instant, draft: DraftLike) -> list[UplinkAction]:
        if self.phase is not Phase.GREETING:
            raise PeerError("a second welcome")
        if not protocol.VERSION_MIN <= welcome.version <= protocol.VERSION_MAX or len(welcome.store) != 16:
            raise PeerError(f"a welcome in version {welcome.version}")
        parent = ParentName(welcome.node, welcome.store)
        self.phase = Phase.UP
        self.parent = parent
        for priority, total in enumerate(welcome.credit):
            self._sending.allow(priority, total)
        self._dialling.up(now)
        actions: list[UplinkAction] = [Up(parent, welcome.version)]
        actions.append(PeerClock(welcome.wall_ns, welcome.trusted, now.monotonic_ns - self._since))
        # A stream that has ended since the hello, or never was, is not spoken of.
        epochs = self._outgoing.epochs()
        here = {StreamKey(item.epoch, one.priority, one.lane) for item in epochs for one in item.streams}
        positions = [position for position in welcome.positions if position.stream in here]
        actions += self._outgoing.link_up(parent, list(map(self._news, positions)), now, draft)
        for position in positions:
            if position.p < 0:
                self._sending.open_at(position.stream, *self._outgoing.opening(position.stream))
            if position.exceptions:
                self._heard.append((position.stream, position.p))
        actions += self._sending.pull(now)
        self._flush_by = now.monotonic_ns
        return actions

    def _news(self, position: StreamWelcome) -> StreamWelcome:
        """The same without answers that are known."""
        acked = self._acked.get(position.stream, 0)
        news = tuple(item for item in position.exceptions if item.p > acked)
        return msgspec.structs.replace(position, exceptions=news)

    def _closing(self, closing: protocol.Closing, now: Instant) -> list[UplinkAction]:
        actions: list[UplinkAction] = []
        if closing.reason == CloseReason.WITH_DIGESTS:
            self._with_digests = True
        slow = closing.reason in (CloseReason.CLONE, CloseReason.VERSION, CloseReason.NAME)
        if slow or closing.reason == CloseReason.PROTOCOL:
            actions.append(Alarm("refused_by_parent", f"reason {closing.reason}: {closing.detail}"))
        actions.append(Close(self._connection, closing.detail))
        return actions + self._down(f"the parent closed: {closing.detail}", now, slow)

    def _intent(self, chunk: protocol.IntentChunk) -> list[UplinkAction]:
        body = self._assembler.add(chunk)
        if body is None or self._applied.get(chunk.kind, -1) >= chunk.version:
            return []
        return [Intent(chunk.kind, chunk.version, body, chunk.signature)]

    def _answer(self, point: Point) -> Answer:
        return Answer(self._sending.key(point.epoch, point.priority, point.lane), point.p, point.chain)

    def _exceptions(self, message: protocol.ExceptionsUpTo) -> Answer:
        key = self._sending.key(message.epoch, *protocol.split_lane(message.lane))
        if len(message.chain) < CHAIN_SHOWN:
            raise PeerError("an answer without a chain value")
        return Answer(key, message.p, message.chain, message.exceptions)

    def _take(self, answers: list[Answer], now: Instant, draft: DraftLike) -> list[UplinkAction]:
        if not answers or self.phase is not Phase.UP:
            return []
        alarms = self._outgoing.answered(answers, now, draft)
        for answer in answers:
            self._sending.pacing.answered(answer.stream, answer.p, now.monotonic_ns)
            if answer.exceptions:
                self._heard.append((answer.stream, answer.p))
        actions: list[UplinkAction] = list(alarms)
        if any(alarm.kind == "lying_ack" for alarm in alarms):
            actions += self._end(CloseReason.PROTOCOL, "an answer that contradicts what was sent", now)
        return actions

    # ── what goes ───────────────────────────────────────────────────────────────────────────────────────────

    def pump(self, now: Instant) -> list[UplinkAction]:
        """Something may have become sendable: a commit ended, a page is in, an intent was settled."""
        if self.phase is not Phase.UP:
            return []
        self._confirm()
        actions = self._sending.pull(now)
        return actions + self._go_on(now)

    def pause(self, paused: bool, now: Instant) -> list[UplinkAction]:
        """The connection's buffer went above (or below) its mark."""
        self.paused = paused
        return [] if paused else self.pump(now)

    def committed(self, n: int, now: Instant) -> list[UplinkAction]:
        """Commits up to n are durable; call it after `Outbox.committed`."""
        while self._noting and self._noting[0][0] <= n:
            protocol.put(self._sending.out, protocol.Noted(self._noting.pop(0)[1]))
        return self.pump(now)

    def noted(self, number: int, n: int) -> None:
        """What `Settle` told is in commit n; the parent is told when that is durable."""
        self._noting.append((n, number))

    def _confirm(self) -> None:
        """Tell the parent which exceptions are durable here, so that it need not keep them."""
        waiting = []
        for key, p in self._heard:
            if self._outgoing.durable_ack(key) < p:
                waiting.append((key, p))
            else:
                code, index = key.priority << 1 | key.lane, self._sending.index(key.epoch)
                protocol.put(self._sending.out, protocol.Heard(code, index, p))
        self._heard = waiting

    def block_read(
        self, entry: BlockEntry, header: BlockHeader, body: bytes, sids: Collection[int], now: Instant
    ) -> list[UplinkAction]:
        """The block that `ReadBlock` asked for; `sids` are the series in it.

        Asks for no further block, so that answering from a cache does not nest: `wake` does.
        """
        if self.phase is not Phase.UP:
            return []
        self._sending.read(entry, header, body, sids, now)
        return self._go_on(now)

    def block_lost(self, entry: BlockEntry, now: Instant) -> list[UplinkAction]:
        """It cannot be read: call `Outbox.unreadable` next, then `pump`."""
        if self.phase is Phase.UP:
            self._sending.drop_from(entry)
        return []

    def report(self, status: IntentStatus, now: Instant) -> list[UplinkAction]:
        """What became of an intent, for the parent."""
        if status.state == "applied":
            self._applied[status.kind] = max(status.version, self._applied.get(status.kind, 0))
        if self.phase is not Phase.UP:
            return []
        protocol.put(self._sending.out, status)
        self._flush_by = now.monotonic_ns
        return self._flush_if_due(now)

    def applied(self, kind: str, version: int) -> None:
        """At start: an intent that is in force."""
        self._applied[kind] = version

    def _go_on(self, now: Instant) -> list[UplinkAction]:
        """Write what is due; make the connection anew when this one can carry no more."""
        actions = self._flush_if_due(now)
        if self._sending.stuck or (self._sending.exhausted and self._sending.idle):
            actions += self._end(CloseReason.GOING, "another connection is needed for more origins", now)
        return actions

    def _emit(self, now: Instant) -> None:
        if self.paused:
            return
        before = self._sending.blocks
        any_sent, urgent = self._sending.emit(now)
        self.blocks_sent += self._sending.blocks - before
        if any_sent:
            wait = 0 if urgent else int(self.settings.coalesce_s * _NS)
            by = now.monotonic_ns + wait
            self._flush_by = by if self._flush_by is None else min(by, self._flush_by)

    def _flush_if_due(self, now: Instant) -> list[UplinkAction]:
        if self.phase is Phase.UP:
            self._emit(now)
        out = self._sending.out
        if not out or self._connection < 0:
            self._flush_by = None
            return []
        due = self._flush_by is None or now.monotonic_ns >= self._flush_by
        return self._flush(now) if due or len(out) >= self.settings.coalesce_bytes else []

    def _flush(self, now: Instant) -> list[UplinkAction]:
        out = self._sending.out
        data = bytes(out)
        out.clear()
        self._flush_by = None
        self._sent_at = now.monotonic_ns
        self.bytes_sent += len(data)
        size = self.settings.send_bytes
        return [Send(self._connection, data[at : at + size]) for at in range(0, len(data), size)]

    # ── time passes ─────────────────────────────────────────────────────────────────────────────────────────

    def next_wake(self) -> int | None:
        """Monotonic ns at which `wake` has something to do."""
        match self.phase:
            case Phase.IDLE:
                return None
            case Phase.WAITING:
                return self._dialling.at
            case Phase.DIALLING:
                return self._since + int(DIAL_TIMEOUT_S * _NS)
            case Phase.GREETING:
                return self._since + int(self.settings.greeting_s * _NS)
            case Phase.UP:
                silent = self._heard_at + int(self.settings.silent_s * _NS)
                if self.paused:
                    return silent
                if self._sending.more:
                    return 0
                beat = self._sent_at + int(self.settings.heartbeat_s * _NS)
                times = (silent, beat, self._flush_by, self._sending.next_pull())
                return min(time for time in times if time is not None)

    def wake(self, now: Instant) -> list[UplinkAction]:
        """Dial, beat, give up a silent parent, write what was held back."""
        at = self.next_wake()
        if at is None or now.monotonic_ns < at:
            return []
        match self.phase:
            case Phase.WAITING:
                self._dialling.dialled()
                self.phase = Phase.DIALLING
                self._since = now.monotonic_ns
                return [Dial()]
            case Phase.DIALLING:
                return self.dial_failed(now)
            case Phase.GREETING:
                return self._end(CloseReason.SILENT, "the parent did not welcome", now)
            case Phase.UP:
                if now.monotonic_ns - self._heard_at >= self.settings.silent_s * _NS:
                    return self._end(CloseReason.SILENT, "the parent is silent", now)
                actions = self.pump(now)
                if now.monotonic_ns - self._sent_at >= self.settings.heartbeat_s * _NS and not self.paused:
                    put_frame(self._sending.out, Kind.HEARTBEAT)
                    actions += self._flush(now)
                return actions
            case Phase.IDLE:
                return []
