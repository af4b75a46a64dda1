"""What the parts of the broker share: connections, what to send, and what waits for which commit."""

from __future__ import annotations

from heapq import heappush

from headland.mqtt.codec import encode_acks
from headland.mqtt.config import MqttConfig
from headland.mqtt.connection import UNKNOWN, Connection, Owed
from headland.mqtt.counters import Counters
from headland.mqtt.encoding import encode
from headland.mqtt.packets import V5, Disconnect, Properties
from headland.mqtt.reasons import Reason
from headland.mqtt.surface import Action, Authenticator, Close, Continue, Pause, Send
from headland.vocabulary.instant import Instant


class State:
    """Fields that every part works on.

    Attributes:
        connections: Open connections by number.
        durable: Newest commit known to be on disk.
        held: Whether publishes are received but not acknowledged (the disk is full).
        waiting: Connections whose oldest answer rests on a commit, by its number.
        actions: Actions of the call in progress.
        touched: Connections with bytes to send in the call in progress.
        timers: Heap of (monotonic ns, sequence, kind, key); entries are checked when they come up.
    """

    def __init__(self, config: MqttConfig, authenticator: Authenticator) -> None:
        self.config = config
        self.authenticator = authenticator
        self.counters = Counters()
        self.connections: dict[int, Connection] = {}
        self.durable = 0
        self.held = False
        self.waiting: dict[int, list[Connection]] = {}
        self.actions: list[Action] = []
        self.touched: dict[int, Connection] = {}
        self.timers: list[tuple[int, int, int, int | str]] = []
        self._timer_sequence = 0
        self.now = Instant(0, 0, False)

    def collect(self) -> list[Action]:
        """The actions of this call: one `Send` a connection, before its `Close`."""
        if self.touched:
            sends: list[Action] = []
            for connection in self.touched.values():
                if connection.out:
                    sends.append(Send(connection.number, b"".join(connection.out)))
                    connection.out.clear()
            self.touched.clear()
            actions = sends + self.actions if self.actions else sends
        else:
            actions = self.actions
        self.actions = []
        return actions

    def send(self, connection: Connection, data: bytes) -> None:
        """Add bytes to what the connection is sent at the end of this call."""
        connection.out.append(data)
        self.touched[connection.number] = connection

    def close(self, connection: Connection, reason: Reason, word: str, text: str = "") -> None:
        """Say why (MQTT 5), then close. The session is not touched: `connecting.depart` does that."""
        if connection.closed:
            return
        if connection.opened and connection.version == V5:
            detail = Properties(reason_string=text) if text and connection.problem_information else None
            self.send(connection, encode(Disconnect(reason, detail), V5))
        self.actions.append(Close(connection.number, True, word))
        connection.closed = True

    def owe(self, connection: Connection, owed: Owed) -> None:
        """Queue an answer; it leaves at once when nothing holds it."""
        connection.owed.append(owed)
        if len(connection.owed) == 1:
            self.release(connection)

    def answer(self, connection: Connection, data: bytes, needs: int) -> None:
        """Queue a ready answer that rests on commit `needs` (0: on nothing)."""
        self.owe(connection, Owed(needs, 0, data, None))

    def release(self, connection: Connection) -> bool:
        """Send the answers that are no longer held by anything; whether a CONNACK was among them."""
        owed = connection.owed
        opens = False
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
                opens = opens or head.opens
                owed.popleft()
                continue
            if self.held:
                break
            stop = len(run.qos) if not head.marks else head.marks.pop()[0]
            connection.out.append(encode_acks(run.packet_ids, run.qos, head.start, stop))
            connection.unacknowledged -= run.qos[head.start : stop].count(1)
            if head.marks:
                head.start, head.needs = stop, head.marks[-1][1]
            else:
                owed.popleft()
        if connection.out:
            self.touched[connection.number] = connection
        if connection.paused and connection.unacknowledged <= self.config.receive_maximum // 2:
            connection.paused = False
            self.actions.append(Continue(connection.number))
        return opens

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
