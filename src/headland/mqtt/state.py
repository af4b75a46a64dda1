"""What the parts of the broker share: connections, what to send, and what waits for which commit."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappush

from headland.mqtt.codec import encode_acks
from headland.mqtt.config import MqttConfig
from headland.mqtt.connection import UNKNOWN, Connection, Owed
from headland.mqtt.counters import Counters
from headland.mqtt.encoding import encode
from headland.mqtt.packets import V5, Disconnect, Properties
from headland.mqtt.reasons import Reason
from headland.mqtt.records import Changes
from headland.mqtt.records import encode as encode_record
from headland.mqtt.session import Session
from headland.mqtt.store import Store
from headland.mqtt.surface import Action, Authenticator, Close, Continue, Draft, Pause, Send
from headland.vocabulary.instant import Instant

KEEP_ALIVE, PUMP, SESSION, FLUSH = 1, 2, 3, 4
"""Kinds of timers: is a connection still heard; go on sending; a session's end or will; write what is
unwritten."""

_ANY_SIZE = 1 << 32


def explained(connection: Connection, text: str, packet: Callable[[Properties | None], bytes]) -> bytes:
    """A packet with an explanation where the client wants one and has room for it.

    Empty when even the bare packet is longer than the client takes (MQTT-3.1.2-24, -29, MQTT-3.2.2-19,
    MQTT-3.14.2-3).
    """
    room = connection.packet_bytes_max or _ANY_SIZE
    if text and connection.problem_information:
        data = packet(Properties(reason_string=text))
        if len(data) <= room:
            return data
    data = packet(None)
    return data if len(data) <= room else b""


class State:
    """Fields that every part works on.

    Attributes:
        connections: Open connections by number.
        durable: Newest commit known to be on disk.
        turning_away: Whether publishes are handed over to be decided on, and not taken (the disk is full).
        store: Sessions and messages.
        waiting: Connections whose oldest answer rests on a commit, by its number.
        actions: Actions of the call in progress.
        partial_bytes: Bytes of packets not yet complete, of all connections.
        touched: Connections with bytes to send in the call in progress.
        ready: Connections whose CONNACK left in the call in progress: their sessions' messages may follow.
        departing: Connections closed in the call in progress, whose sessions have yet to be told.
        ungated: Outgoing QoS 2 flights whose note is not yet in a commit.
        gates: Flights that wait for a commit, by its number.
        timers: Heap of (monotonic ns, sequence, kind, key); entries are checked when they come up.
    """

    def __init__(self, config: MqttConfig, authenticator: Authenticator) -> None:
        self.config = config
        self.authenticator = authenticator
        self.counters = Counters()
        self.store = Store(config, self.counters)
        self.connections: dict[int, Connection] = {}
        self.durable = 0
        self.turning_away = False
        self.partial_bytes = 0
        self.waiting: dict[int, list[Connection]] = {}
        self.actions: list[Action] = []
        self.touched: dict[int, Connection] = {}
        self.ready: list[Connection] = []
        self.departing: list[Connection] = []
        self.ungated: list[tuple[Session, int]] = []
        self.gates: dict[int, list[tuple[Session, int]]] = {}
        self.timers: list[tuple[int, int, int, int | str]] = []
        self._timer_sequence = 0
        self._flushing = False

    @property
    def now(self) -> Instant:
        """The moment of the call in progress."""
        return self.store.now

    def collect(self) -> list[Action]:
        """The actions of this call: one `Send` a connection, before its `Close`."""
        if self.touched:
            sends: list[Action] = []
            for connection in self.touched.values():
                if connection.out:
                    sends.append(Send(connection.number, b"".join(connection.out)))
                    connection.out.clear()
                    connection.out_bytes = 0
            self.touched.clear()
            actions = sends + self.actions if self.actions else sends
        else:
            actions = self.actions
        self.actions = []
        return actions

    def send(self, connection: Connection, data: bytes) -> None:
        """Add bytes to what the connection is sent at the end of this call.

        While its CONNACK waits for a commit they wait behind it (MQTT-3.2.0-1).
        """
        if connection.opened and not connection.delivering:
            self.owe(connection, Owed(connection, 0, 0, data))
            return
        connection.out.append(data)
        connection.out_bytes += len(data)
        self.touched[connection.number] = connection

    def close(self, connection: Connection, reason: Reason, word: str, text: str = "") -> None:
        """Say why (MQTT 5), then close; the session is told at the end of the next call that has a draft.

        A client whose CONNACK has not left is told nothing (MQTT-3.14.0-1).
        """
        if connection.closed:
            return
        if connection.delivering and connection.version == V5:
            farewell = explained(connection, text, lambda detail: encode(Disconnect(reason, detail), V5))
            if farewell:
                self.send(connection, farewell)
        self.finish(connection, word)

    def finish(self, connection: Connection, word: str, after_send: bool = True) -> None:
        """Close a connection, normally after what it has been sent."""
        self.actions.append(Close(connection.number, after_send, word))
        connection.closed = True
        self.departing.append(connection)

    def owe(self, connection: Connection, owed: Owed) -> None:
        """Queue an answer; it leaves at once when nothing holds it."""
        connection.owed.append(owed)
        if len(connection.owed) == 1:
            self.release(connection)
        elif len(connection.owed) > self.config.receive_maximum:
            self.pause(connection)  # what is asked again and again costs memory for every answer

    def answer(self, connection: Connection, data: bytes, needs: int) -> None:
        """Queue an answer that rests on commit `needs` (0: on nothing); one too long ends the connection."""
        if 0 < connection.packet_bytes_max < len(data):
            self.close(connection, Reason.PACKET_TOO_LARGE, "packet_too_large")
            return
        self.owe(connection, Owed(connection, needs, 0, data))

    def release(self, connection: Connection) -> None:
        """Send the answers that are no longer held by anything."""
        owed = connection.owed
        while owed:
            head = owed[0]
            if head.needs == UNKNOWN:
                break
            if head.needs > self.durable:
                self._wait(connection, head.needs)
                break
            run = head.run
            if run is None:
                connection.out.append(head.data)
                if head.opens:
                    connection.delivering = True
                    self.ready.append(connection)
                owed.popleft()
                continue
            connection.out.append(encode_acks(run.packet_ids, run.qos, head.start, head.stop))
            connection.unacknowledged -= run.qos[head.start : head.stop].count(1)
            owed.popleft()
        if connection.out:
            self.touched[connection.number] = connection
        half = self.config.receive_maximum // 2
        if connection.paused and connection.unacknowledged <= half and len(owed) <= half:
            connection.paused = False
            connection.read_from_ns = self.now.monotonic_ns
            self.actions.append(Continue(connection.number))

    def _wait(self, connection: Connection, needs: int) -> None:
        if connection.waits_for == needs:
            return
        connection.waits_for = needs
        waiters = self.waiting.get(needs)
        if waiters is None:
            self.waiting[needs] = [connection]
        else:
            waiters.append(connection)

    def pause(self, connection: Connection) -> None:
        """Stop reading from a client that has too much unacknowledged."""
        if not connection.paused:
            connection.paused = True
            self.actions.append(Pause(connection.number))

    def timer(self, at_ns: int, kind: int, key: int | str) -> None:
        """Ask to be woken at `at_ns`."""
        self._timer_sequence += 1
        heappush(self.timers, (at_ns, self._timer_sequence, kind, key))
        if len(self.timers) > 4 * (len(self.connections) + len(self.store.sessions)) + 1_000:
            self._rebuild_timers()

    def _rebuild_timers(self) -> None:
        """Leave the timers that still mean something: clients that come and go must not fill the heap."""
        current: dict[tuple[int, int | str], tuple[int, int, int, int | str]] = {}
        for entry in self.timers:
            at_ns, _, kind, key = entry
            if kind == KEEP_ALIVE:
                connection = self.connections.get(key) if isinstance(key, int) else None
                alive = connection is not None and connection.timer_ns == at_ns
            elif kind == SESSION:
                session = self.store.sessions.get(key) if isinstance(key, str) else None
                alive = session is not None and session.timer_ns == at_ns
            else:
                alive = True
            if alive:
                current[kind, key] = entry
        self.timers = list(current.values())
        heapify(self.timers)

    def watch_connection(self, connection: Connection, at_ns: int) -> None:
        """Look at the connection's silence at `at_ns` at the latest."""
        if not connection.timer_ns or at_ns < connection.timer_ns:
            connection.timer_ns = at_ns
            self.timer(at_ns, KEEP_ALIVE, connection.number)

    def watch_session(self, session: Session) -> None:
        """See to it that the session's end and will are looked at in time."""
        at_ns = session.next_deadline()
        if at_ns and (not session.timer_ns or at_ns < session.timer_ns):
            session.timer_ns = at_ns
            self.timer(at_ns, SESSION, session.client)

    def pump_soon(self, connection: Connection) -> None:
        """Go on with the connection's messages in a call of its own."""
        if not connection.pumping:
            connection.pumping = True
            self.timer(self.now.monotonic_ns, PUMP, connection.number)

    def flush(self, draft: Draft) -> None:
        """Write what has changed into the open commit."""
        self._flushing = False
        if self.store.changes:
            draft.state("mqtt", encode_record(Changes(self.store.wall_ms(), self.store.changes)))
            self.store.changes = []
        if self.ungated:
            self.gates.setdefault(draft.n, []).extend(self.ungated)
            self.ungated = []

    def flush_soon(self) -> None:
        """Ask for a draft when a call that had none has left something to write."""
        if not self._flushing and (self.store.changes or self.ungated or self.departing):
            self._flushing = True
            self.timer(self.now.monotonic_ns, FLUSH, "")
