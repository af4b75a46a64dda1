"""Floating point values as what they mostly are: decimal fractions with a few units of noise.

A recorded value like 23.4 or 51.846000000000004 is a whole number m through a power of ten, give or take a
few units in the last place: `bits(value) = bits(m / 10^e) + noise`. Per series:

```
u8 e a group: 0-12; 255: the item is the bit pattern itself
grouped column of items (m, or the bit pattern as a signed integer)
u8 1 if there is noise, then i8 noise of each row in a group with e < 255
varint count of exceptions, for each: varint distance from the one before, 8 B bit pattern
```
Exceptions are rows in a decimal group that are no such fraction (NaN, -0.0, infinities, outliers); a group
with more than one in 16 is written as bit patterns. Every bit comes back.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headland.blocks.integers import I64, Groups, put_grouped, take_grouped
from headland.blocks.wire import Reader, put_varint
from headland.vocabulary import PeerError

F64 = npt.NDArray[np.float64]
_MAX_EXPONENT = 12
_PATTERN = 255
_EXACT = float(1 << 53)
_TENS = np.array([10.0**exponent for exponent in range(_MAX_EXPONENT + 1)])
_SAMPLES = 24
_NOISE_MAX = 127
_FEW = 32


def put_floats(out: bytearray, values: F64, groups: Groups) -> None:
    """Append values that are sorted by group."""
    patterns = values.view(np.int64)
    exponents = _guess(values, groups)
    items, noise, fits = _scaled(values, patterns, groups.spread(exponents))
    if not fits.all():
        exponents = _raise_exponents(values, patterns, groups, exponents, fits)
        items, noise, fits = _scaled(values, patterns, groups.spread(np.minimum(exponents, _MAX_EXPONENT)))
        misses = np.add.reduceat((~fits).astype(np.int64), groups.starts)
        exponents[misses * 16 > groups.counts] = _PATTERN
    whole = groups.spread(exponents == _PATTERN)
    exceptions = np.flatnonzero(~fits & ~whole)
    if len(exceptions):
        fits[0] = True
        source = np.maximum.accumulate(np.where(fits, np.arange(len(values)), 0))
        items, noise = items[source], np.where(fits, noise, 0)
    if whole.any():
        items = np.where(whole, patterns, items)
        noise = noise[~whole]
    out += exponents.astype(np.uint8).tobytes()
    put_grouped(out, items, groups)
    noisy = bool(noise.any())
    out.append(noisy)
    if noisy:
        out += noise.astype(np.int8).tobytes()
    put_varint(out, len(exceptions))
    before = 0
    for row in exceptions.tolist():
        put_varint(out, row - before)
        out += patterns[row : row + 1].astype("<i8").tobytes()
        before = row


def take_floats(reader: Reader, groups: Groups) -> F64:
    """Values sorted by group.

    Raises:
        PeerError: malformed.
    """
    exponents = np.frombuffer(reader.take(len(groups)), np.uint8).astype(np.int64)
    decimal = exponents != _PATTERN
    if (exponents[decimal] > _MAX_EXPONENT).any():
        raise PeerError("a decimal exponent beyond 12")
    items = take_grouped(reader, groups)
    scale = groups.spread(_TENS[np.where(decimal, exponents, 0)])
    patterns = (items / scale).view(np.int64)
    whole = groups.spread(~decimal)
    if reader.byte():
        noise = np.frombuffer(reader.take(int(np.count_nonzero(~whole))), np.int8)
        patterns[~whole] += noise
    if whole.any():
        patterns = np.where(whole, items, patterns)
    row = 0
    for _ in range(reader.varint(groups.rows)):
        row += reader.varint(groups.rows)
        if row >= groups.rows:
            raise PeerError("an exception beyond the last row")
        patterns[row] = np.frombuffer(reader.take(8), "<i8")[0]
    values: F64 = patterns.view(np.float64)
    return values


def _guess(values: F64, groups: Groups) -> I64:
    """Decimal places of a few values of each group, noise rounded away."""
    each = max(1, _SAMPLES // len(groups))
    exponents = []
    for start, count in zip(groups.starts.tolist(), groups.counts.tolist(), strict=True):
        places = []
        for value in values[start : start + count : -(-count // each)].tolist():
            text = f"{value:.13g}"
            places.append(len(text) - text.find(".") - 1 if "." in text and "e" not in text else 0)
        places.sort()
        exponents.append(min(places[-1 - len(places) // 8], _MAX_EXPONENT))
    return np.array(exponents, np.int64)


def _scaled(values: F64, patterns: I64, exponents: I64) -> tuple[I64, I64, npt.NDArray[np.bool_]]:
    """For each row m, noise, and whether both are within bounds (m and noise are 0 where they are not)."""
    tens = _TENS[exponents]
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(values * tens)
        fits = np.abs(scaled) < _EXACT
        scaled = np.where(fits, scaled, 0.0)
    noise = patterns - (scaled / tens + 0.0).view(np.int64)
    fits &= (noise >= -_NOISE_MAX) & (noise <= _NOISE_MAX)
    return scaled.astype(np.int64), noise, fits


def _raise_exponents(
    values: F64, patterns: I64, groups: Groups, exponents: I64, fits: npt.NDArray[np.bool_]
) -> I64:
    """Per group the least exponent at which its rows fit; a few odd rows do not raise it."""
    exponents = exponents.copy()
    misses = np.add.reduceat((~fits).astype(np.int64), groups.starts)
    rows = np.flatnonzero(~fits & groups.spread(misses * _FEW > groups.counts))
    members = groups.spread(np.arange(len(groups)))[rows]
    for exponent in range(1, _MAX_EXPONENT + 1):
        if not len(rows):
            break
        _, _, now = _scaled(values[rows], patterns[rows], np.full(len(rows), exponent))
        now &= exponents[members] < exponent
        exponents[members[now]] = exponent
        rows, members = rows[~now], members[~now]
    return exponents
