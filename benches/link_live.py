"""Uplink bytes of a kept reading when readings come slowly, against JSON messages with Zstandard 3."""

from __future__ import annotations

import time

import msgspec
import zstandard

from benches import generator, tree
from benches.registry import Context, Row, row, say

ROWS = ("link_bytes_live",)
RATES = (10, 100, 1000)
SETTLE_S = 3.0
SECONDS = 20.0
REAL_TIME = (
    '[default]\nname = "default"\nfilter = { kind = "keep" }\n\n[classes.normal]\nsync = "real_time"\n'
)


def measure(context: Context) -> list[Row]:
    """Each rate on a link of its own; heartbeats and acknowledgements count, the handshake does not."""
    ratios: dict[int, float] = {}
    details = []
    for rate in RATES:
        with tree.pair(context.work / f"live-{rate}", REAL_TIME) as (child, _, wire):
            generator.load(child.port, connections=1, window=100, total=10, seconds=10, warmup=0)
            time.sleep(SETTLE_S)
            before = wire.proxy.bytes_north
            found = generator.load(
                child.port,
                connections=10,
                window=1000,
                rate=rate,
                seconds=SECONDS,
                warmup=0,
                value="jump",
                id_base=100,
            )
            time.sleep(SETTLE_S)
            ours = (wire.proxy.bytes_north - before) / found["total_acked"]
        theirs = _json_bytes()
        ratios[rate] = ours / theirs
        details.append(f"{rate}/s {ratios[rate]:.3f} ({ours:.1f} against {theirs:.1f} B)")
        say(details[-1])
    how = (
        "TCP payload bytes child to parent (TLS, heartbeats) / readings, every reading kept, real-time sync, "
        f"{SECONDS:g} s a rate: {'; '.join(details)}; worst"
    )
    return [row("link_bytes_live", max(ratios.values()), "ratio", how)]


def _json_bytes() -> float:
    """One reading as one message of JSON, each compressed alone with Zstandard 3."""
    compressor = zstandard.ZstdCompressor(level=3)
    sizes = [
        len(
            compressor.compress(
                msgspec.json.encode(
                    {
                        "series": f"bench/c{100 + n % 10}",
                        "ts": 1_760_000_000_123_456_789 + n * 1_000_000,
                        "value": (4000 if n % 2 else 2000) / 100 + n % 200 / 100,
                    }
                )
            )
        )
        for n in range(1000)
    ]
    return sum(sizes) / len(sizes)
