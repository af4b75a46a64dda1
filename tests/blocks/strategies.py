"""Rows of every kind, and what it means that two are the same to the last bit."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from headland.vocabulary import NO_TIME, Columns, Value

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
TIMES = st.one_of(
    st.integers(1_700_000_000_000, 1_700_000_000_100).map(lambda ms: ms * 1_000_000),
    st.just(NO_TIME),
    INT64,
)
FLOATS = st.one_of(
    st.floats(),
    st.integers(-9999, 9999).map(lambda m: m / 100),
    st.integers(-9999, 9999).map(lambda m: m * 0.1 + 0.7),
    st.sampled_from([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 5e-324, 1.7976931348623157e308]),
)
VALUES = st.one_of(
    FLOATS,
    INT64,
    st.integers(-(1 << 70), 1 << 70),
    st.booleans(),
    st.text(max_size=8),
    st.just("\ud800"),
    st.binary(max_size=8),
)
KINDS_OF_VALUES = [FLOATS, INT64, st.booleans(), st.text(max_size=5), st.binary(max_size=5), VALUES]


@st.composite
def columns(draw: st.DrawFn, min_rows: int = 0, max_rows: int = 60) -> Columns:
    rows = draw(st.integers(min_rows, max_rows))

    def column(items: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(items, min_size=rows, max_size=rows))

    sids = draw(st.sampled_from([st.just(7), st.integers(1, 4), st.integers(1, 100_000)]))
    optional = [
        column(draw(st.sampled_from([st.integers(-1, 300), INT64]))) if draw(st.booleans()) else None
        for _ in range(4)
    ]
    return Columns(
        column(sids),
        column(TIMES),
        column(draw(st.sampled_from(KINDS_OF_VALUES))),
        *optional,  # type: ignore[arg-type]
    )


def exact(value: Value) -> object:
    """Equal for values that are the same type and the same bits, NaN payloads and signs of zero included."""
    return (type(value), struct.pack("<d", value) if isinstance(value, float) else value)


def rows_of(columns: Columns) -> list[object]:
    """Rows with absent optional columns filled in, exactly comparable."""
    count = len(columns)
    filled = [
        list(column) if column is not None else [absent] * count
        for column, absent in ((columns.seq, -1), (columns.kind, 0), (columns.flags, 0), (columns.size, 0))
    ]
    return list(zip(columns.sid, columns.ts, map(exact, columns.value), *filled, strict=True))
