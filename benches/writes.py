"""Bytes written to storage for each payload byte offered, every reading kept."""

from __future__ import annotations

from benches import generator, servers
from benches.registry import Context, Row, median, row, say

ROWS = ("write_amplification_1000", "write_amplification_100")


def measure(context: Context) -> list[Row]:
    """Groups of G: one connection writes G publishes at once, awaits all acknowledgements, then the next."""
    rows = []
    for size in (1000, 100):
        ratios, per_reading, payload = [], [], 0.0
        for repeat in range(context.repeats):
            with servers.headland(context.work / f"writes-{size}-{repeat}", servers.KEEP_ALL) as node:
                generator.load(
                    node.port, connections=1, window=size, burst=size, total=size, seconds=5, warmup=0
                )
                before = node.write_bytes()
                found = generator.load(
                    node.port,
                    connections=1,
                    window=size,
                    burst=size,
                    seconds=context.seconds,
                    warmup=0,
                    value="jump",
                    id_base=100,
                )
                written = node.write_bytes() - before
            ratios.append(written / found["total_payload_bytes"])
            per_reading.append(written / found["total_acked"])
            payload = found["total_payload_bytes"] / found["total_acked"]
            say(f"groups of {size}: {ratios[-1]:.3f} bytes a payload byte")
        how = (
            f"write_bytes of /proc/PID/io / payload bytes of acknowledged publishes; "
            f"{median(per_reading):.1f} B written for a reading of {payload:.1f} B; bursts of {size}, "
            f"{context.repeats} runs, median"
        )
        rows.append(row(f"write_amplification_{size}", median(ratios), "ratio", how))
    return rows
