"""The factory, and a smaller scenario for tests that run many seeds."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from headland.simulation.scenario import Scenario, load

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def factory() -> Scenario:
    """As shipped."""
    return load(EXAMPLES / "factory")


@pytest.fixture(scope="session")
def short(factory: Scenario) -> Scenario:
    """The factory for five seconds."""
    return msgspec.structs.replace(factory, duration_s=5.0)
