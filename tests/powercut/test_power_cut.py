"""Five hundred crash states of three composed nodes hold every law; planted defects are found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from powercut.calls import Call, recording
from powercut.choosing import choices
from powercut.judging import on_disk
from powercut.medium import Medium
from powercut.plants import PLANTS
from powercut.running import Options, run

from headland.drivers.disk import RealDisk, owner_of


@pytest.mark.timeout(300)
def test_five_hundred_states_that_a_power_cut_may_leave_hold_every_law() -> None:
    outcome = run(Options())
    assert outcome.faults == []
    assert outcome.states == 500
    assert outcome.real >= 50
    assert outcome.how.keys() == {"lost", "kept", "reordered", "torn", "drawn"}
    for what in (
        "commits",
        "checkpoints",
        "spills",
        "files_given_back",
        "segments_recycled",
        "segments_removed",
        "process_died",
        "power_lost",
    ):
        assert outcome.run.get(what, 0) > 0, what


def test_the_same_seed_finds_the_same() -> None:
    options = Options(states=12, seed=3, duration_s=2.0)
    assert run(options) == run(options)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("plant", PLANTS)
def test_the_harness_fails_on_a_planted_defect(plant: str) -> None:
    """Each is an fsync that is missing or comes too late, in the driver or in a plan."""
    assert run(Options(states=200, duration_s=5.0, plant=plant, faults_max=1)).faults


def test_a_first_start_that_is_cut_short_does_not_keep_the_next_from_starting(tmp_path: Path) -> None:
    """Kills: writing `format` and `owner` in place.

    Their length may be there without their bytes: zeros, which named a format and an owner that nobody has.
    """
    made: list[Call] = []
    with recording(tmp_path / "first", made.append):
        RealDisk(tmp_path / "first" / "data", "site/node").close()
    medium, seen = Medium(), 0
    for call in made:
        medium.take(call)
        for _, kept in choices(medium.pending(), random.Random(1), 2):
            folder = tmp_path / f"state-{seen}"
            disk = RealDisk(on_disk(medium.after(kept), folder), "site/node")
            assert owner_of(folder / "data") == "site/node"
            disk.close()
            seen += 1
    assert seen > 50
