"""The workshop: every kind of client and peer does its worst, and every law holds."""

from __future__ import annotations

import pytest
from tests.simulation.conftest import EXAMPLES
from tests.simulation.coverage import ROOMS, SOURCE, counted

from headland.simulation.many import run_many
from headland.simulation.scenario import Scenario, load
from headland.simulation.voices import Voice

SEEDS = (1, 2, 3, 5)


@pytest.fixture(scope="module")
def workshop() -> Scenario:
    return load(EXAMPLES / "workshop")


def test_every_law_holds_among_liars_strangers_and_rot(workshop: Scenario) -> None:
    result = run_many(workshop, SEEDS, processes=2)
    broken = [(one.seed, one.law, one.story[0]) for one in result.violations]
    assert not broken
    for what in (
        "attempt_spent",
        "confused",
        "later_requeued",
        "stranger",
        "worn_checkpoint",
        "worn_outbox",
    ):
        assert result.hits.get(what, 0) > 0, what


def test_every_voice_is_heard_somewhere(workshop: Scenario) -> None:
    assert {device.voice for device in workshop.device} == set(Voice)


def test_what_is_counted_of_the_node_is_what_its_core_imports_and_not_its_rim() -> None:
    core = {file.stem for file in counted("node")}
    assert {"core", "opening", "north", "south", "shelving", "committing", "budget"} <= core
    assert not core & {"loop", "server", "http_api", "notify"}
    for room in set(ROOMS) - {"node"}:
        assert counted(room) == sorted((SOURCE / room).rglob("*.py"))
