from __future__ import annotations

from pathlib import Path

import pytest

from headland.demo.acklog import LoggedReading
from headland.demo.evidence import DeadBand, DropWhen, SeriesRules, Summary, expected
from headland.demo.expectation import rules_of
from headland.vocabulary import ConfigurationError


def rules(tmp_path: Path, text: str) -> list[SeriesRules]:
    file = tmp_path / "node.toml"
    file.write_text(text)
    return rules_of(file, "demo/device-1")


def test_a_file_without_rules_has_the_published_dead_band(tmp_path: Path) -> None:
    found = expected(rules(tmp_path, '[node]\nname = "a"\n'), "demo/device-1", "any/series")
    assert found.dead_bands == [DeadBand(0.05, 0.0)]


def test_rules_of_one_node_say_nothing_about_another(tmp_path: Path) -> None:
    found = expected(rules(tmp_path, ""), "demo/device-2", "any/series")
    assert found.dead_bands == []


@pytest.mark.parametrize(
    ("filters", "made"),
    [
        ('{ kind = "keep" }', SeriesRules("a/*", "demo/device-1")),
        (
            '{ kind = "deadband", ratio = 0.1, floor = 2, heartbeat_s = 5 }',
            SeriesRules("a/*", "demo/device-1", dead_band=DeadBand(0.1, 2, 5)),
        ),
        (
            '{ kind = "deadband", absolute = 0.5 }',
            SeriesRules("a/*", "demo/device-1", dead_band=DeadBand(0.0, 0.5)),
        ),
        (
            '{ kind = "summary", window_s = 5 }',
            SeriesRules("a/*", "demo/device-1", summary=Summary("r")),
        ),
        (
            '{ kind = "drop", below = 1, above = 9, equal = ["x"] }',
            SeriesRules(
                "a/*",
                "demo/device-1",
                drops=[
                    DropWhen("value", "==", "x"),
                    DropWhen("value", "<", 1),
                    DropWhen("value", ">", 9),
                ],
            ),
        ),
        (
            '{ kind = "boost", above = 9, inner = { kind = "deadband", ratio = 0.1 } }',
            SeriesRules("a/*", "demo/device-1", dead_band=DeadBand(0.1, 0), deferred=True),
        ),
        ('{ kind = "drop" }', SeriesRules("a/*", "demo/device-1", drops=[DropWhen("any")])),
    ],
)
def test_each_filter_is_understood(tmp_path: Path, filters: str, made: SeriesRules) -> None:
    assert rules(tmp_path, f'[[series]]\nname = "r"\nmatch = "a/*"\nfilter = {filters}\n')[0] == made


def test_severity_drops_what_is_less_severe(tmp_path: Path) -> None:
    rule = rules(tmp_path, '[[series]]\nname = "r"\nfilter = { kind = "severity" }\n')[0]
    kept = [
        level for level in range(8) if not rule.drops[0].holds(LoggedReading("s", "text", severity=level))
    ]
    assert kept == [0, 1, 2, 3, 4]


def test_volatile_and_not_final_are_taken_over(tmp_path: Path) -> None:
    text = '[[series]]\nname = "r"\ndurability = "volatile"\nfinal = false\nfilter = { kind = "keep" }\n'
    rule = rules(tmp_path, text)[0]
    assert (rule.volatile, rule.final) == (True, False)


@pytest.mark.parametrize(
    "text",
    [
        '[[series]]\nname = "r"\nfilter = { kind = "magic" }\n',
        '[[series]]\nname = "r"\nlabels = { room = "*" }\n',
        '[[series]]\nname = "r"\nfilter = { kind = "severity", at_least = "loud" }\n',
    ],
)
def test_what_cannot_be_judged_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError):
        rules(tmp_path, text)
