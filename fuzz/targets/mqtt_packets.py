"""MQTT packets: first byte 0 for 3.1.1, 1 for 5.0, then a stream of packets."""

from __future__ import annotations

from fuzz.target import Target, hold
from headland.mqtt.codec import INCOMPLETE, body_start, frame_end, parse_publishes
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
    Ping,
    Properties,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from headland.mqtt.reasons import ProtocolError

LIMIT = 1 << 20


def check(data: bytes) -> bytes:
    """What decodes is what its encoding decodes to, and no longer; runs of PUBLISH are those packets."""
    version = V5 if data[:1] and data[0] & 1 else V311
    stream = data[1:]
    story: list[str] = []
    plain: list[tuple[Publish, int]] = []
    unbroken = True
    at = 0
    while at < len(stream):
        try:
            stop = frame_end(stream, at, LIMIT, version == V5)
        except ProtocolError as error:
            story.append(f"{error.reason!r} {error.rule} {error}")
            break
        if stop == INCOMPLETE or stop > len(stream):
            story.append(f"needs {stop}")
            break
        try:
            packet = decode(stream[at], stream, body_start(stream, at), stop, version)
        except ProtocolError as error:
            story.append(f"{error.reason!r} {error.rule} {error}")
            unbroken = False
        else:
            _there_and_back(packet, version, stop - at)
            story.append(repr(packet))
            if unbroken and isinstance(packet, Publish):
                plain.append((packet, stop))
            else:
                unbroken = False
        at = stop
    _in_a_run(stream, version, plain, story)
    return "\n".join(story).encode("utf-8", "backslashreplace")


def _there_and_back(packet: Packet, version: int, length: int) -> None:
    spoken = packet.version if isinstance(packet, Connect) else version
    again = encode(packet, spoken)
    hold(len(again) <= length, f"{length} bytes of {packet!r} became {len(again)}")
    stop = frame_end(again, 0, LIMIT, True)
    hold(stop == len(again), f"the encoding of {packet!r} is not one packet")
    same = decode(again[0], again, body_start(again, 0), stop, spoken)
    hold(same == packet, f"{packet!r} came back as {same!r}")
    hold(encode(same, spoken) == again, f"{packet!r} has two encodings")


def _in_a_run(stream: bytes, version: int, plain: list[tuple[Publish, int]], story: list[str]) -> None:
    """The quick way through PUBLISH packets gives what the whole way gives."""
    known = {packet.topic.encode(): packet.topic for packet, _ in plain if packet.topic}
    topics: list[str] = []
    payloads: list[bytes] = []
    ids: list[int] = []
    qos: list[int] = []
    dup: list[bool] = []
    end = parse_publishes(stream, 0, LIMIT, version == V5, known, topics, payloads, ids, qos, dup)
    quick = list(zip(topics, payloads, ids, qos, dup, strict=True))
    whole = [(one.topic, one.payload, one.packet_id, one.qos, one.dup) for one, _ in plain[: len(quick)]]
    hold(quick == whole, f"a run gave {quick!r}, its packets {whole!r}")
    hold(end == (plain[len(quick) - 1][1] if quick else 0), f"a run ends at {end}")
    hold(
        not any(one.retain or one.properties for one, _ in plain[: len(quick)]), "a run of what is not plain"
    )
    story.append(f"run of {len(quick)} to {end}")


def packets(version: int) -> list[Packet]:
    """One packet of each kind and more of the rich ones."""
    v5 = version == V5
    rich = Properties(
        payload_format=1,
        message_expiry_s=60,
        content_type="t",
        response_topic="r",
        correlation_data=b"c",
        user=[("k", "v"), ("k", "w")],
    )
    will = Will("w", b"gone", 1, True, Properties(will_delay_s=5) if v5 else None)
    found: list[Packet] = [
        Connect("c", version),
        Connect("c", version, False, 60, "u", b"p", will, Properties(session_expiry_s=9) if v5 else None),
        Connack(False, 0, Properties(receive_maximum=9) if v5 else None),
        Publish("a/b", b"21.5"),
        Publish("a/b", b"21.5", 1, packet_id=1),
        Publish("a/b", b"x" * 200, 1, dup=True, packet_id=2),
        Publish("a/é", b"", 2, True, packet_id=3, properties=rich if v5 else None),
        *(Ack(kind, 7) for kind in (4, 5, 6, 7)),
        Subscribe(8, [Subscription("a/#", 1), Subscription("$share/g/+", 2)]),
        Suback(9, 8, [1, 2]),
        Unsubscribe(9, ["a/#", "b"]),
        Suback(11, 9, [0, 17] if v5 else []),
        Ping(12),
        Ping(13),
        Disconnect(),
    ]
    if v5:
        found += [
            Ack(4, 7, 0x10, Properties(reason_string="none")),
            Publish("", b"1", properties=Properties(topic_alias=1)),
            Subscribe(8, [Subscription("a", 1, True, True, 2)], Properties(subscription_ids=[5])),
            Disconnect(4, Properties(session_expiry_s=5)),
            Auth(0x18, Properties(authentication_method="m")),
        ]
    return found


def seeds() -> dict[str, bytes]:
    """Each packet alone, and all of them, in both versions."""
    made = {}
    for version in (V311, V5):
        mark, name = bytes((version == V5,)), "v5" if version == V5 else "v311"
        encoded = [encode(packet, version) for packet in packets(version)]
        for index, data in enumerate(encoded):
            made[f"{name}-{index:02}"] = mark + data
        made[f"{name}-run"] = mark + b"".join(encoded[3:6] * 2)
        made[f"{name}-all"] = mark + b"".join(encoded)
    return made


TARGET = Target(
    name="mqtt_packets",
    law="a packet that decodes is what its own encoding decodes to, in no more bytes; a run is its packets",
    check=check,
    seeds=seeds,
    words=(
        b"\x00\x04MQTT\x04",
        b"\x00\x04MQTT\x05",
        b"\x32\x80\x01",
        b"\xff\xff\xff\x7f",
        b"$share/",
        b"\xed\xa0\x80",
    ),
    compiled=True,
    rounds=6_000,
)
