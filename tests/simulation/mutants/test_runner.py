"""The runner itself: a mutant lives only inside; what breaks the product is caught, the rest survives."""

from __future__ import annotations

import pytest
from tests.simulation.mutants.runner import Mutant, applied, caught

from headland.node.committing import Committing
from headland.simulation.scenario import Scenario

FORGETS_SYNC = Mutant(
    "a commit is not synced",
    "headland.journal.commit",
    "Journal.append",
    lambda original: lambda self, *arguments: _without_sync(original(self, *arguments)),
    seeds=range(1, 4),
)
HARMLESS = Mutant(
    "nothing",
    "headland.node.committing",
    "Committing.wait",
    lambda original: lambda self, needs_n, what: original(self, needs_n, what),
    seeds=range(5, 6),
)


def _without_sync(appended: object) -> object:
    import msgspec

    from headland.journal import Appended
    from headland.journal.plan import Sync

    assert isinstance(appended, Appended)
    return msgspec.structs.replace(appended, plan=[op for op in appended.plan if not isinstance(op, Sync)])


def test_a_mutant_lives_only_inside() -> None:
    original = Committing.wait
    with applied(HARMLESS):
        assert Committing.wait is not original
    assert Committing.wait is original


@pytest.mark.parametrize("mutant", [FORGETS_SYNC], ids=lambda mutant: mutant.name)
def test_the_simulator_catches(mutant: Mutant, factory: Scenario) -> None:
    assert caught(mutant, factory) is not None


def test_what_changes_nothing_survives(short: Scenario) -> None:
    assert caught(HARMLESS, short) is None
