"""What is remembered of rows that were taken, so that a repeat of one can be told.

Laws:

* A row is its series, device time, sequence and value: `Key`. Long texts and bytes are kept by their digest.
* The newest `ROWS_MAX` rows that a recovery brought back are kept, as columns: about 50 bytes a row, of which
  a node with a large log holds as many as one with a small.
* Of rows with one key the newest counts.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headland.vocabulary import NO_SEQUENCE, Value

ROWS_MAX = 65_536
WHOLE_UP_TO = 32
"""Characters or bytes of a value that are kept as they are."""
DIGEST_BYTES = 16

Key = tuple[int, int, int, Value]
Kept = list[Any]
"""Rows of one commit in a snapshot: n, sid, ts, seq (None: no row has one), value."""


def key_of(sid: int, ts: int, seq: int, value: Value) -> Key:
    """What two rows have in common when one repeats the other."""
    return (sid, ts, seq, _short(value) if value == value else "nan")


def shortened(values: list[Value]) -> list[Value]:
    """Values as they are kept."""
    kinds = set(map(type, values))
    return list(map(_short, values)) if str in kinds or bytes in kinds else values


def _short(value: Value) -> Value:
    if isinstance(value, str | bytes) and len(value) > WHOLE_UP_TO:
        return blake2b(value.encode() if isinstance(value, str) else value, digest_size=DIGEST_BYTES).digest()
    return value


class _Digests(msgspec.Struct, gc=False, frozen=True):
    """Many byte strings of `DIGEST_BYTES`, as one."""

    data: bytes

    def __getitem__(self, index: int) -> bytes:
        return self.data[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]

    def tolist(self) -> list[bytes]:
        """Each of them."""
        return [self[index] for index in range(len(self.data) // DIGEST_BYTES)]


def _packed(values: list[Value]) -> Any:
    """A column that holds the same values of the same types in little memory, where they are of one type."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return array("d", values)
    if kinds == {int}:
        with suppress(OverflowError):
            return array("q", values)
    if kinds == {bytes} and set(map(len, values)) == {DIGEST_BYTES}:  # type: ignore[arg-type]
        return _Digests(b"".join(values))  # type: ignore[arg-type]
    return values


class _Commit(msgspec.Struct, gc=False, array_like=True):
    """Rows of one commit."""

    n: int
    sid: array[int]
    ts: array[int]
    seq: array[int] | None
    value: Any

    def keys(self) -> Iterator[Key]:
        """The key of each row."""
        return map(self.key, range(len(self.sid)))

    def key(self, row: int) -> Key:
        """The key of one row."""
        seq = NO_SEQUENCE if self.seq is None else self.seq[row]
        return key_of(self.sid[row], self.ts[row], seq, self.value[row])

    def kept(self) -> Kept:
        """For a snapshot."""
        value = self.value if isinstance(self.value, list) else self.value.tolist()
        seq = None if self.seq is None else self.seq.tolist()
        return [self.n, self.sid.tolist(), self.ts.tolist(), seq, value]


class _Index(msgspec.Struct, gc=False):
    """Where the rows with a hash are: `hashes` in order, the row of each, and the commits of the rows."""

    hashes: NDArray[np.int64]
    rows: NDArray[np.uint32]
    commits: list[_Commit]
    ends: list[int]

    def key(self, row: int) -> tuple[Key, int]:
        """A row's key and commit."""
        at = bisect_right(self.ends, row)
        commit = self.commits[at]
        return commit.key(row - (self.ends[at - 1] if at else 0)), commit.n


class Recovered:
    """Rows that a recovery brought back: any client may repeat them."""

    def __init__(self) -> None:
        self._commits: deque[_Commit] = deque()
        self._count = 0
        self._index: _Index | None = None

    def add(self, n: int, sid: list[int], ts: list[int], seq: list[int] | None, value: list[Value]) -> None:
        """Rows of a commit; the oldest commits go that the bound does not reach."""
        if not sid:
            return
        numbers = None if seq is None else array("q", seq)
        commit = _Commit(n, array("q", sid), array("q", ts), numbers, _packed(shortened(value)))
        self._commits.append(commit)
        self._count += len(sid)
        self._index = None
        while self._count - len(self._commits[0].sid) >= ROWS_MAX:
            self._count -= len(self._commits.popleft().sid)

    def prepare(self) -> None:
        """Make the index, so that no client waits for it."""
        if self._index is not None:
            return
        commits = list(self._commits)
        keys = chain.from_iterable(one.keys() for one in commits)
        hashes = np.fromiter(map(hash, keys), np.int64, self._count)
        order = np.argsort(hashes, kind="stable")
        ends = np.cumsum([len(one.sid) for one in commits], dtype=np.int64).tolist()
        self._index = _Index(hashes[order], order.astype(np.uint32), commits, ends)

    def commit_of(self, key: Key) -> int | None:
        """The newest commit that a row with this key is in; None if there is none."""
        self.prepare()
        index = self._index
        assert index is not None
        value = hash(key)
        at = int(np.searchsorted(index.hashes, value, side="right")) - 1
        while at >= 0 and index.hashes[at] == value:
            found, n = index.key(int(index.rows[at]))
            if found == key:
                return n
            at -= 1
        return None

    def kept(self) -> list[Kept]:
        """Everything, for a snapshot, oldest commit first."""
        return [one.kept() for one in self._commits]
