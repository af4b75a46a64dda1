"""Properties of MQTT 5 packets: one table, read both ways.

Wire format (section 2.2.2)::

    length: variable byte integer · { identifier: variable byte integer · value }

    value: u8 | u16 | u32 | variable byte integer | u16 n + n bytes of UTF-8 | u16 n + n bytes | two strings
"""

from __future__ import annotations

from struct import pack

from headland.mqtt.codec import varint
from headland.mqtt.packets import PacketType, Properties
from headland.mqtt.reading import Reader
from headland.mqtt.reasons import ProtocolError, Reason

BYTE, U16, U32, VARINT, TEXT, BINARY, PAIR = range(7)

WILL = 0
"""Stands for the will's properties inside CONNECT, which has no packet type of its own."""

_C, _CA, _P = int(PacketType.CONNECT), int(PacketType.CONNACK), int(PacketType.PUBLISH)
_PA, _PR, _PL, _PC = 4, 5, 6, 7
_S, _SA, _U, _UA, _D, _A = 8, 9, 10, 11, 14, 15
_ANSWERS = (_CA, _PA, _PR, _PL, _PC, _SA, _UA, _D, _A)

TABLE: dict[int, tuple[str, int, tuple[int, ...]]] = {
    0x01: ("payload_format", BYTE, (_P, WILL)),
    0x02: ("message_expiry_s", U32, (_P, WILL)),
    0x03: ("content_type", TEXT, (_P, WILL)),
    0x08: ("response_topic", TEXT, (_P, WILL)),
    0x09: ("correlation_data", BINARY, (_P, WILL)),
    0x0B: ("subscription_ids", VARINT, (_P, _S)),
    0x11: ("session_expiry_s", U32, (_C, _CA, _D)),
    0x12: ("assigned_client_id", TEXT, (_CA,)),
    0x13: ("server_keep_alive_s", U16, (_CA,)),
    0x15: ("authentication_method", TEXT, (_C, _CA, _A)),
    0x16: ("authentication_data", BINARY, (_C, _CA, _A)),
    0x17: ("request_problem_information", BYTE, (_C,)),
    0x18: ("will_delay_s", U32, (WILL,)),
    0x19: ("request_response_information", BYTE, (_C,)),
    0x1A: ("response_information", TEXT, (_CA,)),
    0x1C: ("server_reference", TEXT, (_CA, _D)),
    0x1F: ("reason_string", TEXT, _ANSWERS),
    0x21: ("receive_maximum", U16, (_C, _CA)),
    0x22: ("topic_alias_maximum", U16, (_C, _CA)),
    0x23: ("topic_alias", U16, (_P,)),
    0x24: ("maximum_qos", BYTE, (_CA,)),
    0x25: ("retain_available", BYTE, (_CA,)),
    0x26: ("user", PAIR, (_C, _P, WILL, _S, _U, *_ANSWERS)),
    0x27: ("maximum_packet_bytes", U32, (_C, _CA)),
    0x28: ("wildcard_available", BYTE, (_CA,)),
    0x29: ("subscription_ids_available", BYTE, (_CA,)),
    0x2A: ("shared_available", BYTE, (_CA,)),
}
"""Identifier: (field, kind, packets that may carry it); table 2-4 of the specification."""

_BOUNDS = {
    "receive_maximum": "MQTT-3.1.2-25",
    "maximum_packet_bytes": "MQTT-3.1.2-24",
    "topic_alias": "MQTT-3.3.2-8",
}
"""Fields for which zero is a protocol error."""


def decode(reader: Reader, packet: int, required_end: bool = False) -> Properties | None:
    """Read the properties of a packet, length first.

    Args:
        reader: Stands at the property length.
        packet: A `PacketType`, or `WILL`.
        required_end: Whether the packet ends with its properties.

    Returns:
        The properties, or None when there are none.

    Raises:
        ProtocolError: Unknown, repeated or misplaced property, or a value outside its range.
    """
    length = reader.varint()
    stop = reader.at + length
    if stop > reader.end or (required_end and stop != reader.end):
        raise ProtocolError("property length does not fit the packet")
    if not length:
        return None
    found = Properties()
    while reader.at < stop:
        entry = TABLE.get(reader.varint())
        if entry is None or packet not in entry[2]:
            raise ProtocolError("property is unknown or not allowed in this packet", Reason.MALFORMED_PACKET)
        name, kind, _ = entry
        if kind == PAIR:
            if found.user is None:
                found.user = []
            key = reader.text()
            found.user.append((key, reader.text()))
        elif name == "subscription_ids":
            _add_subscription_id(found, reader.varint(), packet)
        else:
            if getattr(found, name) is not None:
                raise ProtocolError(f"property {name} occurs twice", Reason.PROTOCOL_ERROR)
            setattr(found, name, _value(reader, name, kind))
    if reader.at != stop:
        raise ProtocolError("a property runs over the end of the properties")
    return found


def _add_subscription_id(found: Properties, value: int, packet: int) -> None:
    if not value:
        raise ProtocolError("subscription identifier 0", Reason.PROTOCOL_ERROR)
    if found.subscription_ids is None:
        found.subscription_ids = []
    elif packet == _S:
        raise ProtocolError("subscription identifier occurs twice", Reason.PROTOCOL_ERROR)
    found.subscription_ids.append(value)


def _value(reader: Reader, name: str, kind: int) -> int | str | bytes:
    if kind == TEXT:
        return reader.text()
    if kind == BINARY:
        return reader.binary()
    value = reader.u8() if kind == BYTE else reader.u16() if kind == U16 else reader.u32()
    if kind == BYTE and value > 1:
        raise ProtocolError(f"{name} is {value}", Reason.PROTOCOL_ERROR)
    if not value and name in _BOUNDS:
        raise ProtocolError(f"{name} is 0", Reason.PROTOCOL_ERROR, _BOUNDS[name])
    return value


def encode(properties: Properties | None) -> bytes:
    """Properties with their length before them."""
    body = encode_body(properties)
    return varint(len(body)) + body


def encode_body(properties: Properties | None) -> bytes:
    """Properties without their length."""
    if properties is None:
        return b""
    out = bytearray()
    for identifier, (name, kind, _) in TABLE.items():
        value = getattr(properties, name)
        if value is None:
            continue
        if kind == PAIR:
            for key, text in value:
                out.append(identifier)
                out += string(key) + string(text)
        elif kind == VARINT:
            for number in value:
                out.append(identifier)
                out += varint(number)
        else:
            out.append(identifier)
            out += _encoded(kind, value)
    return bytes(out)


def _encoded(kind: int, value: int | str | bytes) -> bytes:
    if isinstance(value, str):
        return string(value)
    if isinstance(value, bytes):
        return pack(">H", len(value)) + value
    return pack(">B" if kind == BYTE else ">H" if kind == U16 else ">I", value)


def string(text: str) -> bytes:
    """A UTF-8 encoded string with its length; at most 65,535 bytes."""
    data = text.encode()
    return pack(">H", len(data)) + data
