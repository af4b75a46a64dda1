"""The same seed is the same run: in this process, in another, and whatever Python hashes strings to."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
from tests.simulation.conftest import EXAMPLES

from headland.simulation.many import Report
from headland.simulation.run import Run, run_seed
from headland.simulation.scenario import Scenario


def _elsewhere(hash_seed: str, *arguments: str) -> Report:
    command = [sys.executable, "-m", "headland", "simulate", str(EXAMPLES / "factory"), *arguments, "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Report)


def test_the_same_seed_gives_the_same_trace_under_another_hash_seed(factory: Scenario) -> None:
    here = run_seed(factory, 7)
    one, other = _elsewhere("1", "--seed", "7"), _elsewhere("2", "--seed", "7")
    assert one.trace_hash == other.trace_hash
    assert (one.steps, one.hits) == (here.steps, here.hits)


def test_the_same_seed_gives_the_same_trace_again(short: Scenario) -> None:
    assert run_seed(short, 6) == run_seed(short, 6)


def test_recording_the_story_changes_nothing(short: Scenario) -> None:
    assert Run(short, 5, recording=True).go().trace_hash == run_seed(short, 5).trace_hash


def test_other_seeds_are_other_runs(short: Scenario) -> None:
    assert run_seed(short, 8).trace_hash != run_seed(short, 9).trace_hash
