"""Golden bytes of the wire, framing cut anywhere, and how few bytes a live stream needs."""

from __future__ import annotations

import contextlib
import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.link.world import Pair

from headland.blocks.header import BlockHeader, Run
from headland.link import protocol, received
from headland.link.contract import GapRange, Later, Rejected, StreamKey, StreamWelcome
from headland.link.frames import Deframer, Kind, put_frame
from headland.link.protocol import Point
from headland.vocabulary import Lane, PeerError, Priority, StorageDamage

E = bytes(range(16))
TLS_RECORD = 22


def framed(message: object) -> str:
    out = bytearray()
    protocol.put(out, message)
    return out.hex()


GOLDEN = {
    "hello": (
        protocol.Hello(
            "headland-link", 1, 1, "n", E, b"", (protocol.EpochHello(E),), 5, True, False, (("c", 2),)
        ),
        "49109cad686561646c616e642d6c696e6b0101a16ec410"
        + E.hex()
        + "c4009194c410"
        + E.hex()
        + "c400009005c3c29192a16302c2",
    ),
    "welcome": (
        protocol.Welcome(1, "p", E, (StreamWelcome(StreamKey(E, 2, 1), 3, E),), (1, 2, 3, 4), 5, True),
        f"4a119701a170c410{E.hex()}919593c410{E.hex()}020103c410{E.hex()}9000940102030405c3",
    ),
    "open": (protocol.Open(5, 1, 7, E), f"171394050107c410{E.hex()}"),
    "exceptions": (
        protocol.ExceptionsUpTo(4, 0, 9, b"chainval", (Later(8, 2, True, 50), Rejected(9, 3))),
        "1a1595040009c408636861696e76616c9295010802c33293020903",
    ),
    "heard": (protocol.Heard(4, 0, 9), "059793040009"),
    "closing": (protocol.Closing(3, "x"), "05169203a178"),
    "status": (protocol.IntentStatus("c", 1, "applied"), "0e9994a16301a76170706c696564a0"),
}


def test_a_welcome_of_a_parent_that_tells_less_is_read():
    ((_, payload),) = Deframer().feed(
        bytes.fromhex(f"49119701a170c410{E.hex()}919493c410{E.hex()}020103c410{E.hex()}90940102030405c3")
    )
    (position,) = protocol.parse(payload, protocol.Welcome).positions
    assert (position.p, position.heard) == (3, 0)


@pytest.mark.parametrize("name", list(GOLDEN))
def test_messages_have_the_bytes_of_version_one(name):
    message, expected = GOLDEN[name]
    assert framed(message) == expected


def test_short_frames_have_the_bytes_of_version_one():
    out = bytearray()
    put_frame(out, Kind.HEARTBEAT)
    put_frame(out, Kind.PROBE)
    protocol.put_point(out, Kind.TURN, Point(2, 1, 0, 300))
    protocol.put_point(out, Kind.ACK, Point(0, 0, 1, 5, b"chainvalrest"))
    protocol.put_credit(out, 3, 1 << 20)
    assert (
        out.hex()
        == "01030104" + "05020500ac02" + "0c05000105" + b"chainval".hex() + "05060380804 0".replace(" ", "")
    )


def test_a_heartbeat_is_two_bytes():
    out = bytearray()
    put_frame(out, Kind.HEARTBEAT)
    assert len(out) == 2


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=8), st.data())
def test_frames_come_out_as_they_went_in_wherever_the_stream_is_cut(frames, data):
    out = bytearray()
    for kind, payload in frames:
        put_frame(out, kind, payload)
    deframer, got, at = Deframer(), [], 0
    while at < len(out):
        step = data.draw(st.integers(1, 120))
        got += [(kind, bytes(payload)) for kind, payload in deframer.feed(bytes(out[at : at + step]))]
        at += step
    assert got == frames


@pytest.mark.parametrize("data", ["00", "ffffffff7f", "8080808080808001", "81808004"])
def test_a_length_that_is_zero_or_too_large_is_refused_before_anything_is_held(data):
    with pytest.raises(PeerError):
        Deframer().feed(bytes.fromhex(data) + bytes(4))


def header() -> BlockHeader:
    return BlockHeader(
        origin="o",
        epoch=E,
        priority=Priority.NORMAL,
        k=3,
        lane=Lane.LIVE,
        rows=1,
        size=8,
        runs=(Run(5, 1000, 1),),
        ts_min=1000,
        ts_max=1000,
        digest=E,
    )


def test_a_received_block_is_read_back_with_its_position():
    item = received.ReceivedBlock("child", StreamKey(E, 2, 0), 77, header(), b"body", Lane.BACKLOG)
    data = received.encode(item)
    assert received.decode(data) == item
    found, at = received.body_offset(data)
    assert (found, data[at:]) == (header(), b"body")


def test_received_tombstones_are_read_back():
    ranges = (GapRange("o", E, 2, 1, 5, 1, 5, 40, 1, 2, ("g",)),)
    item = received.ReceivedGap("child", StreamKey(E, 2, 1), 3, 7, E, ranges, Lane.BACKLOG)
    assert received.decode(received.encode(item)) == item


@given(st.binary(max_size=120))
def test_a_damaged_received_section_is_storage_damage_and_nothing_else(data):
    with contextlib.suppress(StorageDamage):
        received.decode(data)


def live_bytes(readings_per_s: int, seconds: int, coalesce_s: float) -> float:
    """Bytes north per reading, TLS records and heartbeats included, of one live block a reading."""
    pair = Pair()
    pair.child.uplink.settings = type(pair.child.uplink.settings)(node="child", coalesce_s=coalesce_s)
    pair.run(1)
    pair.child.keep()
    pair.run(1)
    before, records = pair.bytes_north, pair.writes_north
    for _ in range(readings_per_s * seconds):
        pair.child.keep()
        pair.step(1 / readings_per_s)
    pair.run(1)
    total = pair.bytes_north - before + TLS_RECORD * (pair.writes_north - records)
    return total / (readings_per_s * seconds)


def test_ten_readings_a_second_cost_at_most_six_tenths_of_json_and_zstandard():
    sample = {"series": "machine-1/temperature", "ts": 1_800_000_000_123, "value": 21.3751, "unit": "C"}
    reference = len(zstandard.compress(json.dumps(sample).encode(), 3))
    assert reference <= 95
    assert live_bytes(10, 20, 0.25) <= 0.6 * 75


def test_a_length_may_be_written_in_five_bytes_and_not_in_six() -> None:
    """Kills: a bound on the length of a length that is off by one."""
    ((kind, payload),) = Deframer().feed(b"\x82\x80\x80\x80\x00\x03\x09")
    assert (kind, bytes(payload)) == (3, b"\x09")
    with pytest.raises(PeerError):
        Deframer().feed(b"\x82\x80\x80\x80\x80\x00\x03\x09")


def test_a_frame_of_just_the_limit_is_taken_and_a_longer_one_is_not() -> None:
    out = bytearray()
    put_frame(out, 0x03, bytes(9))
    ((kind, payload),) = Deframer(10).feed(bytes(out))
    assert (kind, len(payload)) == (3, 9)
    with pytest.raises(PeerError):
        Deframer(9).feed(bytes(out))


def test_a_stream_is_named_by_class_lane_and_the_begin_of_its_epoch() -> None:
    assert str(StreamKey(E, Priority.HIGH, Lane.LIVE)) == "high/live@00010203"


def test_tombstones_have_no_body_to_find_and_a_block_has_it_behind_its_header() -> None:
    gap = received.ReceivedGap("child", StreamKey(E, 2, 1), 3, 7, b"c" * 16, ())
    with pytest.raises(StorageDamage):
        received.body_offset(received.encode(gap))
    header = BlockHeader(
        origin="o", epoch=E, priority=2, k=4, lane=Lane.BACKLOG, rows=1, size=8,
        runs=(Run(1, 0, 1),), ts_min=0, ts_max=0, age_ms=5, digest=b"d" * 16, groups=("g",),
    )  # fmt: skip
    data = received.encode(received.ReceivedBlock("child", StreamKey(E, 2, 1), 3, header, b"the body"))
    found, at = received.body_offset(data)
    assert (found.k, data[at:]) == (4, b"the body")
