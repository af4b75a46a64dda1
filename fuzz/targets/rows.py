"""Rows and bodies of blocks: first byte 0 for a unit, 1 for a compressed body; eight bytes of base time."""

from __future__ import annotations

from fuzz.laws import rows_of
from fuzz.target import Target, hold
from headland.blocks import codec
from headland.blocks.block import examine
from headland.blocks.codec import Codec
from headland.blocks.digest import digest
from headland.blocks.packed import unpack
from headland.vocabulary import NO_SEQUENCE, NO_TIME, Columns, PeerError, Priority, Value

ROWS_MAX = 65_536


def check(data: bytes) -> bytes:
    """Rows that decode are those of every way to decode them, and of their own encodings."""
    body, base_ns, unit = (
        bool(data[:1] and data[0] & 1),
        int.from_bytes(data[1:9], "big", signed=True),
        data[9:],
    )
    if body:
        rows, found, sids = _examined(unit, base_ns)
        try:
            unit = codec.decompress(unit)
        except PeerError as error:
            hold(rows < 0, "examined, and not decompressed")
            return f"refused: {error}".encode()
    else:
        rows, found, sids = _examined(codec.compress(Priority.CRITICAL, unit), base_ns)
    try:
        columns = codec.decode(unit, base_ns)
    except PeerError as error:
        hold(rows < 0, f"examined as {rows} rows, and not decoded: {error}")
        return f"refused: {error}".encode()
    exact = rows_of(columns)
    hold(len(columns) == rows <= ROWS_MAX, f"{len(columns)} rows, examined as {rows}")
    hold(digest(columns) == found and frozenset(columns.sid) == sids, "examined as others")
    hold(rows_of(unpack(codec.decode_packed(unit, base_ns))) == exact, "apart they are others")
    for how in (Codec.AUTO, Codec.PLAIN, Codec.FAST, Codec.COLUMNAR):
        again = codec.encode(columns, how, base_ns)
        hold(rows_of(codec.decode(again, base_ns)) == exact, f"{how.name} makes others of them")
    together, count, _ = codec.encode_again([unit, unit], base_ns)
    hold(count == 2 * rows and rows_of(codec.decode(together, base_ns)) == exact * 2, "twice they are others")
    return repr(exact).encode("utf-8", "backslashreplace")


def _examined(body: bytes, base_ns: int) -> tuple[int, bytes, frozenset[int]]:
    try:
        return examine(body, base_ns)
    except PeerError:
        return -1, b"", frozenset()


def tables() -> dict[str, Columns]:
    """Rows of every kind."""
    start = 1_700_000_000_000_000_000
    steady, mixed, full = Columns(), Columns(), Columns()
    for index in range(70):
        steady.append(1 + index % 3, start + index * 10**9, 20.0 + index / 10, size=24)
    values: list[Value] = [1.5, 7, True, "text", b"\0\1", float("nan"), -0.0, -(1 << 63), "\ud800", 1 << 69]
    for index, value in enumerate(values):
        mixed.append(index + 1, NO_TIME if index % 2 else start + index, value)
    for index in range(24):
        sequence = index if index % 5 else NO_SEQUENCE
        full.append(7, start - index, index * index, sequence, index % 4, index % 2, 1 << index)
    one = Columns()
    one.append(1, start, 21.5, size=4)
    words = Columns()
    for index in range(30):
        words.append(2, start, f"level {index % 4}")
    return {"one": one, "steady": steady, "mixed": mixed, "full": full, "words": words, "none": Columns()}


def seeds() -> dict[str, bytes]:
    """Each table in each codec, and as each body."""
    made = {}
    for name, columns in tables().items():
        base_ns = 1_700_000_000_000_000_000
        base = base_ns.to_bytes(8, "big", signed=True)
        for how in (Codec.PLAIN, Codec.FAST, Codec.COLUMNAR):
            made[f"{name}-{how.name.lower()}"] = b"\0" + base + codec.encode(columns, how, base_ns)
        for priority in (Priority.HIGH, Priority.NORMAL):
            unit = codec.encode(columns, Codec.AUTO, base_ns)
            made[f"{name}-{priority.name.lower()}"] = b"\1" + base + codec.compress(priority, unit)
    return made


TARGET = Target(
    name="rows",
    law="rows that decode are the same by every way to decode and to encode them; all else is refused",
    check=check,
    seeds=seeds,
    words=(
        b"\xff" * 9 + b"\x01",
        b"\x80" * 9 + b"\x01",
        b"\x02",
        b"\x03",
        b"\x81",
        b"\xff",
        b"\x28\xb5\x2f\xfd",
    ),
    rounds=1_200,
)
