"""What a node costs that has nothing to do: as `headland init --tier device` makes it, and no client."""

from __future__ import annotations

import time

from benches import tree
from benches.registry import Context, Row, row

ROWS = ("idle_cpu_share", "idle_pss_mb")
SETTLE_S = 5.0
WATCH_S = 30.0


def measure(context: Context) -> list[Row]:
    """Let it settle, then watch one half minute."""
    ports = tree.made(context.work, "idle", "device", "", None)
    with tree.running(context.work, "idle", ports) as node:
        time.sleep(SETTLE_S)
        cpu, began = node.cpu_s(), time.monotonic()
        time.sleep(WATCH_S)
        share = (node.cpu_s() - cpu) / (time.monotonic() - began)
        pss = node.pss_mb()
    how = f"device tier, no client, {WATCH_S:g} s after {SETTLE_S:g} s"
    return [
        row("idle_cpu_share", share, "share", f"processor time / wall time; {how}"),
        row("idle_pss_mb", pss, "MB", f"Pss of /proc/PID/smaps_rollup; {how}"),
    ]
