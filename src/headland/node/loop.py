"""The one event loop that executes a node's actions.

It decides nothing: every branch here is about a kind of action, none about the state of the product.

`Runner.feed` gives one event to the core and executes what it answers, in order. Events that an execution
causes (a connection that turns out closed) are fed after it, never inside it.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from headland.drivers import network as net
from headland.drivers import scheduling
from headland.drivers.alarm import Alarm
from headland.drivers.clock import Clock
from headland.drivers.committer import DiskWorker, Done, Failed, Outcome
from headland.drivers.committer import NoSpace as PlanNoSpace
from headland.drivers.disk import RealDisk
from headland.drivers.garbage import Garbage
from headland.drivers.http_server import HttpServer
from headland.drivers.websockets import WebSockets
from headland.journal import DiskOp
from headland.journal.checkpoint import encode_file
from headland.line.stages import Cause, StageName, Stages
from headland.mqtt import Claim
from headland.node import events as ev
from headland.node.core import Node
from headland.node.forwarding import budgets_ms
from headland.node.measuring import Measuring
from headland.node.reads import read_blocks, read_headers
from headland.node.turns import Turns
from headland.trust.access import is_right

HTTP_TICK_S = 1.0


class Hands(Protocol):
    """What actuations, sources and answers need of the outer world (see `headland.node.assembly`)."""

    def actuate(self, action: ev.Actuate) -> None:
        """Move something."""

    def confirm(self, action: ev.Confirm) -> None:
        """Tell a source that its readings are durable."""

    def reply(self, action: ev.Reply) -> None:
        """Answer a request."""

    def say(self, action: ev.Say) -> None:
        """Log."""

    def exit(self, action: ev.Exit) -> None:
        """End the process."""


HOLDS: dict[type[ev.Event], Cause] = {
    ev.Received: Cause.LINK,  # without readings: children, or the parent
    ev.Unwritten: Cause.LINK,
    ev.BlocksRead: Cause.LINK,
    ev.PageRead: Cause.LINK,
    ev.Tick: Cause.DISK,
    ev.Committed: Cause.DISK,
    ev.SideWorkDone: Cause.DISK,
    ev.Packed: Cause.DISK,
}
"""What holds the loop when an event without readings takes long."""


class Runner:
    """Feeds a node and executes its actions on the running loop."""

    def __init__(
        self,
        node: Node,
        disk: RealDisk,
        clock: Clock,
        hands: Hands,
        parent: net.Dial | None,
    ) -> None:
        self.node = node
        self._loop = asyncio.get_running_loop()
        self.disk = disk
        self.clock = clock
        self._hands = hands
        self._parent = parent
        self.network = net.Network(self._network_event, on_received=self._received)
        self.websockets = WebSockets(self.network)
        self.committer: DiskWorker[DiskOp] = DiskWorker(disk, self._loop, "committer", urgent=True)
        self.beside: DiskWorker[DiskOp] = DiskWorker(disk, self._loop, "beside")
        self.queries: DiskWorker[DiskOp] = DiskWorker(disk, self._loop, "queries")
        self.passwords: DiskWorker[DiskOp] = DiskWorker(disk, self._loop, "passwords")
        self.stages = Stages(node.settings.tier, budgets_ms(node.settings))
        node.stages = self.stages
        self._measuring = Measuring(self.stages, time.monotonic_ns)
        node.pace = node.parts.intake.line.pace = self._measuring.pace
        self.garbage = Garbage(self._collected)
        self.http: HttpServer | None = None
        self.ready = False
        self._http_connections: set[int] = set()
        self._layered: set[int] = set()
        """Connections with a layer between their bytes and the core: HTTP, WebSocket."""
        self._http_timer: asyncio.TimerHandle | None = None
        self._queue: deque[tuple[ev.Event, int]] = deque()
        self._turns = Turns(
            self.feed,
            self._loop.call_soon,
            time.monotonic_ns,
            self._still,
            self._all_still,
            node.settings.waiting_bytes_max,
        )
        self._taking_turns: set[int] = set()
        self._flooded = False
        self._paused: set[int] = set()
        self._behind: set[int] = set()
        self._feeding = False
        self._alarm = Alarm(self._loop, self._tick)
        self._now_ns = 0
        self._dialled: int | None = None
        self._breath = scheduling.Breath() if scheduling.is_real_time() else None

    def start(self) -> None:
        """Start the disk threads and let the core begin."""
        self.committer.start()
        self.beside.start()
        self.queries.start()
        self.passwords.start()
        now = self.clock.now()
        self._now_ns = now.monotonic_ns
        self._execute(self.node.start(now))
        self._drain()

    def feed(self, event: ev.Event, arrived_ns: int = 0) -> None:
        """Give one event to the core, now or right after the one in hand.

        Args:
            event: What happened.
            arrived_ns: Monotonic time at which it was read, where it had to wait since; else 0.
        """
        self._queue.append((event, arrived_ns))
        if not self._feeding:
            self._drain()

    def _received(self, connection: int, data: bytes) -> None:
        if connection not in self._layered:
            self._turns.received(connection, data)
        elif connection in self._http_connections and self.http is not None:
            self.http.received(connection, data, self.clock.now())
        else:
            inner = self.websockets.received(connection, data)
            if inner:
                self._turns.received(connection, inner)

    def _still(self, connection: int, behind: bool) -> None:
        """A connection that is behind with its turns is not read, whatever the core says."""
        if behind:
            self._behind.add(connection)
            self.network.pause(connection)
        else:
            self._behind.discard(connection)
            self._read_on(connection)

    def _all_still(self, flooded: bool) -> None:
        """Too much waits in all: nobody is read, or everybody again who is not held for another reason."""
        self._flooded = flooded
        for connection in self._taking_turns:
            if flooded:
                self.network.pause(connection)
            else:
                self._read_on(connection)

    def _read_on(self, connection: int) -> None:
        if not self._flooded and connection not in self._paused and connection not in self._behind:
            self.network.resume(connection)

    def _pause(self, connection: int, paused: bool) -> None:
        self._turns.hold(connection, paused)
        if paused:
            self._paused.add(connection)
            self.network.pause(connection)
        else:
            self._paused.discard(connection)
            self._read_on(connection)
        self._measuring.held(bool(self._paused), self._now_ns)

    def _collected(self, begun_ns: int, ended_ns: int) -> None:
        self._measuring.spells.add(begun_ns, ended_ns, Cause.GARBAGE)

    def _drain(self) -> None:
        self._feeding = True
        pace = self.node.pace
        try:
            while self._queue:
                event, arrived_ns = self._queue.popleft()
                now = self.clock.now()
                begun_ns = self._now_ns = now.monotonic_ns
                try:
                    pace.begin(begun_ns)
                    actions = self.node.handle(event, now)
                    left_ns = time.monotonic_ns()
                    if pace.readings:
                        first = self.node.handed_on
                        self._execute(actions[:first])
                        self._measuring.acted(arrived_ns or begun_ns, begun_ns, left_ns)
                        self._execute(actions[first:] if first else actions)
                    else:
                        self._execute(actions)
                        cause = HOLDS.get(type(event))
                        if cause is not None:
                            self._measuring.spells.add(begun_ns, time.monotonic_ns(), cause)
                except Exception as error:  # noqa: BLE001 - after half an event nothing may go on
                    self.defect(type(event).__name__, error)
                    return
        finally:
            self._feeding = False
        self._arm()
        if self._breath is not None:
            self._breath.take()

    def defect(self, where: str, error: Exception) -> None:
        """Half an event is done: nothing is acknowledged any more, and the process ends."""
        self.node.failed = f"{type(error).__name__}: {error}"
        self._queue.clear()
        story = "".join(traceback.format_exception(error))
        self._hands.say(ev.Say("error", "defect", {"while": where, "story": story}))
        self._hands.exit(ev.Exit(1, self.node.failed))

    def _arm(self) -> None:
        self._alarm.set(self.node.next_wake(), self._now_ns)

    def _tick(self) -> None:
        self.feed(ev.Tick())

    def _watch_http(self) -> None:
        """Once a second, while anybody is connected: what took too long is ended."""
        if self._http_timer is None and self._http_connections:
            self._http_timer = self._loop.call_later(HTTP_TICK_S, self._http_tick)

    def _http_tick(self) -> None:
        self._http_timer = None
        if self.http is not None:
            self.http.tick(self.clock.now())
        self._watch_http()

    def _execute(self, actions: list[ev.Action]) -> None:
        for action in actions:
            match action:
                case ev.Send():
                    connection = action.connection
                    if connection in self._layered:
                        self.websockets.send(connection, action.data)
                    else:
                        self.network.send(connection, action.data)
                    waiting = self.network.unwritten(connection)
                    if waiting:
                        self._queue.append((ev.Unwritten(connection, waiting), 0))
                case ev.Verify(connection, claim):
                    self.passwords.call(partial(_verified, connection, claim), self._fed)
                case ev.Commit(n, ops):
                    self.committer.execute(ops, self._commit_outcome(n, self.clock.now().monotonic_ns))
                case ev.Actuate():
                    self._hands.actuate(action)
                case ev.Confirm():
                    self._hands.confirm(action)
                case ev.Reply():
                    self._hands.reply(action)
                case ev.ReadBlocks():
                    self.beside.call(partial(read_blocks, self.disk, action), self._fed)
                case ev.ReadPage():
                    self.beside.call(partial(read_headers, self.disk, action), self._fed)
                case ev.Beside(token, ops):
                    self.beside.execute(ops, self._side_outcome(token))
                case ev.Pack():
                    self.beside.call(partial(_packed, action), self._fed)
                case ev.Close(connection):
                    wire = self.websockets if connection in self._layered else self.network
                    wire.close(connection)
                    self._turns.hold(connection, False)  # its end must come through
                case ev.Pause(connection, paused):
                    self._pause(connection, paused)
                case ev.Established(connection):
                    self.network.established(connection)
                case ev.Dial():
                    assert self._parent is not None
                    self._dialled = self.network.dial(self._parent)
                case ev.Believe(wall_ns):
                    self.clock.believe(wall_ns)
                case ev.Say():
                    self._hands.say(action)
                case ev.Exit():
                    self._hands.exit(action)

    def _network_event(self, event: net.NetworkEvent) -> None:
        match event:
            case net.Opened() if event.endpoint == "http" and self.http is not None:
                self._http_connections.add(event.connection)
                self._layered.add(event.connection)
                self.http.opened(event.connection, event.peer, event.principal, self.clock.now())
                self._watch_http()
            case net.Opened():
                kind = "parent" if event.outbound else event.endpoint.partition(":")[0]
                self._taking_turns.add(event.connection)
                if self._flooded:
                    self.network.pause(event.connection)
                if kind == "ws":
                    self._layered.add(event.connection)
                    self.websockets.opened(event.connection, event.endpoint)
                self.feed(
                    ev.Opened(
                        event.connection,
                        "mqtt" if kind == "ws" else kind,
                        event.peer,
                        event.tls,
                        event.principal or None,
                        event.endpoint.partition(":")[2],
                    )
                )
            case net.Received(connection, data):
                self._received(connection, data)
            case net.Closed(connection) if connection in self._http_connections and self.http is not None:
                self._http_connections.discard(connection)
                self._layered.discard(connection)
                self.http.closed(connection)
            case net.Closed(connection, cause, detail):
                self.websockets.closed(connection)
                self._layered.discard(connection)
                self._paused.discard(connection)
                self._measuring.held(bool(self._paused), self._now_ns)
                self._behind.discard(connection)
                self._taking_turns.discard(connection)
                self._turns.closed(ev.Closed(connection, f"{cause}: {detail}" if detail else str(cause)))
            case net.DialFailed(_, _, cause, detail):
                self.feed(ev.DialFailed(f"{cause}: {detail}" if detail else str(cause)))
            case net.Drained(connection):
                self.feed(ev.Unwritten(connection, self.network.unwritten(connection)))
            case net.Full(connection):
                self.feed(ev.Unwritten(connection, self.network.unwritten(connection)))
            case net.Refused(endpoint, peer, cause, detail):
                self.feed(ev.Refused(endpoint, peer, str(cause), detail))

    def _commit_outcome(self, n: int, begun_ns: int) -> Callable[[Outcome], None]:
        def tell(outcome: Outcome) -> None:
            self.stages[StageName.COMMIT].observe(self.clock.now().monotonic_ns - begun_ns)
            match outcome:
                case Done():
                    self.feed(ev.Committed(n, self._room()))
                case PlanNoSpace():
                    self.feed(ev.NoSpace(n))
                case Failed(detail):
                    self.feed(ev.DiskFailed(detail))

        return tell

    def _room(self) -> int | None:
        try:
            return self.disk.free_bytes()
        except OSError:
            return None

    def _side_outcome(self, token: int) -> Callable[[Outcome], None]:
        def tell(outcome: Outcome) -> None:
            match outcome:
                case Done():
                    self.feed(ev.SideWorkDone(token))
                case PlanNoSpace(detail):
                    self.feed(ev.SideWorkDone(token, detail))
                case Failed(detail):
                    self.feed(ev.DiskFailed(detail))

        return tell

    def _fed(self, outcome: ev.Event | Exception) -> None:
        if isinstance(outcome, Exception):
            self.defect("reading", outcome)
        else:
            self.feed(outcome)


def _packed(asked: ev.Pack) -> ev.Event:
    return ev.Packed(asked.token, encode_file(asked.info, asked.snapshot))


def _verified(connection: int, claim: Claim) -> ev.Event:
    return ev.Verified(connection, claim, is_right(claim))
