"""Packets as bytes: tables from the specifications, round trips, and what must be refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headland.mqtt import ProtocolError, Reason
from headland.mqtt.codec import (
    INCOMPLETE,
    MAX_REMAINING,
    body_start,
    encode_acks,
    frame_end,
    parse_publishes,
    varint,
)
from headland.mqtt.decoding import decode
from headland.mqtt.encoding import encode
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

LIMIT = 1 << 28


def whole(data: bytes, version: int) -> Packet:
    stop = frame_end(data, 0, LIMIT, True)
    assert stop == len(data)
    return decode(data[0], data, body_start(data, 0), stop, version)


GOLDEN = [
    (
        "connect 3.1.1, the example of its section 3.1.2.10",
        V311,
        Connect("c", V311, True, 10, "u", b"p", Will("w", b"m", 1)),
        "10 19 0004 4d515454 04 ce 000a 0001 63 0001 77 0001 6d 0001 75 0001 70",
    ),
    (
        "connect 5.0 with session expiry 10, the example of its section 3.1.2.11.9",
        V5,
        Connect("", V5, True, 10, properties=Properties(session_expiry_s=10)),
        "10 12 0004 4d515454 05 02 000a 05 11 0000000a 0000",
    ),
    ("connack 3.1.1", V311, Connack(True, 0), "20 02 01 00"),
    ("connack 5.0", V5, Connack(False, 0x87), "20 03 00 87 00"),
    (
        "publish 3.1.1, the example of its section 3.3.2.3",
        V311,
        Publish("a/b", b"", 1, packet_id=10),
        "32 07 0003 612f62 000a",
    ),
    (
        "publish 5.0, the example of its section 3.3.2.4",
        V5,
        Publish("a/b", b"", 1, packet_id=10),
        "32 08 0003 612f62 000a 00",
    ),
    (
        "publish 5.0 with every property",
        V5,
        Publish(
            "t",
            b"p",
            2,
            True,
            True,
            9,
            Properties(
                payload_format=1,
                message_expiry_s=60,
                content_type="c",
                response_topic="r",
                correlation_data=b"d",
                topic_alias=3,
                user=[("k", "v"), ("k", "w")],
            ),
        ),
        "3d2b00017400092401010200 00003c0300016308000172090001642300032600016b0001762600016b00017770",
    ),
    ("puback", V311, Ack(PacketType.PUBACK, 1), "40 02 0001"),
    ("puback 5.0 with a reason", V5, Ack(PacketType.PUBACK, 1, 0x10), "40 03 0001 10"),
    (
        "puback 5.0 with a reason string",
        V5,
        Ack(PacketType.PUBACK, 1, 0x87, Properties(reason_string="no")),
        "40 09 0001 87 05 1f 0002 6e6f",
    ),
    ("pubrec", V5, Ack(PacketType.PUBREC, 2), "50 02 0002"),
    ("pubrel", V5, Ack(PacketType.PUBREL, 2), "62 02 0002"),
    ("pubcomp", V5, Ack(PacketType.PUBCOMP, 2, 0x92), "70 03 0002 92"),
    (
        "subscribe 3.1.1, the example of its section 3.8.3",
        V311,
        Subscribe(10, [Subscription("a/b", 1), Subscription("c/d", 2)]),
        "82 0e 000a 0003 612f62 01 0003 632f64 02",
    ),
    (
        "subscribe 5.0 with options and an identifier",
        V5,
        Subscribe(10, [Subscription("a/b", 1, True, True, 2)], Properties(subscription_ids=[300])),
        "82 0c 000a 03 0b ac02 0003 612f62 2d",
    ),
    ("suback", V311, Suback(PacketType.SUBACK, 10, [0, 2, 0x80]), "90 05 000a 00 02 80"),
    ("suback 5.0", V5, Suback(PacketType.SUBACK, 10, [1, 0x87]), "90 05 000a 00 01 87"),
    ("unsubscribe", V311, Unsubscribe(10, ["a/b"]), "a2 07 000a 0003 612f62"),
    ("unsuback 3.1.1", V311, Suback(PacketType.UNSUBACK, 10, []), "b0 02 000a"),
    ("unsuback 5.0", V5, Suback(PacketType.UNSUBACK, 10, [0x11]), "b0 04 000a 00 11"),
    ("pingreq", V5, Ping(PacketType.PINGREQ), "c0 00"),
    ("pingresp", V311, Ping(PacketType.PINGRESP), "d0 00"),
    ("disconnect 3.1.1", V311, Disconnect(), "e0 00"),
    ("disconnect 5.0", V5, Disconnect(0x8E), "e0 01 8e"),
    (
        "disconnect 5.0 with session expiry",
        V5,
        Disconnect(0, Properties(session_expiry_s=0)),
        "e0 07 00 05 11 00000000",
    ),
    ("auth", V5, Auth(0x18, Properties(authentication_method="m")), "f0 06 18 04 15 0001 6d"),
]


@pytest.mark.parametrize(
    ("version", "packet", "text"), [row[1:] for row in GOLDEN], ids=[row[0] for row in GOLDEN]
)
def test_each_packet_has_the_bytes_of_the_specification(version: int, packet: Packet, text: str) -> None:
    """Tables of chapter 3 of both specifications; MQTT-2.2.2-1."""
    data = bytes.fromhex(text)
    assert encode(packet, version).hex(" ") == data.hex(" ")
    assert whole(data, version) == packet


REFUSED = [
    ("MQTT-2.3.1-1 of 3.1.1: packet identifier 0 in PUBLISH", V311, "32 05 0001 74 0000"),
    ("MQTT-2.2.1-3: packet identifier 0 in SUBSCRIBE", V5, "82 07 0000 00 0001 74 00"),
    ("MQTT-3.3.1-4: QoS 3", V5, "36 06 0001 74 0001 00"),
    ("MQTT-3.3.1-2: DUP at QoS 0", V5, "38 04 0001 74 00"),
    ("MQTT-3.3.2-2, MQTT-4.7.0-1: wildcard in a topic name", V5, "30 04 0001 23 00"),
    ("MQTT-3.3.2-2, MQTT-4.7.1-1 of 3.1.1: single wildcard in a topic name", V311, "30 05 0003 612f2b"),
    ("MQTT-4.7.3-1; MQTT-4.7.3-1 of 3.1.1: empty topic", V311, "30 02 0000"),
    ("section 3.3.2.1: empty topic without alias", V5, "30 03 0000 00"),
    ("MQTT-3.3.2-8: topic alias 0", V5, "30 07 0001 74 03 23 0000"),
    ("MQTT-3.3.2-14: wildcard in a response topic", V5, "30 08 0001 74 04 08 0001 23"),
    ("MQTT-1.5.4-1, MQTT-3.3.2-1: topic is not UTF-8", V5, "30 04 0001 ff 00"),
    ("MQTT-1.5.4-1: surrogate in a topic", V5, "30 06 0003 eda080 00"),
    ("MQTT-1.5.4-2, MQTT-4.7.3-2: U+0000 in a topic", V5, "30 04 0001 00 00"),
    ("topic longer than the packet", V5, "30 03 0005 74"),
    ("no room for a packet identifier", V311, "32 04 0001 74 00"),
    ("property length over the end", V5, "30 04 0001 74 09"),
    ("unknown property", V5, "30 06 0001 74 02 7f 00"),
    ("property of another packet: session expiry in PUBLISH", V5, "30 09 0001 74 05 11 00000001"),
    ("property cut off by the property length", V5, "30 07 0001 74 01 01 01 01"),
    ("payload format occurs twice", V5, "30 08 0001 74 04 01 01 01 01"),
    ("payload format 2", V5, "30 06 0001 74 02 01 02"),
    ("subscription identifier 0", V5, "82 09 0001 02 0b 00 0001 74 00"),
    ("subscription identifier twice in SUBSCRIBE", V5, "82 0b 0001 04 0b 01 0b 01 0001 74 00"),
    ("MQTT-3.6.1-1: reserved flags of PUBREL", V5, "60 02 0001"),
    ("MQTT-3.8.1-1; MQTT-3.8.1-1 of 3.1.1: reserved flags of SUBSCRIBE", V311, "80 06 0001 0001 74 00"),
    ("MQTT-3.10.1-1; MQTT-3.10.1-1 of 3.1.1: reserved flags of UNSUBSCRIBE", V311, "a0 05 0001 0001 74"),
    ("MQTT-2.1.3-1: reserved flags of PINGREQ", V5, "c1 00"),
    ("MQTT-2.1.3-1: reserved flags of PUBACK", V5, "42 02 0001"),
    ("MQTT-3.8.3-2: SUBSCRIBE without a filter", V5, "82 03 0001 00"),
    ("MQTT-3.10.3-2; MQTT-3.10.3-2 of 3.1.1: UNSUBSCRIBE without a filter", V311, "a2 02 0001"),
    ("MQTT-3.8.3-3 of 3.1.1: SUBSCRIBE without a filter", V311, "82 02 0001"),
    ("MQTT-3.3.1-4 of 3.1.1: QoS 3", V311, "36 05 0001 74 0001"),
    ("MQTT-3.6.1-1 of 3.1.1: reserved flags of PUBREL", V311, "60 02 0001"),
    ("MQTT-1.5.3-1, MQTT-3.3.2-1 of 3.1.1: topic is not UTF-8", V311, "30 03 0001 ff"),
    ("MQTT-1.5.3-2, MQTT-4.7.3-2 of 3.1.1: U+0000 in a topic", V311, "30 03 0001 00"),
    ("MQTT-3.1.2-3 of 3.1.1: reserved connect flag", V311, "10 0c 0004 4d515454 04 03 0000 0000"),
    ("MQTT-3.8.3-1 of 3.1.1: filter is not UTF-8", V311, "82 06 0001 0001 ff 00"),
    ("MQTT-3.10.3-1 of 3.1.1: filter is not UTF-8", V311, "a2 05 0001 0001 ff"),
    ("MQTT-3.8.3-1: filter is not UTF-8", V5, "82 07 0001 00 0001 ff 00"),
    ("MQTT-3.10.3-1: filter is not UTF-8", V5, "a2 06 0001 00 0001 ff"),
    ("MQTT-3.3.2-13: response topic is not UTF-8", V5, "30 08 0001 74 04 08 0001 ff"),
    ("MQTT-3.3.2-19: content type is not UTF-8", V5, "30 08 0001 74 04 03 0001 ff"),
    ("MQTT-3.8.3-5: reserved subscription option", V5, "82 07 0001 00 0001 74 40"),
    ("MQTT-3.8.3-4 of 3.1.1: reserved subscription option", V311, "82 06 0001 0001 74 04"),
    ("subscription QoS 3", V5, "82 07 0001 00 0001 74 03"),
    ("retain handling 3", V5, "82 07 0001 00 0001 74 30"),
    (
        "MQTT-3.8.3-4: no local on a shared subscription",
        V5,
        "82 10 0001 00 000a 2473686172652f672f74 05",
    ),
    ("PINGREQ with a body", V5, "c0 01 00"),
    ("PUBACK with an unknown reason", V5, "40 03 0001 01"),
    ("PUBACK of 3.1.1 with a reason", V311, "40 03 0001 00"),
    ("PUBACK cut off", V5, "40 01 00"),
    ("DISCONNECT of 3.1.1 with a body", V311, "e0 01 00"),
    ("DISCONNECT with a server reference that is cut off", V5, "e0 04 00 02 1c 00"),
    ("bytes after the properties of a PUBACK", V5, "40 05 0001 00 00 00"),
    ("packet type 0", V5, "00 00"),
    ("AUTH in 3.1.1", V311, "f0 00"),
    ("MQTT-3.1.2-1: another protocol", V5, "10 0d 0004 4d515458 05 02 0000 00 0000"),
    ("MQTT-3.1.2-1 of 3.1.1: another protocol", V311, "10 0c 0004 4d515458 04 02 0000 0000"),
    ("MQTT-2.3.1-1 of 3.1.1: packet identifier 0 in SUBSCRIBE", V311, "82 06 0000 0001 74 00"),
    ("MQTT-2.3.1-1 of 3.1.1: packet identifier 0 in UNSUBSCRIBE", V311, "a2 05 0000 0001 74"),
    ("MQTT-3.1.2-2: version 6", V5, "10 0d 0004 4d515454 06 02 0000 00 0000"),
    ("MQTT-3.1.2-2: version 3.1", V5, "10 0e 0006 4d5149736470 03 02 0000 0000"),
    ("MQTT-3.1.2-3: reserved connect flag", V5, "10 0d 0004 4d515454 05 03 0000 00 0000"),
    ("MQTT-3.1.2-11: will QoS without a will", V5, "10 0d 0004 4d515454 05 0a 0000 00 0000"),
    ("MQTT-3.1.2-13: will retain without a will", V5, "10 0d 0004 4d515454 05 22 0000 00 0000"),
    ("MQTT-3.1.2-11, -15 of 3.1.1: will retain without a will", V311, "10 0c 0004 4d515454 04 22 0000 0000"),
    ("MQTT-3.1.2-13 of 3.1.1: will QoS without a will", V311, "10 0c 0004 4d515454 04 0a 0000 0000"),
    ("MQTT-3.1.2-12: will QoS 3", V5, "10 14 0004 4d515454 05 1e 0000 00 0000 00 0001 77 0001 6d"),
    ("MQTT-3.1.2-14 of 3.1.1: will QoS 3", V311, "10 12 0004 4d515454 04 1e 0000 0000 0001 77 0001 6d"),
    (
        "MQTT-3.1.2-22 of 3.1.1: password without user name",
        V311,
        "10 0f 0004 4d515454 04 42 0000 0000 0001 70",
    ),
    ("authentication data without a method", V5, "10 11 0004 4d515454 05 02 0000 04 16 0001 61 0000"),
    ("receive maximum 0", V5, "10 10 0004 4d515454 05 02 0000 03 21 0000 0000"),
    ("maximum packet size 0", V5, "10 12 0004 4d515454 05 02 0000 05 27 00000000 0000"),
    ("bytes after the payload of CONNECT", V311, "10 0d 0004 4d515454 04 02 0000 0000 00"),
    ("CONNECT without its user name", V311, "10 0c 0004 4d515454 04 82 0000 0000"),
    ("will delay among the properties of CONNECT", V5, "10 12 0004 4d515454 05 02 0000 05 18 00000001 0000"),
    ("MQTT-3.2.2-1: reserved CONNACK flags", V311, "20 02 02 00"),
    ("MQTT-3.2.2-6: session present beside a refusal", V311, "20 02 01 05"),
    ("unknown SUBACK reason", V311, "90 03 0001 03"),
    ("SUBACK without reasons", V5, "90 03 0001 00"),
]


@pytest.mark.parametrize(("version", "text"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_packet_that_breaks_a_rule_is_refused(version: int, text: str) -> None:
    """The normative statements stand in the names of the rows."""
    data = bytes.fromhex(text)
    with pytest.raises(ProtocolError):
        whole(data, version)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("00", 0),
        ("7f", 127),
        ("8001", 128),
        ("ff7f", 16_383),
        ("808001", 16_384),
        ("ffff7f", 2_097_151),
        ("80808001", 2_097_152),
        ("ffffff7f", MAX_REMAINING),
    ],
)
def test_lengths_are_those_of_table_1_1(text: str, value: int) -> None:
    """MQTT 5.0 section 1.5.5, 3.1.1 table 2.4."""
    data = bytes.fromhex(text)
    assert varint(value) == data
    assert frame_end(b"\x30" + data, 0, 1 << 29, True) == 1 + len(data) + value
    assert body_start(b"\x30" + data, 0) == 1 + len(data)
    for cut in range(len(data)):
        assert frame_end(b"\x30" + data[:cut], 0, 1 << 29, True) == INCOMPLETE


def test_a_length_of_five_bytes_is_malformed() -> None:
    """MQTT-1.5.5-1 allows four."""
    for last in (b"\x01", b"\x00"):
        with pytest.raises(ProtocolError) as caught:
            frame_end(b"\x30\x80\x80\x80\x80" + last, 0, LIMIT, False)
        assert caught.value.reason is Reason.MALFORMED_PACKET


def test_a_padded_length_is_malformed_in_5_and_tolerated_in_3_1_1() -> None:
    """MQTT-1.5.5-1; the older text says nothing, and small modems pad."""
    with pytest.raises(ProtocolError):
        frame_end(b"\x30\x85\x00", 0, LIMIT, True)
    assert frame_end(b"\x30\x85\x00", 0, LIMIT, False) == 8


def test_a_packet_over_the_limit_is_refused_before_its_body_has_come() -> None:
    with pytest.raises(ProtocolError) as caught:
        frame_end(b"\x30" + varint(99), 0, 100, True)
    assert caught.value.reason is Reason.PACKET_TOO_LARGE
    assert frame_end(b"\x30" + varint(98), 0, 100, True) == 100


# Round trips

texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
names = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0+#"), min_size=1, max_size=12
)
identifiers = st.integers(1, 65_535)
u32 = st.integers(0, 0xFFFF_FFFF)
bits = st.integers(0, 1)
users = st.lists(st.tuples(texts, texts), min_size=1, max_size=3)


def properties(**allowed: st.SearchStrategy[object]) -> st.SearchStrategy[Properties | None]:
    some = st.builds(Properties, **{name: st.none() | values for name, values in allowed.items()})
    return st.none() | some.filter(lambda found: found != Properties())


message = {
    "payload_format": bits,
    "message_expiry_s": u32,
    "content_type": texts,
    "response_topic": names,
    "correlation_data": st.binary(max_size=9),
    "user": users,
}
answers = properties(reason_string=texts, user=users)
wills = st.builds(
    Will,
    names,
    st.binary(max_size=9),
    st.integers(0, 2),
    st.booleans(),
    properties(will_delay_s=u32, **message),
)
connects = st.builds(
    Connect,
    texts,
    st.just(V5),
    st.booleans(),
    st.integers(0, 65_535),
    st.none() | texts,
    st.none() | st.binary(max_size=9),
    st.none() | wills,
    properties(
        session_expiry_s=u32,
        receive_maximum=identifiers,
        maximum_packet_bytes=st.integers(1, 0xFFFF_FFFF),
        topic_alias_maximum=st.integers(0, 65_535),
        request_response_information=bits,
        request_problem_information=bits,
        authentication_method=texts,
        user=users,
    ),
)


@st.composite
def publishes(draw: st.DrawFn) -> Publish:
    qos = draw(st.integers(0, 2))
    return Publish(
        draw(names),
        draw(st.binary(max_size=40)),
        qos,
        draw(st.booleans()),
        bool(qos) and draw(st.booleans()),
        draw(identifiers) if qos else 0,
        draw(
            properties(
                topic_alias=identifiers,
                subscription_ids=st.lists(st.integers(1, MAX_REMAINING), min_size=1, max_size=3),
                **message,
            )
        ),
    )


subscriptions = st.builds(
    Subscription, names, st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2)
).filter(lambda one: not one.filter.startswith("$share/"))
packets_5 = st.one_of(
    connects,
    publishes(),
    st.builds(
        Connack,
        st.booleans(),
        st.just(0),
        properties(session_expiry_s=u32, server_reference=texts, user=users),
    ),
    st.builds(Ack, st.sampled_from([4, 5]), identifiers, st.sampled_from([0, 0x10, 0x87]), answers),
    st.builds(Ack, st.sampled_from([6, 7]), identifiers, st.sampled_from([0, 0x92]), answers),
    st.builds(
        Subscribe,
        identifiers,
        st.lists(subscriptions, min_size=1, max_size=4),
        properties(
            subscription_ids=st.lists(st.integers(1, MAX_REMAINING), min_size=1, max_size=1), user=users
        ),
    ),
    st.builds(Unsubscribe, identifiers, st.lists(texts, min_size=1, max_size=4), properties(user=users)),
    st.builds(
        Suback, st.just(9), identifiers, st.lists(st.sampled_from([0, 1, 2, 0x80]), min_size=1), answers
    ),
    st.builds(Suback, st.just(11), identifiers, st.lists(st.sampled_from([0, 0x11]), min_size=1), answers),
    st.builds(Ping, st.sampled_from([12, 13])),
    st.builds(
        Disconnect, st.sampled_from([0, 4, 0x8E]), properties(session_expiry_s=u32, reason_string=texts)
    ),
    st.builds(Auth, st.sampled_from([0x18, 0x19]), properties(authentication_method=texts)),
)


def plain(packet: Packet) -> Packet | None:
    """The packet as 3.1.1 can say it, or None."""
    match packet:
        case Connect():
            if packet.password is not None and packet.username is None:
                return None
            packet.version = V311
            if packet.will is not None:
                packet.will.properties = None
        case Ack() | Disconnect():
            packet.reason = 0
        case Subscribe():
            packet.subscriptions = [Subscription(one.filter, one.qos) for one in packet.subscriptions]
        case Suback() if packet.type == PacketType.UNSUBACK:
            packet.reasons = []
        case Auth():
            return None
        case _:
            pass
    if not isinstance(packet, Ping):
        packet.properties = None
    return packet


@given(packets_5)
def test_what_is_encoded_in_5_decodes_to_the_same_packet(packet: Packet) -> None:
    assert whole(encode(packet, V5), V5) == packet


@given(packets_5)
def test_what_is_encoded_in_3_1_1_decodes_to_the_same_packet(packet: Packet) -> None:
    if (simple := plain(packet)) is not None:
        assert whole(encode(simple, V311), V311) == simple


@given(st.binary(max_size=60), st.sampled_from([V5, V311]))
@example(bytes.fromhex("10 0a 0000"), V5)
def test_random_bytes_raise_nothing_but_protocol_errors(data: bytes, version: int) -> None:
    if not data:
        return
    with suppress(ProtocolError):
        decode(data[0], data, min(2, len(data)), len(data), version)
    with suppress(ProtocolError):
        frame_end(data, 0, 1_000, True)


@given(packets_5, st.data())
def test_damaged_packets_raise_nothing_but_protocol_errors(packet: Packet, data: st.DataObject) -> None:
    raw = bytearray(encode(packet, V5))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    start = min(2, len(raw))
    stop = data.draw(st.integers(start, len(raw)))
    try:
        decode(raw[0], bytes(raw), start, stop, V5)
    except ProtocolError:
        return


# Runs


def test_the_bulk_parser_takes_exactly_the_plain_publishes_of_known_topics() -> None:
    known = {b"a": "a", b"b/c": "b/c"}
    taken = [
        Publish("a", b"1", 1, packet_id=1),
        Publish("b/c", b"", 0),
        Publish("a", b"x" * 200, 1, dup=True, packet_id=65_535),
        Publish("a", b"y" * 20_000, 0),
    ]
    for version in (V5, V311):
        prefix = b"".join(encode(packet, version) for packet in taken)
        for stops_at in (
            encode(Publish("a", b"2", 2, packet_id=3), version),
            encode(Publish("a", b"2", 0, retain=True), version),
            encode(Publish("unknown", b"2", 0), version),
            encode(Ping(PacketType.PINGREQ), version),
            encode(Publish("a", b"cut off", 1, packet_id=9), version)[:-1],
            b"\x32",
            b"\x32\xff",
            b"\x36\x05\x00\x01a\x00\x01",
            b"\x32\x05\x00\x01a\x00\x00" + b"\x00",
            b"\x32\x04\x00\x01a\x00",
            b"\x30\x02\x00\x09",
            b"",
        ):
            topics: list[str] = []
            payloads: list[bytes] = []
            ids: list[int] = []
            qos: list[int] = []
            dup: list[bool] = []
            data = prefix + stops_at
            stop = parse_publishes(data, 0, LIMIT, version == V5, known, topics, payloads, ids, qos, dup)
            assert stop == len(prefix)
            assert [
                Publish(*row) for row in zip(topics, payloads, qos, [False] * 4, dup, ids, strict=True)
            ] == taken


@given(st.lists(publishes(), max_size=12), st.sampled_from([V5, V311]), st.integers(0, 400))
def test_the_bulk_parser_agrees_with_the_decoder(packets: list[Publish], version: int, cut: int) -> None:
    data = b"".join(encode(packet, version) for packet in packets)[:cut]
    known = {packet.topic.encode(): packet.topic for packet in packets}
    columns: tuple[list[str], list[bytes], list[int], list[int], list[bool]] = ([], [], [], [], [])
    stop = parse_publishes(data, 0, LIMIT, version == V5, known, *columns)
    at = 0
    expected: list[tuple[str, bytes, int, int, bool]] = []
    while at < stop:
        end = frame_end(data, at, LIMIT, True)
        packet = decode(data[at], data, body_start(data, at), end, version)
        assert isinstance(packet, Publish)
        assert packet.properties is None
        expected.append((packet.topic, packet.payload, packet.packet_id, packet.qos, packet.dup))
        at = end
    assert at == stop
    assert list(zip(*columns, strict=True)) == expected


def test_runs_of_acknowledgements_are_the_single_ones_joined() -> None:
    ids = [1, 0, 300, 65_535, 7]
    qos = [1, 0, 2, 1, 1]
    single = [
        encode(Ack(PacketType.PUBREC if level == 2 else PacketType.PUBACK, number), V5) if level else b""
        for number, level in zip(ids, qos, strict=True)
    ]
    for start in range(len(ids)):
        for stop in range(start, len(ids) + 1):
            assert encode_acks(ids, qos, start, stop) == b"".join(single[start:stop])
    assert encode_acks([5, 6, 7], [1, 1, 1], 1, 3) == bytes.fromhex("40020006 40020007")
