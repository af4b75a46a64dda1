"""What MQTT 5.0 demands without a number: table 2-4, values out of range, packets of the other side.

The tables are written from the specification, not from the broker's own.
"""

from __future__ import annotations

import pytest
from tests.mqtt.client import World, connected

from headland.mqtt.codec import varint
from headland.mqtt.encoding import encode
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
    Publish,
    Suback,
    Subscribe,
    Subscription,
)
from headland.mqtt.reasons import Reason

TEXT = "0001 61"
VALUES = {
    0x01: "01", 0x02: "0000003c", 0x03: TEXT, 0x08: TEXT, 0x09: TEXT, 0x0B: "01", 0x11: "0000003c",
    0x12: TEXT, 0x13: "003c", 0x15: TEXT, 0x16: TEXT, 0x17: "01", 0x18: "0000003c", 0x19: "01",
    0x1A: TEXT, 0x1C: TEXT, 0x1F: TEXT, 0x21: "0001", 0x22: "0001", 0x23: "0001", 0x24: "01", 0x25: "01",
    0x26: f"{TEXT} {TEXT}", 0x27: "0000ffff", 0x28: "01", 0x29: "01", 0x2A: "01",
}  # fmt: skip
"""A good value of every property."""

ALLOWED = {
    "CONNECT": {0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27},
    "the will": {0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26},
    "PUBLISH": {0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26},
    "PUBACK": {0x1F, 0x26},
    "PUBREC": {0x1F, 0x26},
    "PUBREL": {0x1F, 0x26},
    "PUBCOMP": {0x1F, 0x26},
    "SUBSCRIBE": {0x0B, 0x26},
    "UNSUBSCRIBE": {0x26},
    "DISCONNECT": {0x11, 0x1C, 0x1F, 0x26},
}
"""Table 2-4 as far as clients send; without the subscription identifier that only a server's PUBLISH has."""

MAY_REPEAT = {0x26}
PACKETS = {
    # Fixed header, bytes before the properties, bytes after them.
    "CONNECT": ("10", "0004 4d515454 05 02 000a", "0001 78"),
    "the will": ("10", "0004 4d515454 05 06 000a 00 0001 78", "0001 77 0001 6d"),
    "PUBLISH": ("32", "0001 74 0001", "31"),
    "PUBACK": ("40", "0001 00", ""),
    "PUBREC": ("50", "0001 00", ""),
    "PUBREL": ("62", "0001 00", ""),
    "PUBCOMP": ("70", "0001 00", ""),
    "SUBSCRIBE": ("82", "0001", "0001 74 00"),
    "UNSUBSCRIBE": ("a2", "0001", "0001 74"),
    "DISCONNECT": ("e0", "00", ""),
}
FAULTS = {Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR}


def packet(kind: str, *found: int, values: dict[int, str] | None = None) -> bytes:
    """One packet with the properties `found`."""
    first, before, after = PACKETS[kind]
    known = VALUES | (values or {})
    body = b"".join(bytes((one,)) + bytes.fromhex(known[one]) for one in found)
    whole = bytes.fromhex(before) + varint(len(body)) + body + bytes.fromhex(after)
    return bytes.fromhex(first) + varint(len(whole)) + whole


def is_taken(kind: str, data: bytes) -> bool:
    """Whether a broker takes the packet; if it does not, it says that it is at fault."""
    world = World()
    if kind in ("CONNECT", "the will"):
        client = world.client("x")
        client.send_bytes(data)
        connack = client.one() if client.got else None
        assert isinstance(connack, Connack) or client.closed
        # A method of authentication is no fault of form.
        return connack is not None and connack.reason in (0, Reason.BAD_AUTHENTICATION_METHOD)  # type: ignore[union-attr]
    client = connected(world, "x", session_expiry_s=600)
    client.send_bytes(data)
    last = client.got[-1] if client.got else None
    if isinstance(last, Disconnect):
        assert last.reason in FAULTS, last
        assert client.closed
        return False
    return True


@pytest.mark.parametrize("kind", PACKETS)
def test_a_property_is_taken_where_table_2_4_allows_it_and_nowhere_else(kind: str) -> None:
    """Sections 2.2.2.2 and 4.13: a property that does not belong to its packet is malformed."""
    assert is_taken(kind, packet(kind))
    beside = {0x16: (0x15, 0x16)}  # data of an authentication has its method beside it
    taken = {one for one in VALUES if is_taken(kind, packet(kind, *beside.get(one, (one,))))}
    assert taken == ALLOWED[kind]


@pytest.mark.parametrize("kind", PACKETS)
def test_a_property_stands_once_but_for_pairs(kind: str) -> None:
    """Each property's own section: "It is a Protocol Error to include ... more than once"."""
    for one in sorted(ALLOWED[kind]):
        before = (0x15,) if one == 0x16 else ()
        assert is_taken(kind, packet(kind, *before, one, one)) == (one in MAY_REPEAT), hex(one)


@pytest.mark.parametrize(
    ("kind", "one", "value"),
    [
        ("CONNECT", 0x21, "0000"),
        ("CONNECT", 0x27, "00000000"),
        ("CONNECT", 0x17, "02"),
        ("CONNECT", 0x19, "02"),
        ("the will", 0x01, "02"),
        ("the will", 0x08, "0001 23"),
        ("the will", 0x08, "0001 2b"),
        ("the will", 0x08, "0000"),
        ("PUBLISH", 0x01, "02"),
        ("PUBLISH", 0x08, "0003 612f23"),
        ("PUBLISH", 0x08, "0000"),
        ("SUBSCRIBE", 0x0B, "00"),
        ("SUBSCRIBE", 0x0B, "8100"),
        ("SUBSCRIBE", 0x0B, "80808080 01"),
        ("CONNECT", 0x26, "0001 61 0001 ff"),
        ("SUBSCRIBE", 0x26, "0001 00 0001 61"),
        ("PUBACK", 0x1F, "0001 ff"),
    ],
)
def test_a_value_out_of_its_range_is_an_error(kind: str, one: int, value: str) -> None:
    """Sections 3.1.2.11, 3.1.3.2, 3.3.2.3, 3.8.2.1 and 1.5."""
    assert not is_taken(kind, packet(kind, one, values={one: value}))


def test_the_length_of_properties_takes_as_few_bytes_as_it_can() -> None:
    """MQTT-1.5.5-1."""
    assert is_taken("PUBLISH", bytes.fromhex("30 06 0001 74 02 01 01"))
    assert not is_taken("PUBLISH", bytes.fromhex("30 07 0001 74 8200 01 01"))
    assert not is_taken("PUBLISH", bytes.fromhex("30 05 0001 74 8000"))


@pytest.mark.parametrize(("version", "taken"), [(V5, False), (V311, True)])
def test_the_length_of_a_connect_takes_as_few_bytes_as_it_can_in_5(version: int, taken: bool) -> None:
    """MQTT-1.5.5-1; 3.1.1 does not say. Which of the two it is stands in the packet itself."""
    plain = encode(Connect("padded", version, True), version)
    padded = plain[:1] + bytes((plain[1] | 0x80, 0)) + plain[2:]
    world = World()
    client = world.client("padded", version)
    client.send_bytes(padded)
    assert client.closed is not taken


def test_a_topic_alias_of_zero_is_said_to_be_the_fault() -> None:
    """MQTT-3.3.2-8."""
    assert not is_taken("PUBLISH", packet("PUBLISH", 0x23, values={0x23: "0000"}))


@pytest.mark.parametrize("version", [V5, V311])
@pytest.mark.parametrize(
    "sent",
    [
        Connack(False, 0),
        Suback(PacketType.SUBACK, 1, [0]),
        Suback(PacketType.UNSUBACK, 1, []),
        Ping(PacketType.PINGRESP),
    ],
    ids=["CONNACK", "SUBACK", "UNSUBACK", "PINGRESP"],
)
def test_a_packet_that_only_a_server_sends_ends_the_connection(version: int, sent: Packet) -> None:
    """Table 2-1 of MQTT 5.0, table 2.1 of 3.1.1: the direction of flow."""
    client = connected(World(), "c", version)
    client.send(sent)
    assert client.closed
    assert len(client.got) == (version == V5)


@pytest.mark.parametrize("version", [V5, V311])
def test_what_stands_behind_a_goodbye_is_not_taken(version: int) -> None:
    """Section 3.14.4; MQTT-3.14.4-2 of 3.1.1 seen from the server."""
    world = World()
    client = connected(world, "c", version)
    client.send(Disconnect(), Publish("t", b"1", 1, packet_id=1), Subscribe(2, [Subscription("t")]))
    assert client.closed
    assert client.got == []
    assert world.accepted == []
    assert world.broker.sizes()["subscriptions"] == 0


def test_an_answer_may_bear_its_reason_alone_or_nothing() -> None:
    """Sections 3.4.2.1, 3.5.2.1, 3.6.2.1, 3.7.2.1: remaining lengths of 2 and 3."""
    client = connected(World(), "c")
    for text in ("62 02 0001", "62 03 0001 00", "62 04 0001 00 00", "62 03 0001 92"):
        client.send_bytes(bytes.fromhex(text))
        assert client.one() == Ack(PacketType.PUBCOMP, 1, Reason.PACKET_IDENTIFIER_NOT_FOUND)
    assert not client.closed


def test_a_goodbye_may_bear_its_reason_alone_or_nothing() -> None:
    """Section 3.14.2.1: a remaining length of 0 is 0x00."""
    for text in ("e0 00", "e0 01 00", "e0 02 00 00"):
        client = connected(World(), "c")
        client.send_bytes(bytes.fromhex(text))
        assert client.closed
        assert client.got == []


def test_a_subscription_may_ask_for_anything_that_the_options_can_say() -> None:
    """Section 3.8.3.1: every byte of options that is not reserved is granted as it asks."""
    for options in range(256):
        client = connected(World(), "c")
        client.send_bytes(bytes.fromhex("82 07 0001 00 0001 74") + bytes((options,)))
        if options & 0xC0 or options & 3 == 3 or options & 0x30 == 0x30:
            assert client.closed
        else:
            assert client.one() == Suback(PacketType.SUBACK, 1, [options & 3])
