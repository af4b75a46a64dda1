"""Rows survive every codec to the last bit, and no bytes from outside do any harm."""

from __future__ import annotations

import math
import struct

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.blocks.strategies import FLOATS, columns, rows_of

from headland.blocks import codec
from headland.blocks.codec import Codec
from headland.blocks.wire import put_signed, put_varint
from headland.vocabulary import NO_TIME, Columns, DefectError, PeerError, Priority

CODECS = [Codec.AUTO, Codec.PLAIN, Codec.FAST, Codec.COLUMNAR]


def sample(rows: int, series: int = 3) -> Columns:
    out = Columns()
    for row in range(rows):
        out.append(1 + row % series, 1_700_000_000_000_000_000 + row * 10**9, 20 + row % 7 / 10, size=41)
    return out


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(columns(), st.sampled_from(CODECS), st.sampled_from([0, 1_700_000_000_000_000_000]))
def test_rows_come_back_to_the_last_bit(rows: Columns, how: Codec, base_ns: int) -> None:
    """Kills: a float through a decimal that is not exact, -0.0 as 0.0, an int through a float, False as 0."""
    assert rows_of(codec.decode(codec.encode(rows, how, base_ns), base_ns)) == rows_of(rows)


@settings(max_examples=200, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=200), st.integers(1, 3))
def test_floats_come_back_to_the_last_bit_whatever_their_neighbours(values: list[float], series: int) -> None:
    """Kills: an exception forgotten in a decimal group, noise applied to the wrong row."""
    rows = Columns()
    for place, value in enumerate(values):
        rows.append(1 + place % series, place, value)
    assert rows_of(codec.decode(codec.encode(rows, Codec.COLUMNAR))) == rows_of(rows)


def test_one_odd_value_among_decimals_is_an_exception_not_a_fallback() -> None:
    """Kills: giving up the decimal form of a series for one NaN."""
    rows = sample(600, 1)
    plain = len(codec.encode(rows, Codec.COLUMNAR))
    rows.value[100], rows.value[200], rows.value[300] = math.nan, -0.0, math.pi
    odd = codec.encode(rows, Codec.COLUMNAR)
    assert len(odd) < plain + 50
    assert rows_of(codec.decode(odd)) == rows_of(rows)


def test_a_decimal_with_noise_in_its_last_place_stays_a_decimal() -> None:
    """Kills: a series of computed averages (51.846000000000004) written as bit patterns."""
    rows = Columns()
    for row in range(1000):
        rows.append(1, row * 10**9, 50 + (row * 37 % 101) * 0.001 + 0.1 + 0.2 - 0.3)
    body = codec.compress(Priority.NORMAL, codec.encode(rows, Codec.COLUMNAR))
    assert len(body) < 2_000


@pytest.mark.parametrize("how", CODECS[1:])
def test_golden_bytes(how: Codec) -> None:
    """The formats are on disks and links: a change of these bytes needs a new codec byte."""
    rows = Columns()
    rows.append(1, 1_700_000_000_000_000_000, 21.5, size=40)
    rows.append(2, 1_700_000_000_001_000_000, -3, seq=9)
    rows.append(2, NO_TIME, "on", flags=1)
    golden = {
        Codec.PLAIN: "83390180c49fd50c01ae0308502a0202050112cd026f6e0402",
        Codec.FAST: (
            "02038d000103010102020400002a36fe9c971740423936fe9c9717000000000000008004ffffffffffffffff0900000000"
            "000000ffffffffffffffff01000001012800000000000000803540000500046f6e"
        ),
        Codec.COLUMNAR: (
            "03039d00010302000200010120028080d0e2c6bfce972f20200100000101010100000100010a0001000000010100280000"
            "010000ae0300000000050000046f6e"
        ),
    }
    assert codec.encode(rows, how).hex() == golden[how]


@pytest.mark.parametrize("how", CODECS[1:])
@pytest.mark.parametrize("bits", ["cut", "flip", "grow"])
def test_no_damaged_unit_does_more_than_raise_a_peer_error(how: Codec, bits: str) -> None:
    """Kills: reading past the end, a count taken on trust, a numpy error let out, a warning."""
    rows = sample(20)
    rows.value[3], rows.value[4], rows.value[5], rows.value[6] = True, "text", 1 << 80, b"raw"
    rows.seq = list(range(20))
    unit = codec.encode(rows, how)
    if bits == "cut":
        damaged = [unit[:length] for length in range(len(unit))]
    elif bits == "grow":
        damaged = [unit + b"\0"]
    else:
        damaged = [
            unit[:at] + bytes((unit[at] ^ 1 << bit,)) + unit[at + 1 :]
            for at in range(len(unit))
            for bit in range(8)
        ]
    refused = 0
    for data in damaged:
        try:
            codec.decode(data)
        except PeerError:
            refused += 1
    assert refused == len(damaged) or bits == "flip"


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([0x02, 0x03, 0x81, 0xFF, 0x00]))
def test_random_bytes_do_no_more_than_raise_a_peer_error(data: bytes, first: int) -> None:
    for unit in (bytes((first,)) + data, data):
        try:
            codec.decode(unit)
        except PeerError:
            continue


@pytest.mark.parametrize("priority", list(Priority))
def test_a_class_has_its_compression_and_a_short_unit_none(priority: Priority) -> None:
    unit = codec.encode(sample(1000), Codec.FAST)
    body = codec.compress(priority, unit)
    assert body[0] == {0: 0, 1: 1, 2: 2, 3: 2}[priority]
    assert codec.decompress(body) == unit
    assert codec.compress(priority, b"\x81short") == b"\0\x81short"


def lying_body(how: int, claimed: int, data: bytes) -> bytes:
    head = bytearray((how,))
    put_varint(head, claimed)
    return bytes(head) + data


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x09",
        lying_body(2, 1 << 40, b""),
        lying_body(2, 10, zstandard.ZstdCompressor().compress(bytes(1 << 20))),
        lying_body(2, 1 << 20, zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 20))),
        lying_body(2, 4, zstandard.ZstdCompressor().compress(b"rows") + b"more"),
        lying_body(2, 4, b"rows"),
        lying_body(1, 1 << 26, b"\xff" * 20),
        lying_body(1, 4, b""),
        lying_body(1, 4, struct.pack("<I", 4)),
    ],
)
def test_a_body_that_lies_about_its_length_is_refused(body: bytes) -> None:
    """Kills: a decompression bomb; memory taken for a length that a peer made up."""
    with pytest.raises(PeerError):
        codec.decompress(body)


def test_a_dictionary_does_not_unfold_beyond_the_bound() -> None:
    """Kills: 65,536 references to one long text, a bomb in a few hundred bytes."""
    rows = Columns([1] * 65_536, [0] * 65_536, ["x" * 100] * 65_536)
    unit = codec.encode(rows, Codec.COLUMNAR)
    at = unit.index(b"x" * 100)
    low = bytearray()
    put_signed(low, 100)
    assert unit[at - len(low) : at] == low
    high = bytearray()
    put_signed(high, 1_100)
    bomb = unit[: at - len(low)] + bytes(high) + b"x" * 1_000 + unit[at:]
    with pytest.raises(PeerError, match="unfolds"):
        codec.decode(bomb)
    rows.value = ["x" * 1_100] * 65_536
    with pytest.raises(DefectError):
        codec.encode(rows, Codec.COLUMNAR)


def test_a_row_of_one_reading_takes_20_bytes_at_most() -> None:
    """Kills: a fixed overhead that a slow series would pay for every reading."""
    for value in (21.5, math.pi, -1e300):
        rows = Columns()
        rows.append(100, 1_700_000_000_123_456_789, value)
        assert len(codec.compress(Priority.HIGH, codec.encode(rows))) <= 21
        assert len(codec.compress(Priority.HIGH, codec.encode(rows, base_ns=rows.ts[0]))) <= 13


def test_journal_rows_take_at_most_14_bytes_a_float_reading() -> None:
    assert len(codec.encode(sample(200), Codec.FAST)) <= 14 * 200


def test_what_cannot_be_stored_is_a_defect() -> None:
    for rows in (
        Columns([1], [0], [None]),  # type: ignore[list-item]
        Columns([1, 2], [0], [1.0]),
        Columns([1], [0], [1.0], size=[1, 2]),
        Columns([1] * 65_537, [0] * 65_537, [1.0] * 65_537),
    ):
        with pytest.raises(DefectError):
            codec.encode(rows, Codec.COLUMNAR)


@pytest.mark.parametrize("how", [Codec.FAST, Codec.COLUMNAR])
@pytest.mark.parametrize("rows", [1, 40])
def test_a_series_below_zero_is_refused_before_another_codec_has_to_write_it(how: Codec, rows: int) -> None:
    """Kills: a unit that decodes and cannot be encoded again, which ends whoever relays it."""
    data = codec.encode(Columns(sid=[-5] * rows, ts=[1] * rows, value=[1.5] * rows), how)
    for decode in (codec.decode, codec.decode_packed):
        with pytest.raises(PeerError):
            decode(data)
