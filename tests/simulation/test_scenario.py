"""A scenario is read like any configuration: what is wrong with it is said, with its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from headland.cli.group import main
from headland.simulation.faults import Fault, FaultMix, Often, plan
from headland.simulation.scenario import Scenario, load
from headland.vocabulary import ConfigurationError

SMALL = """
duration_s = 1.0
[[node]]
name = "s/cloud"
[[node]]
name = "s/local"
parent = "s/cloud"
[[device]]
name = "d"
node = "s/local"
"""


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("s/cloud", "s/local"), "two nodes have one name"),
        (('parent = "s/cloud"', 'parent = "s/nobody"'), "no node is named 's/nobody'"),
        (('parent = "s/cloud"', ""), "exactly one node has no parent"),
        (('node = "s/local"', 'node = "s/nobody"'), "no node is named 's/nobody'"),
        (("duration_s", "durations"), "unknown field `durations`"),
    ],
)
def test_a_wrong_scenario_is_refused_and_says_why(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(SMALL.replace(*change))
    with pytest.raises(ConfigurationError, match=complaint):
        load(tmp_path)
    assert CliRunner().invoke(main, ["simulate", str(file), "--json"]).exit_code == 2


def test_every_fault_has_its_frequency_and_the_plan_follows_from_the_seed() -> None:
    mix = FaultMix(**{fault.value: Often(1.0, 1) for fault in Fault})
    planned = plan(mix, 1, 10**9)
    assert {one.fault for one in planned} == set(Fault)
    assert planned == plan(mix, 1, 10**9)
    assert planned != plan(mix, 2, 10**9)
    assert not plan(FaultMix(**{fault.value: Often(0.0, 1) for fault in Fault}), 1, 10**9)


def test_series_are_judged_by_the_weakest_word_of_all_configurations(factory: Scenario) -> None:
    line1, line2 = factory.spec("works/line1"), factory.spec("works/line2")
    assert line1.treatment("press1/s0").kind == "keep"
    assert line1.treatment("oven/s1").kind == "window"
    assert (line2.treatment("valve/s0").kind, line2.treatment("valve/s0").bound) == ("band", 3.0)
    assert (line2.treatment("spindle/s0").kind, line2.treatment("spindle/s0").bound) == ("band", 4.0)


def test_the_command_prints_one_object_and_says_by_its_exit_code_whether_the_laws_held(
    tmp_path: Path,
) -> None:
    (tmp_path / "scenario.toml").write_text(SMALL)
    done = CliRunner().invoke(
        main, ["simulate", str(tmp_path), "--seeds", "1..2", "--processes", "1", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert '"seeds_run":2' in done.stdout
    assert '"violations":[]' in done.stdout
    assert CliRunner().invoke(main, ["simulate", str(tmp_path), "--seeds", "2..1"]).exit_code == 2
