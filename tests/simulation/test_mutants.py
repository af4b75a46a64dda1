"""The simulator is tested by errors: each mutant has to break a law at the seeds that are written beside it.

The mutants were written from the delivery contract by someone who had not read the laws. `python -m
tests.simulation.mutants.catch` looks for seeds; the product itself has to pass every seed that is used here.
"""

from __future__ import annotations

import os

import pytest
from tests.simulation.mutants.catch import MUTANTS, broken, caught, product_passes
from tests.simulation.mutants.patching import Mutant, Patch, planted

CAUGHT = [one for one in MUTANTS if one.seeds]
SEEDS = sorted({(one.scenario, seed) for one in CAUGHT for seed in one.seeds})


def test_there_are_more_than_twenty_mutants_and_every_room_of_the_contract_has_some() -> None:
    assert len(CAUGHT) > 20
    assert {one.room for one in CAUGHT} == {"journal", "node", "outbox", "link", "ingest"}
    assert len({one.name for one in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_a_mutant_replaces_something_and_leaves_nothing_behind(mutant: Mutant) -> None:
    with planted(mutant) as patch:
        undo = list(patch._undo)
        assert undo, "it changes nothing"
        first = {(id(owner), name): before for owner, name, before in reversed(undo)}
        for owner, name, _ in undo:
            assert vars(owner)[name] is not first[id(owner), name]
    for owner, name, _ in undo:
        assert vars(owner)[name] is first[id(owner), name]


def test_what_is_planted_is_taken_out_after_an_error() -> None:
    def plant(patch: Patch) -> None:
        patch.put(os, "sep", "|")

    before = os.sep
    with pytest.raises(KeyError), planted(Mutant("name", "room", "rule", plant)):
        raise KeyError
    assert os.sep == before


@pytest.mark.parametrize("mutant", CAUGHT, ids=lambda one: one.name)
def test_the_simulator_catches_the_mutant(mutant: Mutant) -> None:
    assert caught(mutant, range(1, 13)) is not None, f"{mutant.rule}: no law was broken"


@pytest.mark.parametrize(("scenario", "seed"), SEEDS)
def test_the_product_passes_every_seed_that_catches_a_mutant(scenario: str, seed: int) -> None:
    assert product_passes(scenario, seed), broken(None, scenario, seed)
