"""A few rounds on real processes: the product passes them, and three planted defects do not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROMISED = ["rounds", "acked", "lost", "duplicated", "reordered", "unbalanced", "faults", "seed"]


def campaign(*arguments: str, within_s: float) -> dict[str, Any]:
    """Run it to its end; nothing of it is left, however that came."""
    process = subprocess.Popen(
        [sys.executable, "-m", "campaign", "--json", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=dict(os.environ),
        start_new_session=True,
    )
    try:
        out, said = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    assert out, said
    outcome: dict[str, Any] = json.loads(out)
    assert process.returncode == (0 if not outcome["failures"] else 1)
    return outcome


def chosen(seed: int, *faults: str) -> list[str]:
    return [
        *("--rounds", str(len(faults)), "--seed", str(seed), "--singly"),
        *(word for fault in faults for word in ("--fault", fault)),
    ]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_six_rounds_lose_double_and_disorder_nothing() -> None:
    halves = (
        chosen(1, "sigkill", "uplink_refused", "power_cut"),
        chosen(2, "uplink_reset", "parent_restored", "child_reparented"),
    )
    with ThreadPoolExecutor(2) as both:
        outcomes = list(both.map(lambda words: campaign(*words, within_s=200), halves))
    for outcome in outcomes:
        assert list(outcome)[: len(PROMISED)] == PROMISED
        assert outcome["failures"] == []
        assert outcome["acked"] > 1000
    assert sum(sum(outcome["faults"].values()) for outcome in outcomes) >= 3


PLANTED = {
    "ack_early": ("power_cut", "lost"),
    "reclaim_early": ("budget_full", "lost"),
    "dedup_off": ("sigkill", "duplicated"),
}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_three_planted_defects_are_found() -> None:
    """Of chance only in how soon: each has rounds until it is found, at most twelve."""

    def found(defect: str) -> bool:
        fault, what = PLANTED[defect]
        words = ("--plant", defect, "--fault", fault, "--node", "device", "--until-found")
        outcome = campaign("--rounds", "12", "--seed", "2", "--singly", *words, within_s=280)
        return fault in outcome["unproven"] or outcome[what] > 0

    with ThreadPoolExecutor(len(PLANTED)) as every:
        assert dict(zip(PLANTED, every.map(found, PLANTED), strict=True)) == dict.fromkeys(PLANTED, True)
