"""What is looked at while it runs: processes from outside, by /proc, and what nodes say of themselves."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec
from campaign.nodes import Node

from headland.demo.local_http import NoAnswer
from soak.generating import Report


class OfNode(msgspec.Struct, frozen=True):
    """One node at one moment.

    Attributes:
        pss_mb, rss_mb: Memory: proportional, and resident, 10^6 bytes.
        descriptors: Open file descriptors.
        threads: Of its process.
        cpu_s: Processor time so far.
        disk_mb: Blocks of its data directory on disk, 10^6 bytes.
        waiting: Readings that wait for its parent.
        balanced: Whether its books balance; None when it did not answer.
    """

    pss_mb: float
    rss_mb: float
    descriptors: int
    threads: int
    cpu_s: float
    disk_mb: float
    waiting: int = 0
    balanced: bool | None = None


class Sample(msgspec.Struct, frozen=True):
    """One look.

    Attributes:
        at_s: Since the load began.
        cycle: Number of the cut that comes next, from 0.
        cut: Whether the uplink is cut now.
        acked: Readings acknowledged so far.
        p50_ms, p99_ms, max_ms: Acknowledgements since the look before.
        nodes: By name.
    """

    at_s: float
    cycle: int
    cut: bool
    acked: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    nodes: dict[str, OfNode]


def disk_bytes(root: Path) -> int:
    """Bytes that a directory takes on disk; what vanishes meanwhile does not count."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                total += (Path(folder) / name).stat().st_blocks * 512
            except OSError:
                continue
    return total


def process_figures(pid: int, data: Path) -> OfNode:
    """What /proc says of a process, and what its data directory takes.

    Raises:
        OSError: There is no such process.
    """
    proc = Path(f"/proc/{pid}")
    kilobytes = {}
    for line in (proc / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        kilobytes[name] = int(rest.split()[0])
    tasks = list((proc / "task").iterdir())
    fields = (proc / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return OfNode(
        pss_mb=kilobytes["Pss"] * 1024 / 1e6,
        rss_mb=kilobytes["Rss"] * 1024 / 1e6,
        descriptors=len(list((proc / "fd").iterdir())),
        threads=len(tasks),
        cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
        disk_mb=disk_bytes(data) / 1e6,
    )


async def look(node: Node, data: Path) -> OfNode:
    """One node now.

    Raises:
        HeadlandError: It does not run.
        OSError: It has just ended.
    """
    figures = process_figures(node.pid, data)
    try:
        status: dict[str, Any] = await node.ask("/v1/status")
    except NoAnswer:
        return figures
    return msgspec.structs.replace(
        figures, waiting=status["pending_readings"], balanced=bool(status["balanced"])
    )


def sample(
    began: float, cycle: int, cut: bool, report: Report, readings: int, nodes: dict[str, OfNode]
) -> Sample:
    """All of it together; `began` is a time of `time.monotonic`, `readings` those of one publish."""
    return Sample(
        at_s=round(time.monotonic() - began, 2),
        cycle=cycle,
        cut=cut,
        acked=report.acked * readings,
        p50_ms=report.p50_us / 1000,
        p99_ms=report.p99_us / 1000,
        max_ms=report.max_us / 1000,
        nodes=nodes,
    )
