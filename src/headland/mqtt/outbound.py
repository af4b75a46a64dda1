"""Messages to subscribers: who gets one, how much may be on its way, and the sender's half of QoS 1 and 2.

Laws:

* What a connection is sent in one call, and what waits in its transport, is bounded by `send_budget_bytes`:
  above it QoS 0 is dropped and counted, QoS 1 and 2 wait in the session's queue, which is bounded too.
* At most min(receive maximum of the client, `inflight_max`) messages are unacknowledged on a connection
  (MQTT-3.3.4-9).
* A session gets one copy of a message, however many of its subscriptions match, at the highest of their QoS,
  with all their identifiers.
"""

from __future__ import annotations

from headland.mqtt import properties as wire
from headland.mqtt.codec import encode_publish, varint
from headland.mqtt.connection import Connection
from headland.mqtt.encoding import encode
from headland.mqtt.packets import V5, Ack, PacketType, Properties
from headland.mqtt.reasons import ProtocolError, Reason
from headland.mqtt.session import Flight, Item, Message, Session, Stage, Subscribed
from headland.mqtt.state import State

EXPANSIONS_MAX = 64
"""Filters of a SUBSCRIBE whose retained messages are looked up in one call."""


class Outbound:
    """The sending half of the broker."""

    def __init__(self, state: State) -> None:
        self.state = state

    def fan_out(self, message: Message, origin: str) -> bool:
        """Give a message to everybody who is subscribed to its topic.

        Args:
            message: As published.
            origin: Client identifier of the publisher ("" for the node itself).

        Returns:
            Whether something durable was written: the message's acknowledgement rests on this commit.
        """
        plain, groups = self.state.store.route(message.topic)
        if not plain and not groups:
            return False
        holders: list[tuple[Session, Item]] = []
        if len(plain) == 1:
            if not (plain[0].options.no_local and plain[0].session.client == origin):
                self._give(plain[0].session, message, plain, holders)
        elif plain:
            by_session: dict[str, list[Subscribed]] = {}
            for subscribed in plain:
                if not (subscribed.options.no_local and subscribed.session.client == origin):
                    by_session.setdefault(subscribed.session.client, []).append(subscribed)
            for several in by_session.values():
                self._give(several[0].session, message, several, holders)
        for group in groups:
            members = group.in_turn()
            chosen = next((one for one in members if self._ready(one.session)), None)
            if chosen is None:
                chosen = next((one for one in members if one.session.lasting), members[0])
            self._give(chosen.session, message, [chosen], holders)
        if not holders:
            return False
        self.state.store.queue(message, holders)
        for session, _ in holders:
            self.pump(session)
        return True

    def _ready(self, session: Session) -> bool:
        connection = session.connection
        return (
            connection is not None
            and connection.delivering
            and not session.queue
            and self._has_budget(connection)
        )

    def _give(
        self,
        session: Session,
        message: Message,
        through: list[Subscribed],
        holders: list[tuple[Session, Item]],
    ) -> None:
        """One copy for a session: sent, queued in memory, or added to the durable message's `holders`."""
        granted = max(subscribed.options.qos for subscribed in through)
        qos = min(message.qos, granted)
        retain = message.retain and any(subscribed.options.retain_as_published for subscribed in through)
        identifiers = tuple(subscribed.identifier for subscribed in through if subscribed.identifier)
        if qos == 0:
            self._give_unqueued(session, message, retain, identifiers)
            return
        item = Item(message, qos, retain, identifiers)
        if session.lasting:
            holders.append((session, item))
        else:
            self._enqueue(session, item)

    def _give_unqueued(
        self, session: Session, message: Message, retain: bool, identifiers: tuple[int, ...]
    ) -> None:
        connection = session.connection
        counters = self.state.counters
        if connection is None or not connection.delivering or connection.closed:
            counters.dropped_offline += 1
        elif not self._has_budget(connection):
            counters.dropped_slow += 1
        else:
            self._transmit(connection, message, 0, retain, identifiers, 0, False)

    def _enqueue(self, session: Session, item: Item) -> None:
        """Queue in memory for a session that ends with its connection."""
        store = self.state.store
        connection = session.connection
        if connection is None or connection.closed:
            self.state.counters.dropped_offline += 1
            return
        store.hold(session, item)
        self.pump(session)
        if session.queue_bytes > self.state.config.connection_queue_bytes_max:
            self.state.counters.closed_by_quota += 1
            self.state.close(connection, Reason.QUOTA_EXCEEDED, "quota", "too slow for its subscriptions")

    def _has_budget(self, connection: Connection) -> bool:
        return connection.backlog_bytes + connection.out_bytes <= self.state.config.send_budget_bytes

    # Sending

    def pump(self, session: Session) -> None:
        """Send what may be sent: repeats, then the queue, then retained messages of new filters."""
        connection = session.connection
        if connection is None or not connection.delivering or connection.closed:
            return
        window = min(connection.receive_maximum, self.state.config.inflight_max)
        while session.resend and session.outstanding < window and self._has_budget(connection):
            self._repeat(session, session.resend.popleft(), connection)
        if not session.resend:
            while session.queue and session.outstanding < window and self._has_budget(connection):
                self._send_first(session, connection)
            self._feed_retained(session, connection, window)
        waits = session.resend or connection.feed or connection.feed_topics
        if (waits or session.queue) and session.outstanding < window and not connection.backlog_bytes:
            # This call's budget is used up, nothing waits in the transport: go on in the next one.
            self.state.pump_soon(connection)

    def _send_first(self, session: Session, connection: Connection) -> None:
        store = self.state.store
        item = store.take_first(session)
        message = item.message
        if message.gone:
            store.let_go(message)
            return
        if 0 < message.expires_ns <= self.state.now.monotonic_ns:
            self.state.counters.dropped_expired += 1
            store.done(session, item)
            return
        identifier = session.free_id()
        flight = Flight(item)
        if item.qos == 2 and session.lasting:
            flight.here = flight.gated = True
            session.outstanding += 1
            session.flights[identifier] = flight
            store.identify(session, identifier, flight)
            self.state.ungated.append((session, identifier))
        elif self._transmit(connection, message, item.qos, item.retain, item.identifiers, identifier, False):
            flight.here = flight.dup = True
            session.outstanding += 1
            session.flights[identifier] = flight
        else:
            store.done(session, item)

    def _repeat(self, session: Session, identifier: int, connection: Connection) -> None:
        flight = session.flights.get(identifier)
        if flight is None or flight.gated or flight.here:
            return
        session.outstanding += 1
        flight.here = True
        self._send_flight(session, identifier, flight, connection)

    def _send_flight(self, session: Session, identifier: int, flight: Flight, connection: Connection) -> None:
        if flight.stage is Stage.RELEASED:
            release = Ack(PacketType.PUBREL, identifier)
            self.state.send(connection, encode(release, connection.version))
            return
        item = flight.item
        dup = flight.dup
        flight.dup = True
        sent = not item.message.gone and self._transmit(
            connection, item.message, item.qos, item.retain, item.identifiers, identifier, dup
        )
        if not sent:
            self._finish(session, identifier, flight)

    def gate_opened(self, session: Session, identifier: int) -> None:
        """What a QoS 2 flight waited for is durable."""
        flight = session.flights.get(identifier)
        connection = session.connection
        if flight is None or not flight.gated:
            return
        flight.gated = False
        if connection is None or not connection.delivering or connection.closed:
            return
        if not flight.here:
            flight.here = True
            session.outstanding += 1
        self._send_flight(session, identifier, flight, connection)

    def _transmit(
        self,
        connection: Connection,
        message: Message,
        qos: int,
        retain: bool,
        identifiers: tuple[int, ...],
        packet_id: int,
        dup: bool,
    ) -> bool:
        """Send one PUBLISH; False when it is larger than the client takes (MQTT-3.1.2-25)."""
        version = connection.version
        flags = dup << 3 | qos << 1 | retain
        special = version == V5 and (
            identifiers or message.properties or message.expires_ns or connection.aliases_out_max
        )
        if special:
            data = self._special(connection, message, flags, identifiers, packet_id)
        elif flags:
            data = encode_publish(
                message.topic.encode(), message.payload, flags, packet_id, version == V5, b""
            )
        else:
            data = message.plain.get(version, b"")
            if not data:
                data = encode_publish(message.topic.encode(), message.payload, 0, 0, version == V5, b"")
                message.plain[version] = data
        if 0 < connection.packet_bytes_max < len(data):
            self.state.counters.dropped_too_large += 1
            return False
        self.state.send(connection, data)
        self.state.counters.messages_sent += 1
        return True

    def _special(
        self,
        connection: Connection,
        message: Message,
        flags: int,
        identifiers: tuple[int, ...],
        packet_id: int,
    ) -> bytes:
        """A PUBLISH of MQTT 5 with properties of its own."""
        extra = b""
        if message.expires_ns:
            left_ns = message.expires_ns - self.state.now.monotonic_ns
            extra += b"\x02" + max(0, -(-left_ns // 1_000_000_000)).to_bytes(4, "big")
        for identifier in identifiers:
            extra += b"\x0b" + varint(identifier)
        topic = message.topic
        name = topic.encode()
        if connection.aliases_out_max:
            alias = connection.aliases_out.get(topic)
            if alias is not None:
                name = b""
            elif len(connection.aliases_out) < connection.aliases_out_max:
                alias = connection.aliases_out[topic] = len(connection.aliases_out) + 1
            if alias is not None:
                extra += b"\x23" + alias.to_bytes(2, "big")
        body = wire.encode_body(message.properties) + extra
        data = encode_publish(name, message.payload, flags, packet_id, True, body)
        if name and 0 < connection.packet_bytes_max < len(data):
            # It will not be sent, so the client will not learn the alias.
            connection.aliases_out.pop(topic, None)
        return data

    # Retained messages of new subscriptions

    def _feed_retained(self, session: Session, connection: Connection, window: int) -> None:
        expansions = 0
        while self._has_budget(connection):
            if not connection.feed_topics:
                if not connection.feed or expansions == EXPANSIONS_MAX:
                    return
                expansions += 1
                connection.feed_topics = self.state.store.retained.match(connection.feed[0].pattern)
                if not connection.feed_topics:
                    connection.feed.popleft()
                    continue
            subscribed = connection.feed[0]
            if subscribed.options.qos and (session.outstanding >= window or session.queue):
                return
            topic = connection.feed_topics.pop()
            if not connection.feed_topics:
                connection.feed.popleft()
            if session.subscriptions.get(subscribed.options.filter) is subscribed:
                self._give_retained(session, topic, subscribed)

    def _give_retained(self, session: Session, topic: str, subscribed: Subscribed) -> None:
        kept = self.state.store.retained.messages.get(topic)
        if kept is None or 0 < kept.expires_ns <= self.state.now.monotonic_ns:
            return
        qos = min(kept.qos, subscribed.options.qos)
        identifiers = (subscribed.identifier,) if subscribed.identifier else ()
        if not qos:
            self._give_unqueued(session, kept, True, identifiers)
            return
        copy = Message(kept.topic, kept.payload, kept.qos, True, kept.properties, kept.expires_ns)
        item = Item(copy, qos, True, identifiers)
        if session.lasting:
            self.state.store.queue(copy, [(session, item)])
        else:
            self.state.store.hold(session, item)
        connection = session.connection
        if connection is not None:
            self._send_first(session, connection)

    def keep_feed(self, session: Session, connection: Connection) -> None:
        """The connection goes: what a lasting session has not been fed of retained messages is queued."""
        while session.lasting and connection.feed:
            subscribed = connection.feed.popleft()
            topics = connection.feed_topics or self.state.store.retained.match(subscribed.pattern)
            connection.feed_topics = []
            for topic in topics:
                kept = self.state.store.retained.messages.get(topic)
                if kept is not None and min(kept.qos, subscribed.options.qos):
                    copy = Message(kept.topic, kept.payload, kept.qos, True, kept.properties, kept.expires_ns)
                    identifiers = (subscribed.identifier,) if subscribed.identifier else ()
                    item = Item(copy, min(kept.qos, subscribed.options.qos), True, identifiers)
                    self.state.store.queue(copy, [(session, item)])

    # Acknowledgements of subscribers

    def acknowledged(self, connection: Connection, packet: Ack) -> None:
        """PUBACK, PUBREC or PUBCOMP of a subscriber."""
        session = connection.session
        if session is None:
            return
        identifier = packet.packet_id
        flight = session.flights.get(identifier)
        if flight is not None and (packet.type == PacketType.PUBACK) != (flight.item.qos == 1):
            raise ProtocolError("acknowledgement of another QoS", Reason.PROTOCOL_ERROR)
        if packet.type == PacketType.PUBREC:
            self._received(session, connection, packet, flight)
            return
        if flight is None or (packet.type == PacketType.PUBCOMP and flight.stage is not Stage.RELEASED):
            return
        self._finish(session, identifier, flight)
        self.pump(session)

    def _received(self, session: Session, connection: Connection, packet: Ack, flight: Flight | None) -> None:
        identifier = packet.packet_id
        if flight is None:
            reason = 0 if packet.reason >= 0x80 else Reason.PACKET_IDENTIFIER_NOT_FOUND
            if packet.reason < 0x80:
                answer = Ack(PacketType.PUBREL, identifier, reason)
                self.state.send(connection, encode(answer, connection.version))
            return
        if packet.reason >= 0x80:
            self._finish(session, identifier, flight)
            self.pump(session)
            return
        if flight.gated:
            return
        if flight.stage is Stage.SENT:
            self.state.store.passed(session, identifier, flight)
            if session.lasting:
                flight.gated = True
                self.state.ungated.append((session, identifier))
                return
        self._send_flight(session, identifier, flight, connection)

    def _finish(self, session: Session, identifier: int, flight: Flight) -> None:
        """The flight is over: its identifier is free, its message has one holder less."""
        store = self.state.store
        if flight.here:
            session.outstanding -= 1
        if flight.item.qos == 2:
            store.complete(session, identifier)
        else:
            del session.flights[identifier]
            store.done(session, flight.item)


def message_of(
    topic: str, payload: bytes, qos: int, retain: bool, found: Properties | None, now_ns: int
) -> Message:
    """A message as published at `now_ns`: its expiry becomes a moment, alias and delay stay behind."""
    expires_ns = 0
    if found is not None:
        if found.message_expiry_s is not None:
            expires_ns = now_ns + found.message_expiry_s * 1_000_000_000
        found = Properties(
            payload_format=found.payload_format,
            content_type=found.content_type,
            response_topic=found.response_topic,
            correlation_data=found.correlation_data,
            user=found.user,
        )
        if found == _NOTHING:
            found = None
    return Message(topic, payload, qos, retain, found, expires_ns)


_NOTHING = Properties()
