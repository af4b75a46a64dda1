"""Twenty seeds of the factory hold every law; what a run has to hit, it hits."""

from __future__ import annotations

import pytest

from headland.simulation.many import report, run_many
from headland.simulation.run import run_seed
from headland.simulation.scenario import Scenario


@pytest.mark.timeout(900)
def test_every_law_holds_over_the_first_seeds(factory: Scenario) -> None:
    result = run_many(factory, range(1, 21), processes=2)
    broken = [(one.seed, one.law, one.story[0]) for one in result.violations]
    assert not broken
    assert result.seeds_run == 20
    for what in (
        "crash_with_unacked_frames",
        "last_frame_from_page_cache",
        "seal_unsent",
        "later_requeued",
        "ttl_in_flight",
        "restored_node",
        "restored_parent",
        "new_parent",
        "clone",
        "spill_interrupted",
        "disk_full",
        "epoch_change",
        "reconfigured_with_held_readings",
    ):
        assert result.hits.get(what, 0) > 0, what


def test_a_report_adds_up_its_runs_whatever_their_order(short: Scenario) -> None:
    runs = [run_seed(short, seed) for seed in (3, 4)]
    assert report(runs) == report(runs[::-1])
    assert report(runs).steps == sum(run.steps for run in runs)
