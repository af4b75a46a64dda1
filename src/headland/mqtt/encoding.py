"""Bytes from packets. The caller has made sure that they are legal: they decode to the same value."""

from __future__ import annotations

from struct import pack
from typing import assert_never

from headland.mqtt import properties
from headland.mqtt.codec import encode_publish, varint
from headland.mqtt.packets import (
    V5,
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
    Unsubscribe,
)
from headland.mqtt.properties import string

PINGRESP = b"\xd0\x00"


def encode(packet: Packet, version: int) -> bytes:
    """One packet as bytes, for a connection of `version` (`V5` or `V311`)."""
    match packet:
        case Publish():
            flags = packet.dup << 3 | packet.qos << 1 | packet.retain
            body = properties.encode_body(packet.properties)
            return encode_publish(
                packet.topic.encode(), packet.payload, flags, packet.packet_id, version == V5, body
            )
        case Ack():
            first = packet.type << 4 | (2 if packet.type == PacketType.PUBREL else 0)
            tail = _reason_and_properties(packet.reason, packet.properties, version)
            return _packet(first, pack(">H", packet.packet_id) + tail)
        case Connect():
            return _packet(0x10, _connect(packet))
        case Connack():
            tail = properties.encode(packet.properties) if version == V5 else b""
            return _packet(0x20, bytes((packet.session_present, packet.reason)) + tail)
        case Subscribe():
            wanted = b"".join(
                string(one.filter)
                + bytes(
                    (one.qos | one.no_local << 2 | one.retain_as_published << 3 | one.retain_handling << 4,)
                )
                for one in packet.subscriptions
            )
            return _packet(0x82, _headed(packet.packet_id, packet.properties, version) + wanted)
        case Unsubscribe():
            filters = b"".join(map(string, packet.filters))
            return _packet(0xA2, _headed(packet.packet_id, packet.properties, version) + filters)
        case Suback():
            head = _headed(packet.packet_id, packet.properties, version)
            return _packet(packet.type << 4, head + bytes(packet.reasons))
        case Ping():
            return bytes((packet.type << 4, 0))
        case Disconnect():
            return _packet(0xE0, _reason_and_properties(packet.reason, packet.properties, version))
        case Auth():
            return _packet(0xF0, _reason_and_properties(packet.reason, packet.properties, version))
    assert_never(packet)


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + varint(len(body)) + body


def _headed(packet_id: int, found: Properties | None, version: int) -> bytes:
    head = pack(">H", packet_id)
    return head + properties.encode(found) if version == V5 else head


def _reason_and_properties(reason: int, found: Properties | None, version: int) -> bytes:
    if version != V5 or (not reason and found is None):
        return b""
    return bytes((reason,)) if found is None else bytes((reason,)) + properties.encode(found)


def _connect(packet: Connect) -> bytes:
    flags = packet.clean_start << 1
    v5 = packet.version == V5
    payload = string(packet.client_id)
    if (will := packet.will) is not None:
        flags |= 4 | will.qos << 3 | will.retain << 5
        if v5:
            payload += properties.encode(will.properties)
        payload += string(will.topic) + pack(">H", len(will.payload)) + will.payload
    if packet.username is not None:
        flags |= 0x80
        payload += string(packet.username)
    if packet.password is not None:
        flags |= 0x40
        payload += pack(">H", len(packet.password)) + packet.password
    head = string("MQTT") + bytes((packet.version, flags)) + pack(">H", packet.keep_alive_s)
    return head + (properties.encode(packet.properties) if v5 else b"") + payload
