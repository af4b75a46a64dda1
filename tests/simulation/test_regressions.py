"""Seeds that once broke a law, each with the defect that it found. They are kept for good.

A seed is bound to the trace of its time: after a change of scenario or of node it may walk elsewhere. What is
small enough to be shown directly has a test of its own below.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from headland.simulation.run import run_seed
from headland.simulation.scenario import Scenario, load

SCENARIOS = Path(__file__).parent / "mutants"

SEEDS = {
    3: "a block whose rows begin in a recycled segment and whose seal is in a later one was not spilled",
    9: "a block that waits for another attempt was not spilled with its segment",
    10: "a block that came again, behind younger ones, was not spilled with its segment",
    8: "blocks read for a connection that was gone ended the process",
    16: "a spill that found no space left a hole in its file",
    39: "a checkpoint named blocks in files before their note, and the node could not start again",
    24: "a tombstone inside a run of a file could not be replayed",
    133: "the law took what an operator had sent again for blocks that overtook others",
    184: "the same",
}
OTHERS = {
    (
        "filters",
        6,
    ): "a segment was recycled uncopied: what a crashed recovery left hid its end",
    ("line", 18): "a restored relay took a position for the acknowledgement of what had been answered Later",
    ("line", 54): "the law did not take a tombstone for the answer that it is",
}


@pytest.mark.parametrize("seed", sorted(SEEDS), ids=lambda seed: f"{seed}: {SEEDS[seed][:40]}")
def test_a_seed_that_broke_a_law_holds_it(factory: Scenario, seed: int) -> None:
    outcome = run_seed(factory, seed)
    assert [(one.law, one.story[0]) for one in outcome.violations] == []


@pytest.mark.parametrize(("name", "seed"), sorted(OTHERS), ids=str)
def test_a_seed_of_another_scenario_that_broke_a_law_holds_it(name: str, seed: int) -> None:
    outcome = run_seed(load(SCENARIOS / f"{name}.toml"), seed)
    assert [(one.law, one.story[0]) for one in outcome.violations] == []
