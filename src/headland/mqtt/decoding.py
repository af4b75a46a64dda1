"""Packets from bytes, with every rule that can be checked on one packet alone.

The caller has cut the packet with `codec.frame_end`. Rules that need the connection's history (packet
identifiers in use, aliases, receive maximum, direction) are the broker's.
"""

from __future__ import annotations

from headland.mqtt import properties
from headland.mqtt.packets import (
    V5,
    V311,
    Ack,
    Auth,
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
    Subscription,
    Unsubscribe,
    Will,
)
from headland.mqtt.reading import Reader
from headland.mqtt.reasons import ProtocolError, Reason

_FLAGS = {PacketType.PUBREL: 2, PacketType.SUBSCRIBE: 2, PacketType.UNSUBSCRIBE: 2}
_FLAG_RULES = {
    PacketType.PUBREL: "MQTT-3.6.1-1",
    PacketType.SUBSCRIBE: "MQTT-3.8.1-1",
    PacketType.UNSUBSCRIBE: "MQTT-3.10.1-1",
}


def decode(first: int, data: bytes, start: int, end: int, version: int) -> Packet:
    """Decode the body of one packet.

    Args:
        first: The packet's first byte.
        data: Bytes that hold the body.
        start: Offset of the body.
        end: Offset after the body.
        version: `V5` or `V311`; a CONNECT says its own.

    Raises:
        ProtocolError: The packet is malformed.
    """
    kind = first >> 4
    if kind == PacketType.PUBLISH:
        return decode_publish(first, data, start, end, version)
    if first & 0x0F != _FLAGS.get(kind, 0):  # type: ignore[call-overload]
        rule = _FLAG_RULES.get(kind, "MQTT-2.1.3-1")  # type: ignore[call-overload]
        raise ProtocolError("reserved flags of the fixed header", rule=rule)
    reader = Reader(data, start, end)
    if kind == PacketType.CONNECT:
        return _connect(reader)
    if PacketType.PUBACK <= kind <= PacketType.PUBCOMP:
        return _ack(reader, kind, version)
    if kind == PacketType.SUBSCRIBE:
        return _subscribe(reader, version)
    if kind == PacketType.UNSUBSCRIBE:
        return _unsubscribe(reader, version)
    if kind == PacketType.PINGREQ or kind == PacketType.PINGRESP:
        reader.finish()
        return Ping(kind)
    if kind == PacketType.DISCONNECT:
        return Disconnect(*_reason_and_properties(reader, kind, version))
    if kind == PacketType.AUTH and version == V5:
        return Auth(*_reason_and_properties(reader, kind, version))
    if kind == PacketType.CONNACK:
        return _connack(reader, version)
    if kind == PacketType.SUBACK or kind == PacketType.UNSUBACK:
        return _suback(reader, kind, version)
    raise ProtocolError(f"packet type {kind} is not defined", Reason.MALFORMED_PACKET)


def decode_publish(first: int, data: bytes, start: int, end: int, version: int) -> Publish:
    """Decode a PUBLISH; its topic is checked for UTF-8 and wildcards only.

    Raises:
        ProtocolError: The packet is malformed.
    """
    qos = first >> 1 & 3
    dup = bool(first & 8)
    if qos == 3:
        raise ProtocolError("QoS 3", Reason.MALFORMED_PACKET, "MQTT-3.3.1-4")
    if dup and not qos:
        raise ProtocolError("DUP at QoS 0", Reason.MALFORMED_PACKET, "MQTT-3.3.1-2")
    reader = Reader(data, start, end)
    topic = reader.text()
    if "+" in topic or "#" in topic:
        raise ProtocolError("wildcard in a topic name", Reason.TOPIC_NAME_INVALID, "MQTT-3.3.2-2")
    packet_id = _packet_id(reader) if qos else 0
    found = properties.decode(reader, PacketType.PUBLISH) if version == V5 else None
    if not topic and (found is None or found.topic_alias is None):
        raise ProtocolError("empty topic name", Reason.PROTOCOL_ERROR, "MQTT-4.7.3-1")
    if found is not None and found.response_topic is not None:
        _check_response_topic(found.response_topic)
    return Publish(topic, reader.rest(), qos, bool(first & 1), dup, packet_id, found)


def _check_response_topic(topic: str) -> None:
    if not topic or "+" in topic or "#" in topic:
        raise ProtocolError("response topic is not a topic name", Reason.PROTOCOL_ERROR, "MQTT-3.3.2-14")


def _packet_id(reader: Reader) -> int:
    value = reader.u16()
    if not value:
        raise ProtocolError("packet identifier 0", Reason.PROTOCOL_ERROR, "MQTT-2.2.1-3")
    return value


def _connect(reader: Reader) -> Connect:
    name = reader.binary()
    if name not in (b"MQTT", b"MQIsdp"):
        raise ProtocolError("protocol name is not MQTT", Reason.UNSUPPORTED_PROTOCOL_VERSION, "MQTT-3.1.2-1")
    version = reader.u8()
    if name != b"MQTT" or version not in (V311, V5):
        raise ProtocolError(
            f"{name.decode()} version {version} is not served; 3.1.1 and 5.0 are",
            Reason.UNSUPPORTED_PROTOCOL_VERSION,
            "MQTT-3.1.2-2",
        )
    flags = reader.u8()
    if flags & 1:
        raise ProtocolError("reserved connect flag is set", rule="MQTT-3.1.2-3")
    if not flags & 0x80 and flags & 0x40 and version == V311:
        raise ProtocolError("password without user name", rule="MQTT-3.1.2-22")
    keep_alive = reader.u16()
    found = properties.decode(reader, PacketType.CONNECT) if version == V5 else None
    if found is not None and found.authentication_data is not None and found.authentication_method is None:
        raise ProtocolError("authentication data without a method", Reason.PROTOCOL_ERROR)
    client_id = reader.text()
    will = _will(reader, flags, version)
    username = reader.text() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    reader.finish()
    return Connect(client_id, version, bool(flags & 2), keep_alive, username, password, will, found)


def _will(reader: Reader, flags: int, version: int) -> Will | None:
    qos = flags >> 3 & 3
    retain = bool(flags & 0x20)
    if not flags & 4:
        if qos or retain:
            raise ProtocolError("will QoS or retain without a will", rule="MQTT-3.1.2-11")
        return None
    if qos == 3:
        raise ProtocolError("will QoS 3", rule="MQTT-3.1.2-12")
    found = properties.decode(reader, properties.WILL) if version == V5 else None
    if found is not None and found.response_topic is not None:
        _check_response_topic(found.response_topic)
    topic = reader.text()
    if not topic or "+" in topic or "#" in topic:
        raise ProtocolError("will topic is not a topic name", Reason.TOPIC_NAME_INVALID, "MQTT-4.7.1-1")
    return Will(topic, reader.binary(), qos, retain, found)


def _connack(reader: Reader, version: int) -> Connack:
    flags = reader.u8()
    if flags & 0xFE:
        raise ProtocolError("reserved CONNACK flags", rule="MQTT-3.2.2-1")
    reason = reader.u8()
    if flags and reason:
        raise ProtocolError("session present beside a refusal", rule="MQTT-3.2.2-6")
    found = properties.decode(reader, PacketType.CONNACK, True) if version == V5 else None
    reader.finish()
    return Connack(bool(flags), reason, found)


_ACK_REASONS = {
    PacketType.PUBACK: frozenset((0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)),
    PacketType.PUBREC: frozenset((0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)),
    PacketType.PUBREL: frozenset((0x00, 0x92)),
    PacketType.PUBCOMP: frozenset((0x00, 0x92)),
    PacketType.DISCONNECT: frozenset(
        (0x00, 0x04, *range(0x80, 0x84), 0x87, 0x89, 0x8B, *range(0x8D, 0x91), *range(0x93, 0xA3))
    ),
    PacketType.AUTH: frozenset((0x00, 0x18, 0x19)),
}


def _ack(reader: Reader, kind: int, version: int) -> Ack:
    packet_id = _packet_id(reader)
    reason, found = _reason_and_properties(reader, kind, version)
    return Ack(kind, packet_id, reason, found)


def _reason_and_properties(reader: Reader, kind: int, version: int) -> tuple[int, Properties | None]:
    if version != V5 or reader.at == reader.end:
        reader.finish()
        return 0, None
    reason = reader.u8()
    if reason not in _ACK_REASONS[PacketType(kind)]:
        raise ProtocolError(f"reason code 0x{reason:02X} is not one of this packet's", Reason.PROTOCOL_ERROR)
    if reader.at == reader.end:
        return reason, None
    found = properties.decode(reader, kind, True)
    reader.finish()
    return reason, found


def _subscribe(reader: Reader, version: int) -> Subscribe:
    packet_id = _packet_id(reader)
    found = properties.decode(reader, PacketType.SUBSCRIBE) if version == V5 else None
    wanted: list[Subscription] = []
    while reader.at < reader.end:
        filter_ = reader.text()
        options = reader.u8()
        qos, handling = options & 3, options >> 4 & 3
        if qos == 3 or options & (0xC0 if version == V5 else 0xFC):
            rule = "MQTT-3.8.3-5" if version == V5 else "MQTT-3-8.3-4"
            raise ProtocolError("reserved bits of subscription options", rule=rule)
        if handling == 3:
            raise ProtocolError("retain handling 3", Reason.PROTOCOL_ERROR)
        no_local = bool(options & 4)
        if no_local and filter_.startswith("$share/"):
            raise ProtocolError("no local on a shared subscription", Reason.PROTOCOL_ERROR, "MQTT-3.8.3-4")
        wanted.append(Subscription(filter_, qos, no_local, bool(options & 8), handling))
    if not wanted:
        raise ProtocolError("SUBSCRIBE without a topic filter", Reason.PROTOCOL_ERROR, "MQTT-3.8.3-2")
    return Subscribe(packet_id, wanted, found)


def _unsubscribe(reader: Reader, version: int) -> Unsubscribe:
    packet_id = _packet_id(reader)
    found = properties.decode(reader, PacketType.UNSUBSCRIBE) if version == V5 else None
    filters: list[str] = []
    while reader.at < reader.end:
        filters.append(reader.text())
    if not filters:
        raise ProtocolError("UNSUBSCRIBE without a topic filter", Reason.PROTOCOL_ERROR, "MQTT-3.10.3-2")
    return Unsubscribe(packet_id, filters, found)


_SUBACK_REASONS = frozenset((0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2))
_UNSUBACK_REASONS = frozenset((0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91))


def _suback(reader: Reader, kind: int, version: int) -> Suback:
    packet_id = _packet_id(reader)
    found = properties.decode(reader, kind) if version == V5 else None
    reasons = list(reader.rest())
    allowed = _SUBACK_REASONS if kind == PacketType.SUBACK else _UNSUBACK_REASONS
    if version == V311:
        allowed = frozenset((0, 1, 2, 0x80)) if kind == PacketType.SUBACK else frozenset()
    if not allowed.issuperset(reasons) or (not reasons and bool(allowed)):
        raise ProtocolError("reason codes of a SUBACK", Reason.PROTOCOL_ERROR)
    return Suback(kind, packet_id, reasons, found)
