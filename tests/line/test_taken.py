"""What a recovery brought back is found by its key as in a dictionary, and takes little memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from headland.line.taken import ROWS_MAX, Key, Recovered, key_of
from headland.vocabulary import NO_SEQUENCE, NO_TIME, Value

INT64 = st.integers(-(2**63), 2**63 - 1)
FEW = st.integers(0, 2)
VALUES: st.SearchStrategy[list[Value]] = st.one_of(
    st.lists(kind, min_size=1, max_size=6)  # of one type, mostly, as those of a commit are
    for kind in (
        st.floats(),
        INT64,
        st.booleans(),
        st.text(max_size=40),
        st.binary(min_size=16, max_size=16),
        st.binary(max_size=40),
        st.one_of(
            st.floats(), st.integers(0, 1), st.booleans(), st.sampled_from(["a" * 33, b"a" * 33, "nan"])
        ),
    )
)


@st.composite
def commits(draw: st.DrawFn) -> tuple[list[int], list[int], list[int] | None, list[Value]]:
    """Columns of one: sid, ts, seq, value."""
    value = draw(VALUES)
    many = {"min_size": len(value), "max_size": len(value)}
    sid = draw(st.lists(st.integers(1, 2), **many))
    ts = draw(st.lists(st.one_of(st.just(NO_TIME), FEW, INT64), **many))
    seq = draw(st.one_of(st.none(), st.lists(st.one_of(st.just(NO_SEQUENCE), FEW, INT64), **many)))
    return sid, ts, seq, value


@given(st.lists(commits(), max_size=5))
def test_each_key_is_found_with_its_newest_commit_and_no_other_key_is(given_: list[Any]) -> None:
    """Kills: a repeat told by its hash alone, which would throw a reading away."""
    recovered, known = Recovered(), dict[Key, int]()
    for n, (sid, ts, seq, value) in enumerate(given_, 1):
        recovered.add(n, list(sid), list(ts), seq, list(value))
        for i in range(len(sid)):
            known[key_of(sid[i], ts[i], NO_SEQUENCE if seq is None else seq[i], value[i])] = n
    for key, n in known.items():
        assert recovered.commit_of(key) == n
        for other in ((key[0] + 2, *key[1:]), (*key[:2], key[2] ^ 5, key[3])):
            assert recovered.commit_of(other) == known.get(other)


@given(st.lists(commits(), max_size=4))
def test_a_snapshot_holds_every_row_with_the_type_of_its_value(given_: list[Any]) -> None:
    first, second = Recovered(), Recovered()
    for n, columns in enumerate(given_, 1):
        first.add(n, *columns)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(first.kept()))
    assert [[one[0], *one[1:4]] for one in kept] == [[n, *one[:3]] for n, one in enumerate(given_, 1)]
    for row, one in zip(kept, given_, strict=True):
        assert list(map(type, row[4])) == [
            bytes if isinstance(value, str) and len(value) > 32 else type(value) for value in one[3]
        ]
        second.add(*row)
    assert repr(second.kept()) == repr(first.kept())  # NaN is not NaN


def test_the_newest_rows_are_kept_and_the_commits_that_the_bound_does_not_reach_are_not() -> None:
    recovered = Recovered()
    for n in range(1, 5):
        recovered.add(n, [1] * (ROWS_MAX // 2), [n] * (ROWS_MAX // 2), None, [0.5] * (ROWS_MAX // 2))
    assert [one[0] for one in recovered.kept()] == [3, 4]
    assert [recovered.commit_of((1, n, NO_SEQUENCE, 0.5)) for n in range(1, 5)] == [None, None, 3, 4]


def test_a_row_takes_less_than_64_bytes() -> None:
    """Kills: a node that grows by 12 MB when it starts on a large log."""
    recovered = Recovered()
    tracemalloc.start()
    try:
        for n in range(64):
            many = range(n << 10, (n + 1) << 10)
            recovered.add(n, [1] * 1024, [10**18 + i for i in many], list(many), [f"{i:040}" for i in many])
        recovered.prepare()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert recovered.commit_of(key_of(1, 10**18 + 5000, 5000, f"{5000:040}")) == 4
    assert held < 64 * ROWS_MAX
