"""A real node with the smallest disk budget there is: what goes, what is refused, and that it comes back."""

from __future__ import annotations

import json
import random
import socket
import urllib.error
import urllib.request
from pathlib import Path

from tests.node.running import RunningNode, eventually, headland

BUDGET_BYTES = 32 << 20
SMALL = f"""
[disk]
budget_bytes = {BUDGET_BYTES}

[[series]]
name = "low"
match = "low/**"
priority = "low"
filter = {{ kind = "keep" }}

[[series]]
name = "critical"
match = "critical/**"
priority = "critical"
filter = {{ kind = "keep" }}

[decide]
real_time = false
"""
ROWS, TEXT_BYTES = 100, 2000


class Pusher:
    """Pushes texts that no compression makes small."""

    def __init__(self, node: RunningNode) -> None:
        self.node = node
        self.taken = 0
        self._random = random.Random(1)

    def push(self, cls: str) -> int:
        """One push of a fifth of a megabyte; the status of the answer."""
        texts = [self._random.randbytes(TEXT_BYTES // 2).hex() for _ in range(ROWS)]
        rows = [{"series": f"{cls}/s", "value": text, "seq": self.taken + i} for i, text in enumerate(texts)]
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.node.ports['http']}/v1/readings",
            data=json.dumps(rows).encode(),
            headers={"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                self.taken += ROWS
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def push_mb(self, cls: str, megabytes: int) -> None:
        """So much, however often it is refused on the way."""
        for _ in range(megabytes * 5):
            eventually(lambda: self.push(cls) == 200)


def _size(directory: Path) -> int:
    return sum(one.stat().st_blocks * 512 for one in directory.rglob("*") if one.is_file())


def _readiness(node: RunningNode) -> str:
    try:
        return node.text("/readyz")
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read().decode()}"


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_with_the_smallest_budget_low_goes_critical_stays_and_after_the_drain_input_is_taken_again(
    tmp_path: Path,
) -> None:
    """Kills: a node that refuses input for ever, with low waiting, and says it is ready and healthy."""
    port = _free_port()
    listens = ("--link-port", port)
    cloud = RunningNode(tmp_path / "cloud", "[decide]\nreal_time = false\n", arguments=listens)
    parent = ("--parent", f"127.0.0.1:{port}", "--parent-name", "cloud")
    north = (*parent, "--ca", str(tmp_path / "cloud" / "ca"))
    with RunningNode(tmp_path / "dev", SMALL, "device", arguments=north) as node:
        data, pusher = node.directory / "data", Pusher(node)
        pusher.push_mb("low", 40)
        assert node.books("shed") > 0
        assert _size(data) < BUDGET_BYTES
        while pusher.push("critical") == 200 or node.books("shed") < 40 * 5 * ROWS:
            assert _size(data) < BUDGET_BYTES
        eventually(lambda: "data that may not go: critical" in node.ask("/v1/status")["refusing"])
        assert _readiness(node).startswith('503 {"code":"refusing"')
        assert 'headland_refusing_input{cause="disk_budget"} 1' in node.text("/metrics")
        told = headland("status", f"http://127.0.0.1:{node.ports['http']}")
        assert told.returncode == 1
        assert "REFUSES  the disk budget of 33 MB is used up" in told.stdout
        kept = node.books("kept")
        try:
            cloud.start()
            eventually(lambda: node.books("pending") == 0 and not node.ask("/v1/status")["refusing"], 60)
            pusher.push_mb("low", 40)
            pusher.push_mb("critical", 20)
            eventually(lambda: node.books("pending") == 0, 60)
            assert _readiness(node) == "ready\n"
            assert node.books("kept") == kept + 60 * 5 * ROWS == pusher.taken
            assert node.books("kept") + node.books("derived") == node.books("committed") + node.books("shed")
            assert _size(data) < BUDGET_BYTES
        finally:
            cloud.kill()
