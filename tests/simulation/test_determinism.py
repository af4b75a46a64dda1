"""The same seed is the same run: in this process, in another, and whatever Python hashes strings to."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
from tests.simulation.conftest import EXAMPLES

from headland.simulation.many import Report
from headland.simulation.run import run_seed
from headland.simulation.scenario import Scenario


def _elsewhere(hash_seed: str, *arguments: str) -> Report:
    command = [sys.executable, "-m", "headland", "simulate", str(EXAMPLES / "factory"), *arguments, "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Report)


def test_the_same_seed_gives_the_same_trace_under_another_hash_seed(factory: Scenario) -> None:
    here = run_seed(factory, 7)
    again = run_seed(factory, 7)
    assert (again.trace_hash, again.steps, again.hits) == (here.trace_hash, here.steps, here.hits)
    one, other = _elsewhere("1", "--seed", "7"), _elsewhere("2", "--seed", "7")
    assert one.trace_hash == other.trace_hash
    assert one.steps == here.steps


def test_recording_the_story_changes_nothing(factory: Scenario) -> None:
    from headland.simulation.run import Run

    assert Run(factory, 5, recording=True).go().trace_hash == run_seed(factory, 5).trace_hash


def test_other_seeds_are_other_runs(factory: Scenario) -> None:
    assert run_seed(factory, 8).trace_hash != run_seed(factory, 9).trace_hash
