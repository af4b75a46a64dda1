"""What is said of rows without making values of them is what the values say."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.blocks.strategies import columns

from headland.blocks import codec, columnar
from headland.blocks.block import check_block, examine, seal
from headland.blocks.codec import Codec
from headland.blocks.digest import digest
from headland.blocks.packed import pack
from headland.blocks.wire import Reader
from headland.vocabulary import Columns, Lane, PeerError, Priority

CODECS = [Codec.AUTO, Codec.PLAIN, Codec.FAST, Codec.COLUMNAR]


def cut(rows: Columns, start: int, end: int) -> Columns:
    out = Columns()
    for row in range(start, end):
        out.append(
            rows.sid[row],
            rows.ts[row],
            rows.value[row],
            rows.seq[row] if rows.seq is not None else -1,
            rows.kind[row] if rows.kind is not None else 0,
            rows.flags[row] if rows.flags is not None else 0,
            rows.size[row] if rows.size is not None else 0,
        )
    return out


def many(rows: int) -> Columns:
    out = Columns()
    for row in range(rows):
        out.append(1 + row % 5, 1_700_000_000_000_000_000 + row * 10**9, 20 + row % 7 / 10, size=41)
    return out


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(columns(), st.sampled_from(CODECS))
def test_a_body_has_the_digest_and_the_series_of_its_rows(rows: Columns, how: Codec) -> None:
    """Kills: an optional column that is all default, or one kind said to be mixed, hashed as written."""
    body = codec.compress(Priority.NORMAL, codec.encode(rows, how))
    assert examine(body, 0) == (len(rows), digest(rows), frozenset(rows.sid))


def test_a_column_that_says_nothing_is_left_out_of_the_digest() -> None:
    """Kills: two digests for the same rows, depending on who encoded them."""
    rows = many(200)
    packed = pack(rows)
    packed.extras = ([-1] * 200, [0] * 200, [0] * 200, packed.extras[3])
    packed.kind, packed.kinds = -1, bytes(200)
    unit = columnar.encode(packed)
    assert unit != codec.encode(rows)
    assert examine(codec.compress(Priority.NORMAL, unit), 0)[1] == digest(rows)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(columns(), st.data(), st.sampled_from([0, 1_700_000_000_000_000_000]))
def test_units_encoded_again_are_their_rows_encoded_at_once(
    rows: Columns, data: st.DataObject, base_ns: int
) -> None:
    """Kills: a row, a default or a kind lost between the parts of a block, or other bytes than at sealing."""
    places = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    edges = [0, *places, len(rows)]
    units = [codec.encode(cut(rows, start, end), Codec.FAST) for start, end in pairwise(edges)]
    unit, count, series = codec.encode_again(units, base_ns)
    assert unit == codec.encode(rows, base_ns=base_ns)
    assert (count, series) == (len(rows), frozenset(rows.sid))


def test_parts_of_a_large_block_are_joined_as_machine_arrays_to_the_same_bytes() -> None:
    """Kills: the way of many rows giving another body than the way of few."""
    rows = many(3000)
    rows.flags = [0] * 2000 + [1] * 1000
    parts = [cut(rows, 0, 10), cut(rows, 10, 1500), cut(rows, 1500, 3000)]
    unit, count, _ = codec.encode_again([codec.encode(part, Codec.FAST) for part in parts])
    assert (unit, count) == (codec.encode(rows), 3000)


def test_a_block_that_is_not_what_its_header_says_is_refused() -> None:
    """Kills: rows not counted, a digest not compared."""
    header, body = seal(
        many(100), origin="a", epoch=bytes(16), priority=Priority.NORMAL, k=1, lane=Lane.LIVE, runs=()
    )
    assert check_block(header, body) == frozenset(range(1, 6))
    for wrong in ({"rows": 99}, {"digest": bytes(16)}):
        with pytest.raises(PeerError):
            check_block(msgspec.structs.replace(header, **wrong), body)


def test_bytes_behind_a_unit_are_refused() -> None:
    """Kills: a unit that ends early and hides what follows."""
    for how in CODECS:
        unit = codec.encode(many(30), how)
        with pytest.raises(PeerError):
            codec.decode_packed(unit + b"\0")
        assert Reader(unit).left == len(unit)
