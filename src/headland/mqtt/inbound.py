"""Publishes of clients: from bytes to a `PublishRun`, and the QoS 2 handshake of the receiver.

A chunk's publishes become one run. The plain ones are taken in bulk by `codec.parse_publishes`; the others
(QoS 2, retained, with properties, of a topic seen for the first time) one by one, into the same columns.
"""

from __future__ import annotations

from headland.mqtt.codec import parse_publishes
from headland.mqtt.connection import UNKNOWN, Connection, Owed
from headland.mqtt.decoding import decode_publish
from headland.mqtt.encoding import encode
from headland.mqtt.packets import V5, Ack, PacketType, Properties, Publish
from headland.mqtt.reasons import ProtocolError, Reason
from headland.mqtt.state import State
from headland.mqtt.surface import Accept, Draft, PublishRun
from headland.mqtt.topics import check_topic


class Inbound:
    """The open run of the connection being read."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.run: PublishRun | None = None

    def take_plain(self, connection: Connection, data: bytes, start: int) -> int:
        """Take plain publishes in bulk; the offset of the first byte not taken."""
        run = self.run
        if run is None:
            run = PublishRun(connection.client, connection.principal, [], [], [], [], [])
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
        if stop > start:
            self.run = run
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
        check_topic(packet.topic, state.config.topic_levels_max)
        if not state.authenticator.may_publish(connection.principal, packet.topic):
            self._refuse(connection, packet, draft)
            return
        if len(connection.known) >= state.config.topics_cached_max:
            connection.known.clear()
        connection.known[packet.topic.encode()] = packet.topic
        self._append(connection, packet)

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

    def _append(self, connection: Connection, packet: Publish) -> None:
        run = self.run
        if run is None:
            run = self.run = PublishRun(connection.client, connection.principal, [], [], [], [], [])
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

    def finish(self, connection: Connection, draft: Draft) -> None:
        """End the open run: count it, hand it over, owe its acknowledgements."""
        run = self.run
        if run is None:
            return
        self.run = None
        state = self.state
        count = len(run.qos)
        first = run.qos.count(1)
        state.counters.publishes_qos_1 += first
        state.actions.append(Accept(connection.number, run))
        if first == count:
            expected = count
        else:
            second = run.qos.count(2)
            state.counters.publishes_qos_2 += second
            state.counters.publishes_qos_0 += count - first - second
            expected = first + second
        if not expected:
            return
        connection.unacknowledged += expected
        owed = Owed(UNKNOWN, 0, b"", run)
        run.owed = owed
        connection.owed.append(owed)
        if connection.unacknowledged > state.config.receive_maximum:
            if connection.version == V5:
                raise ProtocolError(
                    f"more than {state.config.receive_maximum} publishes unacknowledged",
                    Reason.RECEIVE_MAXIMUM_EXCEEDED,
                    "MQTT-3.3.4-9",
                )
            state.pause(connection)


_NOTHING = Properties()
