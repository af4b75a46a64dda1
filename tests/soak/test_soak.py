"""A minute of the soak: two real tiers, the uplink cut by turns, and everything that has to hold holds.

At 20,000 readings a second and not 50,000: the tests share two cores, and 50,000 take most of one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from benches import generator

ROOT = Path(__file__).parents[2]
PROMISED = [
    *("seconds", "points", "acked", "arrived", "lost", "duplicated", "reordered", "balanced", "memory"),
    *("descriptors", "threads", "latency", "cuts", "holds"),
]
SECONDS, RATE, CUTS = 60, 20_000, 4


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_minute_with_four_cuts_loses_doubles_and_disorders_nothing(tmp_path: Path) -> None:
    try:
        generator.program()
    except generator.NoCompiler as problem:
        pytest.skip(str(problem))
    arguments = ["--seconds", str(SECONDS), "--rate", str(RATE), "--cut-every", str(SECONDS / CUTS)]
    process = subprocess.Popen(
        [sys.executable, "-m", "soak", *arguments, "--json", "--page", str(tmp_path / "soak.md")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=dict(os.environ),
        start_new_session=True,
    )
    try:
        out, said = process.communicate(timeout=220)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    assert out, said
    found = json.loads(out)
    assert list(found)[: len(PROMISED)] == PROMISED
    wrong = [name for name, good in found["holds"].items() if not good]
    assert (process.returncode, wrong) == (0, []), found["findings"]
    assert found["arrived"] == found["acked"] == found["points"] > 0.98 * RATE * SECONDS
    assert len(found["cuts"]) == CUTS
    assert {one["way"] for one in found["cuts"]} == {"refused", "black hole", "reset"}
    assert (tmp_path / "soak.md").exists()
