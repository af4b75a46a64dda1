"""The newest rows of each client: by them a repeat is proved.

Hardly one of them is ever looked at, and each stays until its client has sent a thousand others. As values
they would be tens of megabytes, out of every cache when they are freed. So where a run has many rows, and all
are numbers, each is packed into five times 64 bit: id, time, sequence, twice the commit (and one for an int),
and the value as a float. A run of few, of other values, or with an int that is no float, is kept as it is.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict, deque
from itertools import repeat

import numpy as np
import numpy.typing as npt

from headland.line.filtering.shape import Rows
from headland.line.taken import Key, key_of, shortened
from headland.vocabulary import NO_SEQUENCE, Value

KEYS_PER_CLIENT = 1_000

Taken = tuple[int, int, int, Value, int]
"""A row that was taken: its key, and the commit it is in."""
Pieces = bytes | list[Taken]
_FIELDS = 5
_PACKED_FROM = 64
"""Rows of a run from which packing costs less than it spares."""


def packed(rows: Rows, n: int) -> tuple[Pieces, int]:
    """Rows of commit `n`, to be cut by client, and how much of it a row takes."""
    kinds = set(map(type, rows.value))
    if len(rows.sid) >= _PACKED_FROM and kinds <= {float, int}:
        data = np.empty((len(rows.sid), _FIELDS), np.int64)
        data[:, 0], data[:, 1] = array("q", rows.sid), array("q", rows.ts)
        data[:, 2] = NO_SEQUENCE if rows.seq is None else array("q", rows.seq)
        data[:, 3] = 2 * n
        if _put_values(data, rows.value, int in kinds):
            return data.tobytes(), 8 * _FIELDS
    seq = repeat(NO_SEQUENCE) if rows.seq is None else rows.seq
    return list(zip(rows.sid, rows.ts, seq, shortened(rows.value), repeat(n), strict=False)), 1


def _put_values(data: npt.NDArray[np.int64], values: list[Value], ints: bool) -> bool:
    """Fill in values as floats; False where one of them is none."""
    try:
        floats: array[float] = array("d", values)  # type: ignore[arg-type]
    except OverflowError:
        return False
    data.view(np.float64)[:, 4] = floats
    if ints:
        data[:, 3] += np.fromiter((type(value) is int for value in values), np.int64, len(values))
    return not ints or floats.tolist() == values


def _unpacked(piece: Pieces) -> list[Taken]:
    if isinstance(piece, list):
        return piece
    data = array("q", piece)
    floats = array("d", data[4::_FIELDS].tobytes())
    return [
        (sid, ts, seq, int(value) if tag & 1 else value, tag >> 1)
        for sid, ts, seq, tag, value in zip(
            data[0::_FIELDS], data[1::_FIELDS], data[2::_FIELDS], data[3::_FIELDS], floats, strict=True
        )
    ]


class Newest:
    """Newest rows of one client, `KEYS_PER_CLIENT` or a piece more; indexed from its first repeat on.

    Attributes:
        count: Rows that are here.
    """

    __slots__ = ("_fresh", "_keys", "_pieces", "count")

    def __init__(self) -> None:
        self.count = 0
        self._pieces: deque[tuple[int, Pieces]] = deque()
        self._keys: OrderedDict[Key, int] = OrderedDict()
        self._fresh = 0
        """Newest rows that are not among the keys."""

    def extend(self, count: int, piece: Pieces) -> None:
        """So many rows were taken."""
        self._pieces.append((count, piece))
        self._fresh += count
        self.count += count
        while self.count - self._pieces[0][0] >= KEYS_PER_CLIENT:
            self.count -= self._pieces.popleft()[0]

    def taken(self, newest: int = KEYS_PER_CLIENT) -> list[Taken]:
        """The newest rows, at most so many, oldest first."""
        newest = min(newest, KEYS_PER_CLIENT, self.count)
        late: list[Pieces] = []
        missing = newest
        for count, piece in reversed(self._pieces):
            if missing <= 0:
                break
            late.append(piece)
            missing -= count
        rows = [row for piece in reversed(late) for row in _unpacked(piece)]
        return rows[len(rows) - newest :]

    def keys(self) -> OrderedDict[Key, int]:
        """Each key with its commit, least recent first; a row becomes a key once."""
        keys, fresh = self._keys, self._fresh
        self._fresh = 0
        for sid, ts, seq, value, n in self.taken(fresh) if fresh else ():
            key = key_of(sid, ts, seq, value)
            keys[key] = n
            keys.move_to_end(key)
        trim(keys)
        return keys


def trim(keys: OrderedDict[Key, int]) -> None:
    """The least recent go."""
    while len(keys) > KEYS_PER_CLIENT:
        keys.popitem(last=False)
