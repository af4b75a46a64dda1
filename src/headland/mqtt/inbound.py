"""Publishes of clients: from bytes to a `PublishRun`, and the QoS 2 handshake of the receiver.

The publishes of everything that the sockets brought together become one run, a stretch for each connection.
The plain ones are taken in bulk by `codec.parse_publishes`; the others (QoS 2, retained, with properties, of
a topic seen for the first time) one by one, into the same columns.
"""

from __future__ import annotations

from headland.mqtt.codec import parse_publishes
from headland.mqtt.connection import UNKNOWN, Connection, Owed
from headland.mqtt.decoding import decode_publish
from headland.mqtt.encoding import encode
from headland.mqtt.outbound import Outbound, message_of
from headland.mqtt.packets import V5, Ack, PacketType, Properties, Publish
from headland.mqtt.reasons import ProtocolError, Reason
from headland.mqtt.records import Received, Released
from headland.mqtt.session import Receipt
from headland.mqtt.state import State
from headland.mqtt.surface import Accept, Draft, PublishRun
from headland.mqtt.topics import check_topic


class Inbound:
    """The receiving half of the broker.

    Attributes:
        run: The open run.
        start: Where in it the open stretch begins, that of the connection being read.
        retained: Indexes of messages of the stretch that were published with RETAIN.
        second: Identifiers of its QoS 2 messages.
    """

    def __init__(self, state: State, outbound: Outbound) -> None:
        self.state = state
        self.outbound = outbound
        self.run = PublishRun()
        self.start = 0
        self.retained: set[int] = set()
        self.second: set[int] = set()

    def take_plain(self, connection: Connection, data: bytes, start: int) -> int:
        """Take plain publishes in bulk; the offset of the first byte not taken."""
        run = self.run
        stop = parse_publishes(
            data,
            start,
            self.state.config.packet_bytes_max,
            connection.version == V5,
            connection.known,
            run.topics,
            run.payloads,
            run.packet_ids,
            run.qos,
            run.dup,
        )
        if run.properties is not None:
            run.properties += [None] * (len(run.topics) - len(run.properties))
        return stop

    def take(
        self, connection: Connection, data: bytes, first: int, body: int, stop: int, draft: Draft
    ) -> None:
        """Take one publish of any kind."""
        state = self.state
        packet = decode_publish(first, data, body, stop, connection.version)
        if packet.properties is not None and packet.properties.subscription_ids is not None:
            raise ProtocolError(
                "subscription identifier from a client", Reason.PROTOCOL_ERROR, "MQTT-3.3.4-6"
            )
        self._resolve_alias(connection, packet)
        check_topic(packet.topic, state.config.topic_levels_max, state.config.topic_characters_max)
        if packet.topic.startswith("$SYS/") or not state.authenticator.may_publish(
            connection.principal, packet.topic
        ):
            self._refuse(connection, packet, draft)
            return
        if packet.qos == 2 and self._is_repeat(connection, packet, draft):
            return
        if len(connection.known) >= state.config.topics_cached_max:
            connection.known.clear()
        connection.known[packet.topic.encode()] = packet.topic
        self._append(packet)

    def _resolve_alias(self, connection: Connection, packet: Publish) -> None:
        found = packet.properties
        if found is None or found.topic_alias is None:
            return
        alias = found.topic_alias
        if alias > self.state.config.topic_aliases_max:
            raise ProtocolError(f"topic alias {alias}", Reason.TOPIC_ALIAS_INVALID, "MQTT-3.3.2-9")
        if packet.topic:
            connection.aliases_in[alias] = packet.topic
        else:
            known = connection.aliases_in.get(alias)
            if known is None:
                raise ProtocolError(f"topic alias {alias} is not set", Reason.PROTOCOL_ERROR, "MQTT-3.3.2-8")
            packet.topic = known
        found.topic_alias = None
        if found == _NOTHING:
            packet.properties = None

    def _append(self, packet: Publish) -> None:
        run = self.run
        if packet.retain:
            self.retained.add(len(run.topics))
        if packet.qos == 2:
            self.second.add(packet.packet_id)
        run.topics.append(packet.topic)
        run.payloads.append(packet.payload)
        run.packet_ids.append(packet.packet_id)
        run.qos.append(packet.qos)
        run.dup.append(packet.dup)
        if run.properties is not None:
            run.properties.append(packet.properties)
        elif packet.properties is not None:
            run.properties = [None] * (len(run.topics) - 1) + [packet.properties]

    def _refuse(self, connection: Connection, packet: Publish, draft: Draft) -> None:
        """Answer a publish that the access rules forbid: MQTT 5 has a reason code, 3.1.1 only the end."""
        self.state.counters.publishes_not_authorised += 1
        if not packet.qos:
            return
        if connection.version != V5:
            raise ProtocolError(f"not authorised to publish to {packet.topic}", Reason.NOT_AUTHORIZED)
        self.finish(connection, draft)
        kind = PacketType.PUBACK if packet.qos == 1 else PacketType.PUBREC
        self.state.answer(connection, encode(Ack(kind, packet.packet_id, Reason.NOT_AUTHORIZED), V5), 0)

    def hand_over(self) -> None:
        """End the open run: it is to be judged."""
        if self.run.ends:
            self.run.turned_away = self.state.turning_away
            self.state.actions.append(Accept(self.run))
            self.run = PublishRun()
            self.start = 0

    def finish(self, connection: Connection, draft: Draft) -> None:
        """End the open stretch: count it, pass it on to subscribers, owe its acknowledgements."""
        run = self.run
        start, stop = self.start, len(run.topics)
        if start == stop:
            return
        self.start = stop
        state = self.state
        if state.turning_away:
            self._turn_away(connection, start, draft.n)
            return
        floor = self._distribute(connection, start, draft.n) if self._concerns_others() else 0
        run.clients.append(connection.client)
        run.ends.append(stop)
        count = stop - start
        first = run.qos[start:stop].count(1)
        state.counters.publishes_qos_1 += first
        if first == count:
            expected = count
        else:
            second = run.qos[start:stop].count(2)
            state.counters.publishes_qos_2 += second
            state.counters.publishes_qos_0 += count - first - second
            expected = first + second
        if not expected:
            return
        connection.unacknowledged += expected
        if expected != first:
            self.second.clear()
            floor = self._note_second(connection, start, draft.n) or floor
        owed = Owed(connection, UNKNOWN, floor, b"", run)
        owed.start, owed.stop, owed.stretch = start, stop, len(run.ends) - 1
        run.owed.append(owed)
        connection.owed.append(owed)
        if connection.unacknowledged > state.config.receive_maximum:
            if connection.version == V5:
                raise ProtocolError(
                    f"more than {state.config.receive_maximum} publishes unacknowledged",
                    Reason.RECEIVE_MAXIMUM_EXCEEDED,
                    "MQTT-3.3.4-9",
                )
            state.pause(connection)

    def _turn_away(self, connection: Connection, start: int, n: int) -> None:
        """End a stretch of which nothing is kept: subscribers get its QoS 0 messages, nobody an answer."""
        run, state, outbound = self.run, self.state, self.outbound
        stop = len(run.topics)
        run.clients.append(connection.client)
        run.ends.append(stop)
        self.retained.clear()
        self.second.clear()
        promised = stop - start - run.qos[start:stop].count(0)
        state.counters.publishes_qos_0 += stop - start - promised
        state.counters.publishes_turned_away += promised
        if promised:
            connection.turned_away = True
        if not state.store.trie.count:
            return
        now_ns = state.now.monotonic_ns
        for index in range(start, stop):
            if not run.qos[index]:
                found = run.properties[index] if run.properties is not None else None
                message = message_of(run.topics[index], run.payloads[index], 0, False, found, now_ns)
                outbound.fan_out(message, connection.client)

    def _concerns_others(self) -> bool:
        return bool(self.retained) or self.state.store.trie.count > 0

    def _distribute(self, connection: Connection, start: int, n: int) -> int:
        """Retain and fan out the messages of the stretch; the commit that this rests on (0: none)."""
        store, outbound, run = self.state.store, self.outbound, self.run
        now_ns = self.state.now.monotonic_ns
        retained, self.retained = self.retained, set()
        floor = 0
        for index in range(start, len(run.topics)):
            topic = run.topics[index]
            kept = index in retained
            plain, groups = store.route(topic)
            if not kept and not plain and not groups:
                continue
            found = run.properties[index] if run.properties is not None else None
            message = message_of(topic, run.payloads[index], run.qos[index], kept, found, now_ns)
            if kept and store.retain(message):
                floor = n
            if (plain or groups) and outbound.fan_out(message, connection.client):
                floor = n
        return floor

    # QoS 2

    def _is_repeat(self, connection: Connection, packet: Publish, draft: Draft) -> bool:
        """Whether the identifier is known: the message is then acknowledged, not handed over again."""
        session = connection.session
        if packet.packet_id in self.second:
            self.finish(connection, draft)
        receipt = session.received.get(packet.packet_id) if session is not None else None
        if receipt is None:
            return False
        self.finish(connection, draft)
        self.state.counters.publishes_qos_2_repeated += 1
        answer = encode(Ack(PacketType.PUBREC, packet.packet_id), connection.version)
        owed = Owed(connection, receipt.needs, 0, answer)
        if receipt.needs == UNKNOWN:
            receipt.waiters.append(owed)
        self.state.owe(connection, owed)
        return True

    def _note_second(self, connection: Connection, start: int, n: int) -> int:
        """Note the QoS 2 identifiers of the stretch; the commit that this rests on (0: none)."""
        session, run = connection.session, self.run
        if session is None:
            return 0
        identifiers = [run.packet_ids[i] for i in range(start, len(run.qos)) if run.qos[i] == 2]
        connection.second += len(identifiers)
        session.received.update((identifier, Receipt(UNKNOWN)) for identifier in identifiers)
        if not session.lasting:
            return 0
        self.state.store.changes.append(Received(session.client, identifiers))
        return n

    def judged(self, run: PublishRun, owed: Owed) -> None:
        """The QoS 2 publishes of a stretch have been judged: their repeats need not wait any longer."""
        session = self.state.store.sessions.get(run.clients[owed.stretch])
        if session is None:
            return
        for index in range(owed.start, owed.stop):
            receipt = session.received.get(run.packet_ids[index]) if run.qos[index] == 2 else None
            if receipt is None or receipt.needs != UNKNOWN:
                continue
            receipt.needs = owed.needs
            for waiter in receipt.waiters:
                waiter.needs = receipt.needs
                if not waiter.connection.closed:
                    self.state.release(waiter.connection)
            receipt.waiters.clear()

    def released(self, connection: Connection, packet: Ack, draft: Draft) -> None:
        """PUBREL: forget the identifier, durably before PUBCOMP (a later message may carry it again)."""
        self.finish(connection, draft)
        session = connection.session
        if session is None:
            return
        receipt = session.received.pop(packet.packet_id, None)
        reason = Reason.PACKET_IDENTIFIER_NOT_FOUND if receipt is None else Reason.SUCCESS
        needs = 0
        if receipt is not None:
            if connection.second:
                connection.second -= 1
                connection.unacknowledged -= 1
            if session.lasting:
                self.state.store.changes.append(Released(session.client, packet.packet_id))
                needs = draft.n
        answer = encode(Ack(PacketType.PUBCOMP, packet.packet_id, reason), connection.version)
        self.state.answer(connection, answer, needs)


_NOTHING = Properties()
