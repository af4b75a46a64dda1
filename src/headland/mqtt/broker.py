"""The MQTT broker as a machine: bytes and events in, actions out. MQTT 5.0 and 3.1.1.

Laws:

* A publish is handed over (`Accept`) at once and acknowledged when the commit that its judgement rests on is
  durable.
* Acknowledgements leave in the order in which their packets arrived on the connection (MQTT-4.6.0-2).
* Whatever a client was promised (session, subscription, retained message, QoS 2 identifier) was durable
  before the answer that promised it.
* A peer that breaks the protocol loses its own connection, with the protocol's reason, and nothing else
  happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from heapq import heappop

from headland.mqtt import recovery
from headland.mqtt.codec import INCOMPLETE, body_start, frame_end
from headland.mqtt.config import MqttConfig
from headland.mqtt.connecting import SECOND_NS, Connecting, first_packet, unsupported
from headland.mqtt.connection import Connection
from headland.mqtt.counters import Counters
from headland.mqtt.decoding import decode
from headland.mqtt.encoding import PINGRESP
from headland.mqtt.inbound import Inbound
from headland.mqtt.judging import judge_again
from headland.mqtt.outbound import Outbound
from headland.mqtt.packets import (
    V5,
    Ack,
    Connect,
    Disconnect,
    PacketType,
    Ping,
    Properties,
    Subscribe,
    Unsubscribe,
)
from headland.mqtt.reasons import ProtocolError, Reason
from headland.mqtt.state import PUMP, SESSION, State
from headland.mqtt.subscribing import subscribe, unsubscribe
from headland.mqtt.surface import Action, Authenticator, Claim, Close, Draft, Peer, PublishRun
from headland.mqtt.topics import check_topic
from headland.vocabulary.instant import Instant

TOPIC_BYTES_MAX = 65_535


class Broker:
    """One broker for all listeners of a node."""

    def __init__(self, config: MqttConfig, auth: Authenticator) -> None:
        self._state = State(config, auth)
        self._outbound = Outbound(self._state)
        self._inbound = Inbound(self._state, self._outbound)
        self._connecting = Connecting(self._state, self._outbound)
        self._recovered = True

    @property
    def counters(self) -> Counters:
        """What has been counted so far."""
        return self._state.counters

    def sizes(self) -> dict[str, int]:
        """How much is held at this moment, for metrics."""
        store = self._state.store
        return {
            "connections": len(self._state.connections),
            "sessions": len(store.sessions),
            "subscriptions": store.trie.count,
            "retained_messages": len(store.retained.messages),
            "retained_bytes": store.retained.total_bytes,
            "queued_messages": len(store.queued),
            "queued_bytes": store.queued_bytes,
        }

    # Connections

    def connected(self, peer: Peer, now: Instant) -> list[Action]:
        """A transport was accepted."""
        state = self._state
        state.store.now = now
        if len(state.connections) >= state.config.connections_max:
            state.counters.connects_refused += 1
            return [Close(peer.connection, False, "connections_max")]
        link = Connection(peer, now.monotonic_ns)
        state.connections[peer.connection] = link
        state.watch_connection(link, now.monotonic_ns + state.config.connect_timeout_s * SECOND_NS)
        return []

    def received(self, parts: Sequence[tuple[int, bytes]], now: Instant, draft: Draft) -> list[Action]:
        """Bytes came in: (connection, bytes), of any number of connections, in order of arrival.

        It makes no difference to any client what else was brought together with its bytes; the publishes of
        all of them are handed over as one run.
        """
        state = self._state
        self._begin(now)
        for connection, data in parts:
            link = state.connections.get(connection)
            if link is None or link.closed:
                continue
            link.heard_ns = now.monotonic_ns
            self._take(link, data, draft)
            if state.departing or state.ready:
                self._settle()
        self._inbound.hand_over()
        return self._end(draft)

    def _take(self, link: Connection, data: bytes, draft: Draft) -> None:
        before = len(link.rest)
        if link.unproven is not None:
            link.rest += data
            self._count_partial(link, before)
            return
        if before:
            link.rest += data
            if len(link.rest) < link.need:
                self._count_partial(link, before)
                return
            data = bytes(link.rest)
            link.rest.clear()
        try:
            self._consume(link, data, draft)
            self._inbound.finish(link, draft)
        except ProtocolError as error:
            self._broken(link, error, draft)
        if before or link.rest:
            self._count_partial(link, before)

    def _count_partial(self, link: Connection, before: int) -> None:
        """Bound the beginnings of packets that all connections together make the broker keep."""
        state = self._state
        state.partial_bytes += len(link.rest) - before
        if state.partial_bytes > state.config.partial_bytes_max and link.rest and not link.closed:
            state.counters.closed_by_quota += 1
            state.close(link, Reason.QUOTA_EXCEEDED, "partial_bytes_max")

    def _consume(self, link: Connection, data: bytes, draft: Draft) -> None:
        inbound = self._inbound
        config = self._state.config
        at = 0
        end = len(data)
        while at < end and not link.closed:
            first = data[at]
            if first & 0xF0 == 0x30 and link.opened:
                at = inbound.take_plain(link, data, at)
                if at == end:
                    return
                first = data[at]
            if not link.opened:
                first_packet(first)
            limit = config.packet_bytes_max if link.opened else config.connect_bytes_max
            stop = frame_end(data, at, limit, link.opened and link.version == V5)
            if stop == INCOMPLETE or stop > end:
                link.rest += data[at:]
                link.need = 0 if stop == INCOMPLETE else stop - at
                return
            body = body_start(data, at)
            if first & 0xF0 == 0x30:
                inbound.take(link, data, first, body, stop, draft)
            else:
                self._packet(link, first, data, body, stop, draft)
                if link.unproven is not None:
                    link.rest += data[stop:]
                    link.need = 0
                    return
            at = stop

    def _packet(self, link: Connection, first: int, data: bytes, body: int, stop: int, draft: Draft) -> None:
        state = self._state
        if link.opened and first & 0xF0 == 0x10:
            raise ProtocolError("a second CONNECT", Reason.PROTOCOL_ERROR, "MQTT-3.1.0-2")
        try:
            packet = decode(first, data, body, stop, link.version)
        except ProtocolError as error:
            if not link.opened and error.rule == "MQTT-3.1.2-2":
                unsupported(state, link, data, body)
                return
            raise
        match packet:
            case Ack(PacketType.PUBREL):
                self._inbound.released(link, packet, draft)
            case Ack():
                self._outbound.acknowledged(link, packet)
            case Ping(PacketType.PINGREQ):
                state.send(link, PINGRESP)
            case Connect():
                if packet.version == V5 and not data[body - 1]:  # only now is it known which rule holds
                    raise ProtocolError("remaining length is not minimal", rule="MQTT-1.5.5-1")
                self._connecting.connect(link, packet, draft.n)
            case Subscribe():
                self._inbound.finish(link, draft)
                subscribe(state, self._outbound, link, packet, draft.n)
            case Unsubscribe():
                self._inbound.finish(link, draft)
                unsubscribe(state, link, packet, draft.n)
            case Disconnect():
                self._inbound.finish(link, draft)
                self._connecting.disconnect(link, packet)
            case _:
                # CONNACK, SUBACK and the like; AUTH, since no method of authentication was agreed on.
                raise ProtocolError("a packet that is not the client's to send", Reason.PROTOCOL_ERROR)

    def _broken(self, link: Connection, error: ProtocolError, draft: Draft) -> None:
        """Close the connection of a peer that broke the protocol; what it sent before is handed over."""
        state = self._state
        state.counters.protocol_errors += 1
        with suppress(ProtocolError):
            self._inbound.finish(link, draft)
        state.close(link, error.reason, error.reason.name.lower(), str(error))

    def proven(self, connection: int, claim: Claim, right: bool, now: Instant, draft: Draft) -> list[Action]:
        """The password of a client has been checked (`Verify`); the client may be gone meanwhile."""
        state = self._state
        principal = state.authenticator.proven(claim, right)
        link = state.connections.get(connection)
        if link is None or link.closed or link.unproven is None:
            return []
        self._begin(now)
        self._connecting.proven(link, principal, draft.n)
        if not link.closed:
            self._take(link, b"", draft)
        self._inbound.hand_over()
        return self._end(draft)

    def closed(self, connection: int, now: Instant, draft: Draft) -> list[Action]:
        """The transport is gone."""
        link = self._state.connections.get(connection)
        if link is None:
            return []
        self._begin(now)
        if not link.closed:
            link.closed = True
            self._state.departing.append(link)
        return self._end(draft)

    # Commits

    def rest_on(self, run: PublishRun, needs: Sequence[int] | int, now: Instant) -> list[Action]:
        """The publishes of `run` have been judged.

        What the judgement wrote must be in the draft that `received` was given, or in one committed no later.

        Args:
            run: The run of an `Accept`.
            needs: Commit number that the dispositions of each stretch rest on, or one for all; a number that
                is already durable (0 always is) holds nothing back.
            now: The moment.
        """
        if not run.owed:
            return []
        state = self._state
        state.store.now = now
        due, run.owed = run.owed, []
        second = 2 in run.qos
        for owed in due:
            owed.needs = max(owed.floor, needs if isinstance(needs, int) else needs[owed.stretch])
            if second:
                self._inbound.judged(run, owed)
            link = owed.connection
            if not link.closed and link.owed[0] is owed:
                state.release(link)
        return self._end_without_draft()

    def committed(self, n: int, now: Instant) -> list[Action]:
        """Everything up to commit `n` is on disk: what rested on it leaves, one `Send` a connection."""
        state = self._state
        state.store.now = now
        state.durable = max(n, state.durable)
        if state.gates:
            for number in sorted(number for number in state.gates if number <= n):
                for session, identifier in state.gates.pop(number):
                    self._outbound.gate_opened(session, identifier)
        waiting = state.waiting
        for number in sorted(number for number in waiting if number <= n):
            for link in waiting.pop(number):
                if link.waits_for == number:
                    link.waits_for = 0
                if not link.closed:
                    state.release(link)
        return self._end_without_draft()

    def turn_away(self) -> None:
        """The disk is full: publishes are handed over to be decided on, and nothing of them is kept.

        They are not retained, queued or acknowledged, and their identifiers are not noted: but for the
        decision, and QoS 0 messages that subscribers are given from memory, it is as if they had not come.
        """
        self._state.turning_away = True

    def take_again(self, now: Instant) -> list[Action]:
        """There is room again. Who was turned away with QoS 1 or 2 is closed: it sends again when it is back.

        MQTT 5 clients send again on a new connection only (MQTT-4.4.0-1), and answers may not pass over a
        publish (MQTT-4.6.0-2).
        """
        state = self._state
        state.store.now = now
        state.turning_away = False
        for link in list(state.connections.values()):
            if link.turned_away and not link.closed:
                state.counters.closed_by_quota += 1
                state.close(link, Reason.QUOTA_EXCEEDED, "turned_away", "no room was left: send again")
        return self._end_without_draft()

    # The node's own words

    def publish(
        self,
        topic: str,
        payload: bytes,
        now: Instant,
        draft: Draft,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> list[Action]:
        """Publish in the node's own name, to local subscribers only (it is not handed to the line).

        What is no topic is counted and goes to nobody (`refuses` says why).
        """
        self._begin(now)
        if self.refuses(topic):
            self._state.counters.own_refused += 1
            return self._end(draft)
        self._connecting.publish(topic, payload, qos, retain, properties, "")
        return self._end(draft)

    def refuses(self, topic: str) -> str:
        """Why nothing is published to a topic, or ""."""
        try:
            config = self._state.config
            check_topic(topic, config.topic_levels_max, config.topic_characters_max)
            if len(topic.encode()) > TOPIC_BYTES_MAX:
                return f"topic name over {TOPIC_BYTES_MAX} bytes"
        except (ProtocolError, UnicodeEncodeError) as error:
            return str(error)
        return ""

    def buffered(self, connection: int, waiting_bytes: int, now: Instant) -> list[Action]:
        """Bytes that wait in a connection's transport: to be told when not 0, and when 0 again."""
        state = self._state
        link = state.connections.get(connection)
        if link is None or link.closed:
            return []
        state.store.now = now
        link.backlog_bytes = waiting_bytes
        if waiting_bytes > state.config.send_bytes_max:
            state.counters.closed_by_quota += 1
            state.finish(link, "quota", after_send=False)
        elif link.session is not None and waiting_bytes <= state.config.send_budget_bytes // 2:
            self._outbound.pump(link.session)
        return self._end_without_draft()

    def unread(self, connection: int, unread: bool, now: Instant) -> None:
        """The node does not read a connection (or does again): the silence is ours, not the client's.

        What the broker itself has paused it knows of itself.
        """
        link = self._state.connections.get(connection)
        if link is not None:
            link.unread = unread
            link.read_from_ns = now.monotonic_ns

    def stop(self, now: Instant, draft: Draft) -> list[Action]:
        """The node goes down: tell every client and close; lasting sessions stay, wills are published."""
        self._begin(now)
        state = self._state
        for link in list(state.connections.values()):
            state.close(link, Reason.SERVER_SHUTTING_DOWN, "stopping")
        return self._end(draft)

    def judge_again(self, other_passwords: frozenset[str], now: Instant, draft: Draft) -> list[Action]:
        """The authenticator has become another: what is no longer allowed ends (`headland.mqtt.judging`).

        Args:
            other_passwords: Principals whose password is another now: their connections are closed.
            now: The moment.
            draft: The open commit.
        """
        self._begin(now)
        judge_again(self._state, self._connecting, other_passwords)
        return self._end(draft)

    # Time

    def next_wake(self) -> int | None:
        """Monotonic ns of the earliest timer; 0 (at once) after a recovery."""
        if not self._recovered:
            return 0
        timers = self._state.timers
        return timers[0][0] if timers else None

    def wake(self, now: Instant, draft: Draft) -> list[Action]:
        """Do what has come due."""
        state = self._state
        self._begin(now)
        due: list[tuple[int, int, int, int | str]] = []
        while state.timers and state.timers[0][0] <= now.monotonic_ns:
            due.append(heappop(state.timers))
        for at_ns, _, kind, key in due:
            if isinstance(key, int):
                link = state.connections.get(key)
                if link is not None and not link.closed:
                    self._wake_connection(link, kind, at_ns)
            elif kind == SESSION:
                session = state.store.sessions.get(key)
                if session is not None and session.timer_ns == at_ns:
                    session.timer_ns = 0
                    self._connecting.check_session(session)
        return self._end(draft)

    def _wake_connection(self, link: Connection, kind: int, at_ns: int) -> None:
        if kind == PUMP:
            link.pumping = False
            if link.session is not None:
                self._outbound.pump(link.session)
        elif link.timer_ns == at_ns:
            link.timer_ns = 0
            self._check_heard(link)

    def _check_heard(self, link: Connection) -> None:
        state = self._state
        patience_ns = link.keep_alive_ns if link.opened else state.config.connect_timeout_s * SECOND_NS
        if not patience_ns:
            return
        now_ns = state.now.monotonic_ns
        since = max(link.heard_ns, link.read_from_ns) if link.opened else link.read_from_ns
        silent_until = (now_ns if link.unread or link.paused else since) + patience_ns
        if silent_until > now_ns:
            state.watch_connection(link, silent_until)
        elif not link.opened:
            state.counters.connects_refused += 1
            state.finish(link, "connect_timeout")
        else:
            state.counters.keep_alive_timeouts += 1
            state.close(link, Reason.KEEP_ALIVE_TIMEOUT, "keep_alive_timeout")

    # Durable state

    def snapshot(self) -> bytes:
        """Sessions, queues and retained messages, for a checkpoint."""
        return recovery.snapshot(self._state.store)

    def restore(self, data: bytes) -> None:
        """Begin from a checkpoint, before anything else.

        Raises:
            StorageDamage: The data is not a snapshot.
        """
        self._recovered = False
        recovery.restore(self._state.store, data)

    def replay(self, data: bytes) -> None:
        """Repeat one STATE section of a commit, in order, before anything else.

        Raises:
            StorageDamage: The data is not a list of changes.
        """
        self._recovered = False
        recovery.replay(self._state.store, data)

    # Every call

    def _begin(self, now: Instant) -> None:
        """Note the moment; the first one after a recovery starts the clocks of what was recovered."""
        self._state.store.now = now
        if not self._recovered:
            self._recovered = True
            recovery.rebase(self._state.store, now)
            self._connecting.recover()
            judge_again(self._state, self._connecting)

    def _end(self, draft: Draft) -> list[Action]:
        """Settle what the call has set in motion, write what has changed, say what is to be done."""
        state = self._state
        if state.departing or state.ready:
            self._settle()
        state.flush(draft)
        return state.collect()

    def _settle(self) -> None:
        """Clients that came or went: their publishes are handed over before their sessions are told."""
        state = self._state
        self._inbound.hand_over()
        while state.departing or state.ready:
            self._start_ready()
            self._connecting.settle()

    def _end_without_draft(self) -> list[Action]:
        state = self._state
        if state.ready:
            self._start_ready()
        state.flush_soon()
        return state.collect()

    def _start_ready(self) -> None:
        ready, self._state.ready = self._state.ready, []
        for link in ready:
            if link.session is not None:
                self._outbound.pump(link.session)
