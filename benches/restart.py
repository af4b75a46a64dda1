"""Start with a backlog of 2 GB on disk: time until a client is accepted, and what that costs in memory."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from benches import generator, servers, tree
from benches.registry import Context, Row, row, say

ROWS = ("restart_2gb_s", "restart_2gb_growth_mb")
BACKLOG_BYTES = 2_000_000_000
TEXT_BYTES = 1_000
SETTLE_S = 3.0
CONNECT = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02re"
UNPACKED = '\n[classes.normal]\ncompression = "none"\nttl_s = 0\n\n[disk]\nbudget_bytes = 8000000000\n'


def measure(context: Context) -> list[Row]:
    """Fill the outbox while no parent answers, kill the node, start it again."""
    directory = context.work / "restart"
    directory.mkdir()
    dead_port = servers.free_port()
    ports = tree.made(directory, "local", "local", servers.KEEP_ALL + UNPACKED, (dead_port, "cloud"))
    with tree.running(directory, "local", ports) as node:
        time.sleep(SETTLE_S)
        fresh_mb = node.pss_mb()
        generator.load(
            node.port,
            connections=8,
            window=200,
            text=TEXT_BYTES,
            total=BACKLOG_BYTES // TEXT_BYTES,
            seconds=600,
            warmup=0,
        )
        node.process.kill()
        node.process.wait()
    stored = _size(directory / "local" / "data")
    times, growth = [], []
    for _ in range(context.repeats):
        began = time.monotonic()
        with tree.running(directory, "local", ports) as node:
            _accepted(node.port)
            times.append(time.monotonic() - began)
            time.sleep(SETTLE_S)
            growth.append(node.pss_mb() - fresh_mb)
            say(f"accepts after {times[-1]:.2f} s, grown by {growth[-1]:.1f} MB")
            node.process.kill()
            node.process.wait()
    how = (
        f"{stored / 1e9:.2f} GB in the data directory, {BACKLOG_BYTES // TEXT_BYTES:,} readings of "
        f"{TEXT_BYTES} B, parent away, killed with SIGKILL; worst of {context.repeats} starts"
    )
    return [
        row("restart_2gb_s", max(times), "s", f"process start to CONNACK, imports included; {how}"),
        row(
            "restart_2gb_growth_mb",
            max(growth),
            "MB",
            f"Pss against the fresh node's {fresh_mb:.1f} MB; {how}",
        ),
    ]


def _accepted(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 30) as one:
        one.settimeout(30)
        one.sendall(CONNECT)
        if one.recv(4)[:1] != b"\x20":
            raise RuntimeError("the node did not answer with CONNACK")


def _size(directory: Path) -> int:
    """Bytes that files really hold (preallocated journal segments count as they are)."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
