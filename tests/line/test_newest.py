"""Laws of the newest rows of a client: what is packed comes back as what it was."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headland.line.filtering.shape import Rows
from headland.line.newest import KEYS_PER_CLIENT, Newest, packed
from headland.vocabulary import NO_SEQUENCE, NO_TIME, Value

MANY = 70


def rows_of(values: list[Value], seq: list[int] | None = None) -> Rows:
    count = len(values)
    times = [NO_TIME if row % 7 == 3 else 1_800_000_000_000_000_000 + row for row in range(count)]
    return Rows([row % 5 + 1 for row in range(count)], times, times, values, [8] * count, seq, None)


def there(rows: Rows, n: int) -> Newest:
    newest = Newest()
    taken, width = packed(rows, n)
    half = len(rows.sid) // 2
    newest.extend(half, taken[: width * half])
    newest.extend(len(rows.sid) - half, taken[width * half :])
    return newest


def same(one: Value, other: Value) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.copysign(1.0, one) == math.copysign(1.0, other) and (one == other or one != one != other)
    return type(one) is type(other) and one == other


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.floats(),
            st.integers(-(1 << 70), 1 << 70),
            st.sampled_from([True, False, "x", b"y", 0, 0.0, 1 << 53, (1 << 53) + 1, 10**400]),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 1 << 61),
    st.booleans(),
)
def test_rows_come_back_with_their_values_types_times_sequences_and_commit(
    some: list[Value], n: int, numbered: bool
) -> None:
    """Kills: an int that comes back as a float or as another, -0.0 that loses its sign, a lost commit."""
    values = (some * MANY)[:MANY]
    seq = list(range(MANY)) if numbered else None
    rows = rows_of(values, seq)
    found = there(rows, n).taken()
    assert [(sid, ts, number, commit) for sid, ts, number, _, commit in found] == [
        (sid, ts, seq[row] if seq else NO_SEQUENCE, n)
        for row, (sid, ts) in enumerate(zip(rows.sid, rows.ts, strict=True))
    ]
    assert all(same(one[3], value) for one, value in zip(found, values, strict=True))


def test_many_numbers_are_bytes_and_few_rows_or_other_values_are_not() -> None:
    """Kills: a packing that is never used; single messages that pay for it."""
    whole: list[Value] = [row if row % 2 else 0.5 for row in range(MANY)]
    assert isinstance(packed(rows_of(whole), 1)[0], bytes)
    assert isinstance(packed(rows_of(whole[:10]), 1)[0], list)
    assert isinstance(packed(rows_of([*whole, "text"]), 1)[0], list)
    assert isinstance(packed(rows_of([*whole, (1 << 53) + 1]), 1)[0], list)


@pytest.mark.parametrize("piece", [1, 7, 100, KEYS_PER_CLIENT])
def test_a_client_is_remembered_by_its_newest_thousand_rows_and_at_most_a_piece_more(piece: int) -> None:
    """Kills: a client that takes the room of others; rows forgotten before a thousand newer ones came."""
    newest = Newest()
    sent = 0
    while sent < 3 * KEYS_PER_CLIENT:
        rows = rows_of([float(sent + row) for row in range(piece)])
        newest.extend(piece, packed(rows, sent + 1)[0])
        sent += piece
        assert min(sent, KEYS_PER_CLIENT) <= newest.count < KEYS_PER_CLIENT + piece
        expected = [float(value) for value in range(max(0, sent - KEYS_PER_CLIENT), sent)]
        assert [value for *_, value, _ in newest.taken()] == expected
    assert len(newest.keys()) == KEYS_PER_CLIENT
    assert newest.keys() is newest.keys()
