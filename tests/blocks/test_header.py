"""Headers, digests and chains: identity survives every relay, and both ends agree on what a block is."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.blocks.strategies import columns, rows_of

from headland.blocks import codec
from headland.blocks.block import open_block, seal
from headland.blocks.codec import Codec
from headland.blocks.digest import CHAIN_START, chain, digest, identity_bytes
from headland.blocks.header import (
    MAX_HOPS,
    BlockHeader,
    HeaderReader,
    HeaderWriter,
    Run,
    decode_alone,
    encode_alone,
)
from headland.blocks.wire import Reader
from headland.vocabulary import NO_TIME, Columns, DefectError, Lane, PeerError, Priority

EPOCH = bytes(range(16))
U48 = st.integers(0, 1 << 48)


@st.composite
def headers(draw: st.DrawFn) -> BlockHeader:
    runs = draw(st.lists(st.builds(Run, U48, U48, st.integers(1, 500)), min_size=1, max_size=4))
    timeless = draw(st.booleans())
    ts_min = NO_TIME if timeless else draw(st.integers(-(1 << 62), 1 << 62))
    signed = draw(st.booleans())
    return BlockHeader(
        origin=draw(st.sampled_from(["dev-1", "örtlich", "x" * 200])),
        epoch=draw(st.sampled_from([EPOCH, bytes(16)])),
        priority=draw(st.sampled_from(list(Priority))),
        k=draw(st.integers(1, 1 << 50)),
        lane=draw(st.sampled_from(list(Lane))),
        rows=sum(run.rows for run in runs),
        size=draw(U48),
        runs=tuple(runs),
        ts_min=ts_min,
        ts_max=NO_TIME if timeless else ts_min + draw(st.integers(0, 1 << 61)),
        age_ms=draw(U48),
        digest=draw(st.sampled_from([b"", bytes(range(16, 32))])),
        groups=tuple(draw(st.lists(st.text(max_size=6), max_size=16))),
        backlog_hops=draw(st.sampled_from([0, 0, 1, MAX_HOPS])),
        key_id=1 if signed else 0,
        signature=b"signature" if signed else b"",
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(headers(), max_size=6))
def test_headers_come_back_in_the_order_in_which_they_were_written(sent: list[BlockHeader]) -> None:
    """Kills: a difference to the wrong predecessor; a number of (origin, epoch) defined twice."""
    writer, reader = HeaderWriter(), HeaderReader()
    data = b"".join(writer.encode(header) for header in sent)
    source = Reader(data)
    assert [reader.decode(source) for _ in sent] == sent
    source.end()
    for header in sent:
        assert decode_alone(Reader(encode_alone(header))) == header


def test_a_live_header_takes_16_bytes_on_a_connection() -> None:
    """Kills: names, digests or whole numbers repeated for every block."""
    writer = HeaderWriter()
    sizes = []
    for k in range(1, 100):
        ts = 1_700_000_000_000_000_000 + k * 100_000_000
        rows = Columns([3], [ts], [21.5], size=[40])
        header, body = seal(
            rows,
            origin="dev-1",
            epoch=EPOCH,
            priority=Priority.HIGH,
            k=k,
            lane=Lane.LIVE,
            runs=(Run(100 + k, ts + 1_234_567, 1),),
        )
        sizes.append((len(writer.encode(header, with_digest=False)), len(body)))
    assert max(size for size, _ in sizes[1:]) <= 16
    assert max(size for _, size in sizes) <= 13


def test_golden_header() -> None:
    """On disks and links: a change of these bytes breaks both."""
    header = BlockHeader(
        origin="dev-1",
        epoch=EPOCH,
        priority=Priority.NORMAL,
        k=2,
        lane=Lane.BACKLOG,
        rows=3,
        size=120,
        runs=(Run(7, 1_700_000_000_000_000_000, 1), Run(8, 1_700_000_000_500_000_000, 2)),
        ts_min=1_699_999_999_000_000_000,
        ts_max=1_700_000_000_000_000_000,
        age_ms=5,
        digest=bytes(range(16)),
        groups=("hall",),
    )
    plain = (
        "3e00056465762d31000102030405060708090a0b0c0d0e0f0203780a020e018690fed4320202a41fdb5d0e0001"
        "02030405060708090a0b0c0d0e0f010468616c6c"
    )
    assert encode_alone(header).hex() == plain
    travelled = msgspec.structs.replace(header, backlog_hops=2)
    assert encode_alone(travelled).hex() == "be" + plain[2:] + "000102"
    signed = msgspec.structs.replace(header, key_id=1, signature=b"s")
    assert encode_alone(signed).hex() == "be" + plain[2:] + "01020073"


def test_the_path_of_lanes_is_the_hops_as_backlog_and_one_where_they_were_not_counted() -> None:
    """Kills: a block of an older release that is told live though it came as backlog."""
    live = block(Columns([1], [1], [1.0]))[0]
    backlog = msgspec.structs.replace(live, lane=Lane.BACKLOG)
    assert (live.path, backlog.path) == (0, 1)
    assert msgspec.structs.replace(backlog, backlog_hops=3).path == 3


@settings(max_examples=300, deadline=None)
@given(headers(), st.data())
def test_no_damaged_header_does_more_than_raise_a_peer_error(
    header: BlockHeader, data: st.DataObject
) -> None:
    good = encode_alone(header)
    at = data.draw(st.integers(0, len(good) - 1))
    for bad in (good[:at], good[:at] + bytes((good[at] ^ data.draw(st.integers(1, 255)),)) + good[at + 1 :]):
        try:
            decode_alone(Reader(bad))
        except PeerError:
            continue


def test_a_header_that_breaks_its_bounds_is_not_written() -> None:
    good = decode_alone(Reader(encode_alone(block(Columns([1], [1], [1.0]))[0])))
    for change in (
        {"epoch": b"short"},
        {"runs": ()},
        {"rows": 2},
        {"groups": ("g",) * 17},
        {"backlog_hops": 256},
    ):
        with pytest.raises(DefectError):
            encode_alone(
                BlockHeader(**{**{name: getattr(good, name) for name in good.__struct_fields__}, **change})
            )


def block(rows: Columns, priority: Priority = Priority.NORMAL) -> tuple[BlockHeader, bytes]:
    return seal(
        rows,
        origin="dev-1",
        epoch=EPOCH,
        priority=priority,
        k=1,
        lane=Lane.LIVE,
        runs=(Run(1, 1_700_000_000_000_000_000, len(rows)),),
    )


@settings(max_examples=100, deadline=None)
@given(columns(min_rows=1), st.sampled_from(list(Priority)))
def test_a_block_opens_to_the_rows_that_were_sealed(rows: Columns, priority: Priority) -> None:
    header, body = block(rows, priority)
    opened, found = open_block(header, body)
    assert rows_of(opened) == rows_of(rows)
    assert found == header.digest == digest(rows)


@settings(max_examples=100, deadline=None)
@given(columns(min_rows=1))
def test_a_digest_is_of_the_rows_and_not_of_their_bytes(rows: Columns) -> None:
    """Kills: a digest that changes when a relay encodes anew, or when defaults are spelled out."""
    for how in (Codec.PLAIN, Codec.FAST, Codec.COLUMNAR):
        assert digest(codec.decode(codec.encode(rows, how))) == digest(rows)
    if rows.flags is None:
        rows.flags = [0] * len(rows)
        assert digest(codec.decode(codec.encode(rows, Codec.FAST))) == digest(rows)


@pytest.mark.parametrize(
    "other",
    [
        Columns([1, 2], [5, 6], [1.0, 2.0]),
        Columns([1, 1], [5, 7], [1.0, 2.0]),
        Columns([1, 1], [5, 6], [1.0, -2.0]),
        Columns([1, 1], [5, 6], [1, 2]),
        Columns([1, 1], [5, 6], [1.0, 2.0], seq=[0, 1]),
        Columns([1, 1], [5, 6], [1.0, 2.0], kind=[0, 1]),
        Columns([1, 1], [5, 6], [1.0, 2.0], flags=[0, 1]),
        Columns([1, 1], [5, 6], [1.0, 2.0], size=[0, 1]),
        Columns([1], [5], [1.0]),
        Columns([1, 1], [5, 6], ["ab", "c"]),
        Columns([1, 1], [5, 6], ["a", "bc"]),
        Columns([1, 1], [5, 6], [b"a", b"bc"]),
    ],
)
def test_different_rows_have_different_digests(other: Columns) -> None:
    """Kills: a column left out of the digest; texts joined without their lengths."""
    seen = {digest(Columns([1, 1], [5, 6], [1.0, 2.0])), digest(Columns([1, 1], [5, 6], [0.0, 2.0]))}
    assert digest(other) not in seen


def test_golden_digest_and_chain() -> None:
    """Both ends of every link compute these."""
    found = digest(Columns([1, 2], [5, NO_TIME], [1.5, "on"], size=[40, 0]))
    assert found.hex() == "bfd7d096f6300c0795314279401871bc"
    assert (
        chain(CHAIN_START, identity_bytes("dev-1", EPOCH, Priority.HIGH, 1), found).hex()
        == "7e0c927cbbc2afea972442949f46cf7b"
    )


def test_a_block_is_refused_when_it_is_not_what_its_header_says() -> None:
    """Kills: a digest or a row count that nobody compares."""
    header, body = block(Columns([1, 1], [5, 6], [1.0, 2.0]))
    _, other = block(Columns([1, 1], [5, 6], [1.0, 2.5]))
    _, shorter = block(Columns([1], [5], [1.0]))
    for wrong in (other, shorter, body[:-1], body + b"\0"):
        with pytest.raises(PeerError):
            open_block(header, wrong)
