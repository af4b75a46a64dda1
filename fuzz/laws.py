"""Laws that several targets share: of rows, and of batches of readings."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from fuzz.target import breach, hold
from headland.blocks import codec
from headland.vocabulary import Batch, Columns, SeriesTable, Value

INT64 = range(-(1 << 63), 1 << 63)


def exact(value: Value) -> tuple[str, Value]:
    """Equal for values of one type and the same bits, NaN and the sign of zero included."""
    return type(value).__name__, struct.pack("<d", value) if isinstance(value, float) else value


def rows_of(columns: Columns) -> list[tuple[object, ...]]:
    """Rows, with absent optional columns filled in, exactly comparable."""
    count = len(columns)
    lengths = {len(columns.ts), len(columns.value)} | {
        len(column)
        for column in (columns.seq, columns.kind, columns.flags, columns.size)
        if column is not None
    }
    hold(lengths <= {count}, f"columns of {count} rows have lengths {lengths}")
    filled = [
        column if column is not None else [absent] * count
        for column, absent in ((columns.seq, -1), (columns.kind, 0), (columns.flags, 0), (columns.size, 0))
    ]
    return list(zip(columns.sid, columns.ts, map(exact, columns.value), *filled, strict=True))


def check_batch(batch: Batch, payloads: Sequence[bytes], rejected: set[int], table: SeriesTable) -> None:
    """The invariants of a batch, and that what was let in can be written and read again.

    Args:
        batch: What a decoder filled.
        payloads: The messages, in order.
        rejected: Indexes of those that gave nothing.
        table: The numbering that it used.
    """
    rows = len(batch.sid)
    for column in (batch.ts, batch.value, batch.size, batch.seq, batch.severity):
        hold(column is None or len(column) == rows, "columns of a batch differ in length")
    hold(len(batch.message_ends) == len(payloads), "not one end a message")
    start = 0
    for index, (payload, end) in enumerate(zip(payloads, batch.message_ends, strict=True)):
        hold(start <= end <= rows, f"message {index} ends at {end} of {rows}")
        hold(index not in rejected or start == end, f"message {index} was rejected and gave readings")
        if end > start:
            given = sum(batch.size[start:end])
            hold(given == len(payload), f"message {index}: sizes sum to {given}, not to {len(payload)}")
        start = end
    hold(start == rows, "rows after the last message")
    for sid, ts, value in zip(batch.sid, batch.ts, batch.value, strict=True):
        hold(0 <= sid <= len(table), f"series {sid} of {len(table)}")
        hold(ts in INT64, f"a time of {ts}")
        if isinstance(value, int):
            hold(value in INT64, f"a whole number of {value}")
        elif not isinstance(value, float | str | bytes):
            breach(f"a value of {type(value).__name__}")
    written = Columns(batch.sid, batch.ts, batch.value, batch.seq, None, None, batch.size)
    for how in (codec.Codec.FAST, codec.Codec.AUTO):
        again = codec.decode(codec.encode(written, how))
        hold(rows_of(again) == rows_of(written), f"what was taken in is not what {how.name} keeps")


def story_of(batch: Batch, table: SeriesTable) -> bytes:
    """A batch as a transcript."""
    rows = zip(batch.sid, batch.ts, map(exact, batch.value), batch.size, strict=True)
    return repr(
        ([(str(table.key(sid)), *rest) for sid, *rest in rows], batch.seq, batch.message_ends)
    ).encode("utf-8", "backslashreplace")
