"""The node: events in, actions out. The real event loop and the simulator run this same composition.

One reading's way, in the order of this file:

    Received (MQTT) ─► broker ─► intake (mapping, line) ─► the open draft          `_mqtt`, `_accept`
    Tick            ─► the draft becomes one frame: seals, books, rows             `_close_draft`
    Committed(n)    ─► acknowledgements of <= n leave; blocks of <= n may be sent  `_committed`
    uplink          ─► blocks to the parent; its answers come back                 `North`
    children        ─► their blocks ride in the open draft like any rows           `South`

Laws: nothing is acknowledged before the commit that it rests on; nothing is sent before the commit that
sealed it; after `DiskFailed` nothing is acknowledged at all, and the process ends; an actuation is the first
action of the event that caused it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from headland.journal import Draft, Journal, SectionType
from headland.line.deciding import Actuation
from headland.line.ingest import Senders
from headland.line.ledger import Ledger
from headland.line.pace import Pace
from headland.line.stages import StageName, Stages
from headland.link.actions import Intent
from headland.link.verdicts import Verdicts
from headland.mqtt import Accept, Broker, Close, Continue, Pause, Peer, PublishRun, Send, Verify
from headland.mqtt import Action as BrokerAction
from headland.mqtt.packets import Properties
from headland.node import events as ev
from headland.node.acting import Acting
from headland.node.ageing import Ageing
from headland.node.answers import answer, ordered
from headland.node.certificate import OwnCertificate
from headland.node.committing import Committing
from headland.node.intake import Intake
from headland.node.intents import handle_intent
from headland.node.names import Names
from headland.node.north import North
from headland.node.pushing import Pushing
from headland.node.refusing import BUDGET, Refusal
from headland.node.reloading import Reloading
from headland.node.sealing import Sealing
from headland.node.section_index import Places
from headland.node.settings import NodeSettings
from headland.node.shelving import Shelving
from headland.node.snapshot import take_snapshot
from headland.node.south import South
from headland.node.turning_away import TurningAway
from headland.sources.contract import Intake as SourceIntake
from headland.vocabulary import Account, Instant, RowClass

FILLED = (RowClass.CRITICAL, RowClass.HIGH, RowClass.NORMAL, RowClass.LOW, RowClass.HELD)
DRAFT_ROWS_MAX = 16_384
"""Rows of one class in the open commit at which clients are no longer read."""
DRAFT_SECTIONS_MAX = 32_768
EVENTS = (RowClass.CRITICAL, RowClass.HIGH, RowClass.NORMAL, RowClass.LOW)
EVENT_ROWS_MAX = DRAFT_ROWS_MAX + 4_096
EVENT_BYTES_MAX = 16 << 20
EVENT_SECTIONS_MAX = DRAFT_SECTIONS_MAX * 3 // 4
"""Beyond any of these in the open commit, rules act on readings that are turned away, and tell nothing."""
DRAFT_SECTION_BYTES_MAX = 64 << 20
"""Of quarantined payloads, retained messages and blocks of children in the open commit: beyond either nobody
is read. With `unstored_bytes_max` (at most 128 MiB) and what was on its way, a frame stays below 256 MiB."""
GIVEN_UP = (Account.EXPIRED, Account.SHED, Account.DEAD, Account.CORRUPT)
REFRESH_NS = 60_000_000_000
"""After blocks were given up, every dead band sends a fresh reference: a reader must not hold on to a value
that is not there. At most once in this time, lest shedding for want of room makes more data."""
ALARM_AGAIN_NS = 600_000_000_000
"""A node that refuses and takes in by turns is one alarm in this time, not one a second."""
ENTERS = (Account.KEPT, Account.DERIVED)
BEGINS = (ev.Received, ev.Verified, ev.Offered, ev.Pushed)
"""Events that may write to the open commit: this process's epoch stands before them in it. A start that sees
none of them leaves nothing."""


class Entropy(Protocol):
    """Chance, given from outside."""

    def random(self) -> float:
        """A number in [0, 1)."""

    def randbytes(self, n: int, /) -> bytes:
        """`n` random bytes."""


class Parts(msgspec.Struct):
    """The machines of one node, made by `headland.node.opening` from what the disk holds.

    Attributes:
        epoch: This process's epoch; written with its first commit.
        last_epoch: The epoch before it, or b"".
        last_n: Newest commit on disk.
        running_ms: Running time of all processes before this one.
        positions: Where each source of this node stands.
        store_id: Made with the data directory; tells a child that its parent's store is another.
    """

    broker: Broker
    names: Names
    intake: Intake
    ledger: Ledger
    journal: Journal
    sealing: Sealing
    places: Places
    north: North
    south: South
    shelving: Shelving
    pushing: Pushing
    epoch: bytes
    last_epoch: bytes
    last_n: int
    running_ms: int
    positions: dict[str, bytes]
    store_id: bytes
    sources: dict[str, SourceIntake] = {}
    reloading: Reloading = msgspec.field(default_factory=Reloading)
    verdicts: Verdicts = msgspec.field(default_factory=Verdicts)
    ageing: Ageing = msgspec.field(default_factory=Ageing)
    acting: Acting = msgspec.field(default_factory=Acting)


class Node:
    """One node. `start` once, then `handle` for every event, and a `Tick` at `next_wake`.

    Attributes:
        parts: The machines.
        settings: As configured.
        commits: The commit cycle.
        healthy: False once the books have failed to balance.
        pace: Phases of the event in hand, for those who measure.
        handed_on: How many of the actions of the event in hand are its actuations: the first ones.
        full: Nothing more is taken in, for want of room.
        refusal: Why, as long as that is so.
    """

    def __init__(self, settings: NodeSettings, parts: Parts, now: Instant) -> None:
        self.settings = settings
        self.parts = parts
        self.commits: Committing[ev.Waits] = Committing(parts.last_n, int(settings.commit_gap_ms * 1e6))
        self.healthy = True
        self.failed = ""
        self.stopping = False
        self.full = False
        self.refusal: Refusal | None = None
        self._alarm_again_ns = 0
        self._no_space_n = 0
        self.started_ns = now.monotonic_ns
        self.stages: Stages | None = None
        self.pace = Pace()
        self.handed_on = 0
        self.alarms: list[tuple[int, str, str]] = []
        self._now = now
        self._kinds: dict[int, str] = {}
        self._paused: set[int] = set()
        self._holding: tuple[str, ...] = ()
        """Kinds of connections that are not read, new ones either, until the open commit is a smaller one."""
        self._throttled: set[int] = set()
        self.turning_away = TurningAway()
        self.certificate = OwnCertificate()
        self._out: list[ev.Action] = []
        self._epoch_written = False
        self._token = 0
        self._holes = False
        self._refresh_ns = 0

    # ── events ─────────────────────────────────────────────────────────────────────────────────────
    def start(self, now: Instant) -> list[ev.Action]:
        """Begin, after the recovery's operations have been executed; what it had to say comes first."""
        self._now = now
        self.parts.north.start(self, now)
        self._settle(now)
        return self._out

    def handle(self, event: ev.Event, now: Instant) -> list[ev.Action]:
        """Take one event."""
        self._now = now
        self._out = []
        self.handed_on = 0
        if self.failed:
            return self._out
        if isinstance(event, BEGINS):
            self.begin(now)
        match event:
            case ev.Received(parts):
                self._received(parts, now)
            case ev.Verified(connection, claim, right):
                self._mqtt(self.parts.broker.proven(connection, claim, right, now, self.draft))
                self._bound_unstored()
            case ev.Committed(n, room):
                self.parts.shelving.budget.room = room
                self._committed(n, now)
            case ev.Tick():
                self._tick(now)
            case ev.Opened():
                self._opened(event, now)
            case ev.Closed(connection, reason):
                self._closed(connection, reason, now)
            case ev.Unwritten(connection, waiting):
                if self._kinds.get(connection) == "mqtt":
                    self._mqtt(self.parts.broker.buffered(connection, waiting, now))
                elif self._kinds.get(connection) == "parent":
                    self.parts.north.unwritten(self, waiting, now)
            case ev.Offered():
                self._offered(event, now)
            case ev.Pushed():
                self.parts.pushing.pushed(self, event, now)
            case ev.BlocksRead() | ev.PageRead():
                if not self.parts.shelving.spilling.read(self, event, now):
                    self.parts.north.read(self, event, now)
            case ev.Unreadable(detail):
                self.alarm("corrupt", detail)
            case ev.SideWorkDone(token, error):
                self.parts.shelving.done(self, token, error, now)
            case ev.Packed(token, data):
                self.parts.shelving.checkpointing.packed(self, token, data)
            case ev.DialFailed(reason):
                self.parts.north.dial_failed(self, reason, now)
            case ev.NoSpace(n):
                self.commits.no_space(n, now)
                self.say("warning", "disk_full", commit=n)
                if self.crowded:
                    self._turn_away()
                if self._no_space_n != n:
                    self._no_space_n = n
                    self.alarm("disk_full", "no space is left on the file system: nothing more is stored")
            case ev.DiskFailed(reason):
                self._fail(reason)
            case ev.Asked():
                answer(self, event, now)
            case ev.Reconfigure():
                self.parts.reloading.file_changed(self, event, now)
            case ev.Certified(begins_s, ends_s):
                self.certificate.renewed(self, begins_s, ends_s, now)
            case ev.UsersChanged(other_passwords):
                self._mqtt(self.parts.broker.judge_again(frozenset(other_passwords), now, self.draft))
            case ev.FileRefused(why):
                self.parts.reloading.file_refused(self, why)
            case ev.Acted(actuation, outcome, why):
                self.parts.acting.acted(self, actuation, outcome, why)
            case ev.Refused(listener, address, cause, detail):
                self.say("warning", "refused", listener=listener, address=address, cause=cause, detail=detail)
            case ev.Stop():
                self.stopping = True
                self._mqtt(self.parts.broker.stop(now, self.draft))
        self._settle(now)
        return self._out

    def next_wake(self) -> int | None:
        """Monotonic ns of the next `Tick`, or None."""
        parts = self.parts
        dues = (
            self.commits.due_ns(self._now),
            parts.intake.line.next_wake(),
            parts.broker.next_wake(),
            parts.north.next_wake(self),
            parts.south.next_wake(),
            parts.shelving.budget.next_wake(self),
            self._seal_due(),
            self._refresh_ns if self._holes else None,
            self.certificate.next_wake(),
            self.turning_away.due_ns,
        )
        return min((due for due in dues if due is not None), default=None)

    # ── used by the parts ──────────────────────────────────────────────────────────────────────────
    @property
    def now(self) -> Instant:
        """The moment of the event in hand."""
        return self._now

    @property
    def draft(self) -> Draft:
        """The open commit."""
        return self.commits.draft

    def begin(self, now: Instant) -> None:
        """This process's epoch stands in the open commit, before whatever is going to be written to it."""
        if not self._epoch_written:
            self._epoch_written = True
            self.parts.shelving.open_epoch(self, now)

    def emit(self, action: ev.Action) -> None:
        """Add an action to the answer of the event in hand."""
        self._out.append(action)

    def token(self) -> int:
        """A number for a question to the world."""
        self._token += 1
        return self._token

    def established_parent(self) -> None:
        """The parent has welcomed us: the connection's time to begin is over."""
        for connection, kind in self._kinds.items():
            if kind == "parent":
                self.emit(ev.Established(connection))

    def intent(self, intent: Intent, now: Instant) -> None:
        """An intent of the parent arrived whole."""
        handle_intent(self, intent, now)

    def refuse_input(self, full: bool, why: Refusal = BUDGET) -> None:
        """The disk budget, or the disk, is used up (or no longer).

        What comes is decided on and turned away (`headland.node.turning_away`), sources with positions wait.
        """
        self.refusal = why if full else None
        if full == self.full:
            return
        self.full = full
        self.parts.south.press(self, full, self._now)
        if full and not self.turning_away.on:
            self.turning_away.wait(self._now)
            self._hold(self._connections("mqtt"))
        elif not full:
            self.turning_away.due_ns = None
            self._let_go()
            self._take_again()
        told = f"{why.detail}: nothing more is taken in"
        if not full:
            self.say("info", "disk_budget", state="room again")
        elif self._now.monotonic_ns >= self._alarm_again_ns:
            self._alarm_again_ns = self._now.monotonic_ns + ALARM_AGAIN_NS
            self.alarm("disk_budget", told)
        else:
            self.say("warning", "disk_budget", state="refusing", detail=told)

    def _turn_away(self) -> None:
        """Nobody waits for room: clients are read on, decided on and not answered."""
        self.turning_away.begin(self)
        if "link" not in self._holding:
            self._let_go()

    def _take_again(self) -> None:
        """Take in what comes, if there is room for it."""
        if not self.full and not self.commits.stalled and not self.crowded:
            self.turning_away.end(self)

    def _connections(self, *kinds: str) -> list[int]:
        return [connection for connection, kind in self._kinds.items() if kind in kinds]

    def _hold(self, connections: Sequence[int]) -> None:
        """Stop reading connections for want of room."""
        new = [connection for connection in connections if connection not in self._paused]
        self._out += [ev.Pause(connection, True) for connection in new]
        self._paused.update(new)
        for connection in new:
            self._unread(connection, True)

    def _let_go(self) -> None:
        """Read on, but for those that the broker itself holds."""
        self._holding = ()
        self._out += [ev.Pause(one, False) for one in sorted(self._paused - self._throttled)]
        for connection in self._paused:
            self._unread(connection, False)
        self._paused.clear()

    def _unread(self, connection: int, unread: bool) -> None:
        if self._kinds.get(connection) == "mqtt":
            self.parts.broker.unread(connection, unread, self._now)

    def perform(self, actions: Sequence[BrokerAction]) -> None:
        """Do what the broker wants done."""
        self._mqtt(actions)

    def say(self, level: str, event: str, **fields: str | float) -> None:
        """One line of the log."""
        self._out.append(ev.Say(level, event, fields))

    def alarm(self, kind: str, detail: str) -> None:
        """Something an operator has to see; the newest hundred are in the status."""
        self.alarms.append((self._now.wall_ns, kind, detail))
        del self.alarms[:-100]
        self._out.append(ev.Say("alarm", kind, {"detail": detail}))

    def running_ms(self, now: Instant) -> int:
        """The age clock, ms: running time over all processes, and time off where that can be believed."""
        return self.parts.running_ms + (now.monotonic_ns - self.started_ns) // 1_000_000

    def snapshot(self) -> bytes:
        """State of every machine at a commit boundary, for a checkpoint."""
        return take_snapshot(self)

    def actuate(self, actuations: Sequence[Actuation]) -> None:
        """Put actuations in front of everything that this event has caused so far."""
        if not actuations:
            return
        before, self._out = self._out, []
        self.parts.acting.act(self, actuations)
        self.handed_on += len(self._out)
        self._out += before

    def publish(self, topic: str, payload: bytes, key: str) -> None:
        """Publish in the node's own name, to its own subscribers."""
        properties = Properties(user=[("headland-key", key)])
        self._mqtt(self.parts.broker.publish(topic, payload, self._now, self.draft, properties=properties))

    # ── south: MQTT and local sources ──────────────────────────────────────────────────────────────
    def _opened(self, event: ev.Opened, now: Instant) -> None:
        self._kinds[event.connection] = event.listener
        match event.listener:
            case "mqtt":
                peer = Peer(
                    event.connection, event.address, event.tls, event.peer_name, event.listener_name or "mqtt"
                )
                self._mqtt(self.parts.broker.connected(peer, now))
                self.emit(ev.Established(event.connection))
            case "link":
                self.parts.south.connected(self, event, now)
            case _:
                self.parts.north.connected(self, event.connection, now)
        waits = self.turning_away.due_ns is not None and event.listener == "mqtt"
        if waits or event.listener in self._holding:
            self._hold([event.connection])

    def _closed(self, connection: int, reason: str, now: Instant) -> None:
        self._paused.discard(connection)
        self._throttled.discard(connection)
        match self._kinds.pop(connection, None):
            case "mqtt":
                self._mqtt(self.parts.broker.closed(connection, now, self.draft))
            case "link":
                self.parts.south.closed(self, connection, reason, now)
            case "parent":
                self.parts.north.closed(self, connection, reason, now)
            case _:
                pass

    def _received(self, parts: Sequence[tuple[int, bytes]], now: Instant) -> None:
        """What MQTT clients sent is taken together, so that it costs one judgement and not one each."""
        kinds = self._kinds
        clients: list[tuple[int, bytes]] = []
        for part in parts:
            match kinds.get(part[0]):
                case "mqtt":
                    clients.append(part)
                case "link":
                    self.parts.south.received(self, *part, now)
                    self._bound_unstored()
                case "parent":
                    self.parts.north.received(self, *part, now)
                case _:
                    pass
        if len(clients) < len(parts):
            self.pace.linked()
        if clients:
            self._mqtt(self.parts.broker.received(clients, now, self.draft))
            self._bound_unstored()

    def _mqtt(self, actions: Sequence[BrokerAction]) -> None:
        for action in actions:
            match action:
                case Send() | Verify():
                    self._out.append(action)
                case Accept(run):
                    self._accept(run)
                case Close(connection, _, reason):
                    self._out.append(ev.Close(connection, reason))
                case Pause(connection):
                    self._throttled.add(connection)
                    self._out.append(ev.Pause(connection, True))
                case Continue(connection):
                    self._throttled.discard(connection)
                    if connection not in self._paused:
                        self._out.append(ev.Pause(connection, False))

    def _accept(self, run: PublishRun) -> None:
        """Judge a run at once; one that tells of repeats, or finds the disk full, client by client."""
        now = self._now
        if run.turned_away:
            self.turning_away.judge(self, run)
        else:
            self._take(run)
        for rebirth in self.parts.intake.mapping.take_rebirths():
            payload = rebirth.payload(now.wall_ns)
            self._mqtt(self.parts.broker.publish(rebirth.topic, payload, now, self.draft))

    def _take(self, run: PublishRun) -> None:
        if self.commits.stalled or True in run.dup:
            needs: Sequence[int] = [need for one in run.apart() for need in self._judge(one)]
        else:
            needs = self._judge(run)
        self.commits.arrived += len(run.topics)
        self._mqtt(self.parts.broker.rest_on(run, needs, self._now))

    def _judge(self, run: PublishRun) -> Sequence[int]:
        """Decide on and filter a run; the commit that each of its stretches rests on."""
        now, intake = self._now, self.parts.intake
        if self.commits.stalled and not any(run.qos):
            self.turning_away.judge(self, run)
            return [0] * len(run.ends)
        senders = Senders(run.clients, run.ends)
        taken = intake.messages(senders, run.topics, run.payloads, now, self.draft, repeats=run.dup)
        self.actuate(taken.actuations)
        return taken.needs

    def _offered(self, event: ev.Offered, now: Instant) -> None:
        parts, brought, draft = self.parts, event.brought, self.draft
        intake = parts.sources.get(event.source)
        if intake is None:
            intake = parts.sources[event.source] = SourceIntake(parts.names.table)
        if brought.position is None and (self.commits.stalled or self.crowded):
            self.turning_away.batch(self, intake.batch(brought), refused=True)
            return
        offered = parts.intake.line.offer(event.source, intake.batch(brought), now, draft)
        self.actuate(offered.actuations)
        if brought.position is not None:
            parts.positions[event.source] = brought.position
            draft.state("source", msgspec.msgpack.encode((event.source, brought.position)))
            self.after(draft.n, ev.Confirm(event.source, brought.position))

    def after(self, needs_n: int, action: ev.Waits) -> None:
        """Let an action leave when commit `needs_n` is durable."""
        if not self.commits.wait(needs_n, action):
            self._leave(action)

    def _leave(self, action: ev.Waits) -> None:
        if isinstance(action, ev.Answered):
            self.parts.pushing.durable(self, action.token)
        elif isinstance(action, ev.Ordered):
            ordered(self, action, self._now)
        else:
            self._out.append(action)

    def _bound_unstored(self) -> None:
        """What no commit holds yet is bounded: beyond it nobody is read until one is durable.

        Children are read on for longer: their heartbeats are in the same bytes as their blocks.
        """
        draft = self.draft
        many = draft.section_count > DRAFT_SECTIONS_MAX or draft.section_bytes > DRAFT_SECTION_BYTES_MAX
        if many and "link" not in self._holding:
            self._holding = ("mqtt", "link")
        elif not self._holding and not self.full and not self.turning_away.on and self.crowded:
            if self.commits.stalled:
                self._turn_away()
                return
            self._holding = ("mqtt",)
        else:
            return
        self._hold(self._connections(*self._holding))

    def holds_back(self, durable: bool) -> bool:
        """Whether a source has to wait for room: what has positions is read later, the present is not."""
        return durable and self.crowded

    @property
    def crowded(self) -> bool:
        """Whether the open commit holds all that it may."""
        draft = self.draft
        return (
            self.full
            or draft.section_count > DRAFT_SECTIONS_MAX // 2
            or draft.section_bytes > DRAFT_SECTION_BYTES_MAX // 2
            or draft.offered_bytes > self.settings.unstored_bytes_max
            or max(map(draft.row_count, FILLED)) > DRAFT_ROWS_MAX
        )

    @property
    def room_for_events(self) -> bool:
        """Whether what a rule has to say of readings that are not taken may go into the open commit."""
        draft = self.draft
        return (
            draft.section_count <= EVENT_SECTIONS_MAX
            and draft.section_bytes <= DRAFT_SECTION_BYTES_MAX // 2
            and max(map(draft.row_count, EVENTS)) <= EVENT_ROWS_MAX
            and draft.derived_bytes <= EVENT_BYTES_MAX
            and self.parts.shelving.budget.room_for_events(self)
        )

    # ── the commit cycle ───────────────────────────────────────────────────────────────────────────
    def _tick(self, now: Instant) -> None:
        parts, mono = self.parts, now.monotonic_ns
        due = parts.intake.line.next_wake()
        if due is not None and due <= mono:
            self.actuate(parts.intake.line.wake(now, self.draft))
        due = parts.broker.next_wake()
        if due is not None and due <= mono:
            self._mqtt(parts.broker.wake(now, self.draft))
        parts.north.wake(self, now)
        parts.south.wake(self, now)
        parts.shelving.budget.wake(self, now)
        self.certificate.wake(self, now)
        if self._holes and mono >= self._refresh_ns:
            self._holes, self._refresh_ns = False, mono + REFRESH_NS
            parts.intake.line.refresh(range(1, len(parts.names.table) + 1), now, self.draft)
        patience = self.turning_away.due_ns
        if patience is not None and patience <= mono:
            self._turn_away()
        due = self.commits.due_ns(now)
        if self.commits.stalled:
            if due is not None and due <= mono:
                n, plan = self.commits.retry()
                self.emit(ev.Commit(n, plan))
        elif self.commits.in_flight is None:
            seal_due = self._seal_due()
            if (due is not None and due <= mono) or (seal_due is not None and seal_due <= mono):
                self._close_draft(now)

    def _seal_due(self) -> int | None:
        """A class whose interval has passed needs a commit, even an otherwise empty one."""
        if self.commits.in_flight is not None or self.commits.stalled:
            return None
        return self.parts.sealing.next_wake()

    def _close_draft(self, now: Instant) -> None:
        parts, draft = self.parts, self.draft
        self.begin(now)
        node_ns, running_ms = now.wall_ns, self.running_ms(now)
        parts.ageing.closing(draft, now)
        for block in parts.sealing.add(draft, node_ns, running_ms, now):
            parts.shelving.seal(self, block, now)
        for block in parts.sealing.due(now, pressed=self.stopping or parts.shelving.spilling.presses):
            parts.shelving.seal(self, block, now)
            parts.sealing.sealed(block.priority)
        self._book_pending(draft)
        if any(account in GIVEN_UP and amount[0] > 0 for (account, *_), amount in draft.ledger.items()):
            self._holes = True
        parts.north.book_wire(draft)
        section = parts.names.own_section()
        if section is not None:
            draft.section(SectionType.SERIES, section)
        failures = parts.ledger.apply(draft.ledger, node_ns)
        if failures:
            self.healthy = False
            self.alarm("books_unbalanced", str(failures[0]))
        sections = draft.sections()
        appended = parts.journal.append(parts.epoch, draft.n, node_ns, running_ms, sections)
        parts.places.add(draft.n, sections, appended.refs)
        n = self.commits.closed(appended.plan, now)
        self.emit(ev.Commit(n, appended.plan))
        parts.shelving.closed(self, n)

    def _book_pending(self, draft: Draft) -> None:
        """Own rows that go north are pending from the commit that holds them (at a root: applied)."""
        account = self.parts.shelving.own_account
        amounts: dict[int, list[int]] = {}
        for (kind, _, cls, _), (readings, size) in draft.ledger.items():
            if kind in ENTERS:
                amount = amounts.setdefault(cls, [0, 0])
                amount[0] += readings
                amount[1] += size
        for cls, (readings, size) in amounts.items():
            draft.book(account, "", cls, "", readings, size)

    def _committed(self, n: int, now: Instant) -> None:
        if self.stages is not None:
            self.stages[StageName.ACK].observe(self.commits.waited_ns(now))
        self.commits.committed(n, now)
        self._mqtt(self.parts.broker.committed(n, now))
        for action in self.commits.release():
            self._leave(action)
        self.parts.north.committed(self, n, now)
        self.parts.south.committed(self, n, now)
        self.parts.shelving.committed(self, n, now)
        self.turning_away.tell(self)
        if self.turning_away.due_ns is None:
            self._let_go()
            self._take_again()

    def _settle(self, now: Instant) -> None:
        """After every event: what can be sent is sent; a node that stops ends when nothing is left to do."""
        self.pace.settled()
        self.commits.touched(now)
        self.parts.north.pump(self, now)
        if self.stopping and not self.failed and self.commits.in_flight is None and self.draft.empty:
            self.stopping = False
            self.failed = "stopped"
            self.parts.north.stop(self, now)
            self.emit(ev.Exit(0, "drained"))

    def _fail(self, reason: str) -> None:
        """What the kernel did with unsynced pages is unknown: acknowledge nothing more, and end."""
        self.failed = reason
        self.emit(ev.Say("error", "disk_failed", {"detail": reason}))
        self.emit(ev.Exit(1, reason))
