"""Bytes a reading costs in a full block, against JSON with Zstandard 3 of the same readings."""

from __future__ import annotations

import msgspec
import zstandard

from benches import recorded
from benches.registry import Context, Row, row, say
from benches.servers import Unavailable
from headland.blocks.block import seal
from headland.blocks.header import HeaderWriter, Run
from headland.vocabulary import Columns, Lane, Priority

ROWS = ("link_bytes_vs_json_zstd_worst",)
BLOCK = 1000
SIZE = 45
"""Payload bytes booked for a reading, as a device's JSON would have."""
FRAME = 5 + 22
"""Frame header of the link and TLS 1.3 record, a block."""


def measure(context: Context) -> list[Row]:
    """Two layouts, the worse counts: each series alone, and all series of a set interleaved by time."""
    if context.data is None:
        raise Unavailable("the recorded data is not here (give --data DIR)")
    ratios: list[float] = []
    details: list[str] = []
    for name, read in recorded.SETS.items():
        found = sorted(read(context.data).items())
        ours = theirs = 0
        worst = ("", 0.0)
        for series, points in found:
            a, b = _bytes([(1, "", ts, value) for ts, value in points])
            ours, theirs = ours + a, theirs + b
            say(f"{name}/{series}: {a / len(points):.3f} against {b / len(points):.3f} B, ratio {a / b:.3f}")
            worst = max(worst, (series, a / b), key=lambda one: one[1])
        mixed = [(sid, one, ts, v) for sid, (one, points) in enumerate(found, 1) for ts, v in points]
        mixed.sort(key=lambda point: (point[2], point[0]))
        a, b = _bytes(mixed)
        ratios += [ours / theirs, a / b]
        rows = len(mixed)
        details.append(
            f"{name} {ours / theirs:.3f} ({ours / rows:.2f} against {theirs / rows:.2f} B, "
            f"worst series {worst[0]} {worst[1]:.3f}), "
            f"interleaved {a / b:.3f} ({a / rows:.2f} against {b / rows:.2f} B)"
        )
    how = f"blocks of {BLOCK} rows with header and frame, each series alone: " + "; ".join(details)
    return [row("link_bytes_vs_json_zstd_worst", max(ratios), "ratio", how)]


def _bytes(points: list[tuple[int, str, int, float]]) -> tuple[int, int]:
    """(bytes of our blocks, bytes of JSON with Zstandard 3) of (series id, name or "", time, value)."""
    compressor = zstandard.ZstdCompressor(level=3)
    header_writer = HeaderWriter()
    ours = theirs = 0
    for k, at in enumerate(range(0, len(points), BLOCK), start=1):
        part = points[at : at + BLOCK]
        columns = Columns(
            sid=[sid for sid, _, _, _ in part],
            ts=[ts for _, _, ts, _ in part],
            value=[value for _, _, _, value in part],
            size=[SIZE] * len(part),
        )
        header, body = seal(
            columns,
            origin="bench/bench",
            epoch=bytes(16),
            priority=Priority.NORMAL,
            k=k,
            lane=Lane.LIVE,
            runs=(Run(k, part[-1][2], len(part)),),
        )
        ours += len(header_writer.encode(header)) + len(body) + FRAME
        documents = [
            {"series": name, "ts": ts, "value": value} if name else {"ts": ts, "value": value}
            for _, name, ts, value in part
        ]
        theirs += len(compressor.compress(msgspec.json.encode(documents)))
    return ours, theirs
