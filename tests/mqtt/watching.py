"""What a server may send, checked on every packet that any test of this room makes the broker send.

A `Watcher` sees both directions of one connection and fails the test at the first packet that breaks a rule.
Its tables are written from the specifications, not from the broker. `test_watching.py` shows that it sees.
"""

from __future__ import annotations

from headland.mqtt.codec import INCOMPLETE, body_start, frame_end
from headland.mqtt.decoding import decode
from headland.mqtt.packets import (
    V5,
    V311,
    Ack,
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Ping,
    Properties,
    Publish,
    Suback,
    Subscribe,
    Unsubscribe,
)
from headland.mqtt.reasons import ProtocolError

REASONS = {
    kind: frozenset(bytes.fromhex(codes))
    for kind, codes in (
        (PacketType.CONNACK, "00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f"),
        (PacketType.PUBACK, "00 10 80 83 87 90 91 97 99"),
        (PacketType.PUBREC, "00 10 80 83 87 90 91 97 99"),
        (PacketType.PUBREL, "00 92"),
        (PacketType.PUBCOMP, "00 92"),
        (PacketType.SUBACK, "00 01 02 80 83 87 8f 91 97 9e a1 a2"),
        (PacketType.UNSUBACK, "00 11 80 83 87 8f 91"),
        # Those that a server may send: all but 0x04.
        (
            PacketType.DISCONNECT,
            "00 80 81 82 83 87 89 8b 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2",
        ),
    )
}
"""Tables 3-1 and 3-4 to 3-10 of MQTT 5.0, and those of sections 3.7.2.1 and 3.14.2.1."""


class Watcher:
    """One connection, seen from the client's end.

    Attributes:
        version: As the client speaks.
        greeted: Whether a CONNACK has come.
        parted: Whether a DISCONNECT or a refusal has come, after which nothing may.
        wanted: The properties of the client's CONNECT.
        due: What the server has not answered: (kind of the answer, packet identifier, reason codes in it).
        ways: Messages on their way to the client, QoS by packet identifier.
        aliases: The server's topic aliases.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self.greeted = False
        self.parted = False
        self.wanted = Properties()
        self.due: list[tuple[PacketType, int, int]] = []
        self.ways: dict[int, int] = {}
        self.aliases: dict[int, str] = {}
        self._rest = b""
        self._blind = False

    # What the client says

    def heard(self, data: bytes) -> None:
        """Bytes went to the server; from the first malformed packet on they mean nothing."""
        data = self._rest + data
        at = 0
        try:
            while not self._blind and at < len(data):
                stop = frame_end(data, at, 1 << 28, False)
                if stop == INCOMPLETE or stop > len(data):
                    break
                self.said(decode(data[at], data, body_start(data, at), stop, self.version))
                at = stop
        except ProtocolError:
            self._blind = True
        self._rest = data[at:]

    def said(self, packet: Packet) -> None:
        """A packet went to the server, which may not have taken it."""
        match packet:
            case Connect():
                self.wanted = packet.properties or Properties()
            case Publish(qos=1 | 2):
                kind = PacketType.PUBACK if packet.qos == 1 else PacketType.PUBREC
                self.due.append((kind, packet.packet_id, 0))
            case Subscribe():
                self.due.append((PacketType.SUBACK, packet.packet_id, len(packet.subscriptions)))
            case Unsubscribe():
                count = len(packet.filters) if self.version == V5 else 0
                self.due.append((PacketType.UNSUBACK, packet.packet_id, count))
            case Ack(PacketType.PUBREL):
                self.due.append((PacketType.PUBCOMP, packet.packet_id, 0))
            case Ack(PacketType.PUBREC) if packet.reason < 0x80:
                self.due.append((PacketType.PUBREL, packet.packet_id, 0))
            case Ack():
                self.ways.pop(packet.packet_id, None)
                if packet.type == PacketType.PUBREC:
                    self.due = [one for one in self.due if one[:2] != (PacketType.PUBREL, packet.packet_id)]
            case _:
                pass

    # What the server says

    def came(self, packet: Packet, size: int) -> None:
        """A packet of `size` bytes came from the server."""
        assert not self.parted, f"MQTT-3.14.4-1, MQTT-4.13.2-1: {packet} after the last packet"
        limit = self.wanted.maximum_packet_bytes
        assert limit is None or size <= limit, f"MQTT-3.1.2-24: {size} bytes"
        if not self.greeted:
            assert isinstance(packet, Connack), f"MQTT-3.2.0-1, MQTT-3.14.0-1: {packet} before CONNACK"
        match packet:
            case Connack():
                self._connack(packet)
            case Publish():
                self._publish(packet)
            case Ack():
                self._reason(PacketType(packet.type), packet.reason)
                self._answers((PacketType(packet.type), packet.packet_id, 0))
                if packet.type == PacketType.PUBCOMP:
                    self._explained(packet.properties)
            case Suback():
                for reason in packet.reasons:
                    self._reason(PacketType(packet.type), reason)
                self._answers((PacketType(packet.type), packet.packet_id, len(packet.reasons)))
                self._explained(packet.properties)
            case Disconnect():
                assert self.version == V5, "the server of 3.1.1 sends no DISCONNECT"
                self._reason(PacketType.DISCONNECT, packet.reason)
                found = packet.properties
                assert found is None or found.session_expiry_s is None, "MQTT-3.14.2-2"
                self.parted = True
            case Ping(PacketType.PINGRESP):
                pass
            case _:
                raise AssertionError(f"not a server's packet, or MQTT-4.12.0-6: {packet}")

    def _connack(self, packet: Connack) -> None:
        assert not self.greeted, "MQTT-3.2.0-2: a second CONNACK"
        self.greeted = True
        if self.version == V5:
            self._reason(PacketType.CONNACK, packet.reason)
            found = packet.properties or Properties()
            assert found.authentication_method is None or self.wanted.authentication_method, "MQTT-4.12.0-6"
            if self.wanted.request_response_information != 1:
                assert found.response_information is None, "MQTT-3.1.2-28"
        else:
            assert packet.reason <= 5, "table 3.1 of 3.1.1"
        assert not (packet.session_present and packet.reason), "MQTT-3.2.2-6; MQTT-3.2.2-4 of 3.1.1"
        self.parted = packet.reason != 0

    def _publish(self, packet: Publish) -> None:
        assert "+" not in packet.topic, "MQTT-3.3.2-2"
        assert "#" not in packet.topic, "MQTT-3.3.2-2"
        found = packet.properties or Properties()
        if found.topic_alias is not None:
            limit = self.wanted.topic_alias_maximum or 0
            assert 0 < found.topic_alias <= limit, "MQTT-3.1.2-26, -27, MQTT-3.3.2-8, -11"
            if packet.topic:
                self.aliases[found.topic_alias] = packet.topic
        if not packet.topic:
            assert found.topic_alias in self.aliases, "MQTT-3.3.2-7: an alias of no topic of this connection"
        if not packet.qos:
            assert not packet.dup, "MQTT-3.3.1-2"
            return
        assert packet.packet_id, "MQTT-2.2.1-4"
        assert packet.packet_id not in self.ways, f"MQTT-2.2.1-4, MQTT-4.4.0-1: {packet.packet_id} is in use"
        self.ways[packet.packet_id] = packet.qos
        if self.version == V5:
            window = self.wanted.receive_maximum or 65_535
            assert len(self.ways) <= window, "MQTT-3.3.4-9, MQTT-4.9.0-2"

    def _reason(self, kind: PacketType, reason: int) -> None:
        if self.version == V311 and kind == PacketType.SUBACK:
            assert reason in (0, 1, 2, 0x80), "MQTT-3.9.3-2 of 3.1.1"
        else:
            assert reason in REASONS[kind], f"0x{reason:02X} is no reason of {kind.name}"
            assert self.version == V5 or not reason, "3.1.1 has no reasons"

    def _answers(self, one: tuple[PacketType, int, int]) -> None:
        """An answer bears what it answers, and answers once."""
        kind, identifier, _ = one
        if kind == PacketType.PUBREL and one not in self.due:
            # On return, in the place of the PUBLISH.
            assert identifier not in self.ways, "MQTT-4.3.3-4: PUBREL before PUBREC"
            self.ways[identifier] = 2
            return
        assert one in self.due, f"MQTT-2.2.1-5, -6, MQTT-3.8.4-6: {kind.name} {one[1:]} answers nothing"
        if kind in (PacketType.PUBACK, PacketType.PUBREC):
            first = next(other for other in self.due if other[0] in (PacketType.PUBACK, PacketType.PUBREC))
            assert one == first, f"{kind.name} {identifier} passes over {first}"
        self.due.remove(one)

    def _explained(self, found: Properties | None) -> None:
        """No words to a client that declined them, but in PUBLISH, CONNACK and DISCONNECT."""
        if self.wanted.request_problem_information == 0 and found is not None:
            assert found.reason_string is None, "MQTT-3.1.2-29"
            assert found.user is None, "MQTT-3.1.2-29"
