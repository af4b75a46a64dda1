from __future__ import annotations

import json

import msgspec
import pytest
from benches import __main__ as bench
from benches import registry
from benches.registry import BARS, GROUPS, Context, Row, group, groups_of, row


def test_every_row_of_the_contract_is_answered_by_exactly_one_group() -> None:
    answered = [name for one in GROUPS for name in group(one).ROWS]
    assert sorted(answered) == sorted(BARS)


def test_rows_groups_and_all_can_be_asked_for_and_nothing_else() -> None:
    assert groups_of(["all"]) == list(GROUPS)
    assert groups_of(["idle_pss_mb", "ingest"]) == ["ingest", "idle"]
    with pytest.raises(LookupError):
        groups_of(["speed"])


@pytest.mark.parametrize(
    ("name", "value", "holds"),
    [
        ("ingest_window20_vs_mosquitto", 3.0, True),
        ("ingest_window20_vs_mosquitto", 2.999, False),
        ("write_amplification_1000", 1.1, True),
        ("idle_cpu_share", 0.005, False),
        ("idle_cpu_share", 0.0049, True),
        ("restart_2gb_s", None, False),
    ],
)
def test_a_figure_is_held_against_its_bar(name: str, value: float | None, holds: bool) -> None:
    assert row(name, value, "", "").holds is holds


def test_the_printed_object_has_the_shape_of_the_contract(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Idle:
        ROWS = ("idle_cpu_share", "idle_pss_mb")

        @staticmethod
        def measure(context: Context) -> list[Row]:
            return [row("idle_cpu_share", 0.001, "share", "watched"), row("idle_pss_mb", 50.0, "MB", "read")]

    monkeypatch.setattr(bench, "group", lambda name: Idle)
    monkeypatch.setattr(registry, "group", lambda name: Idle)
    assert bench.main(["idle", "--json"]) == 1
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    found = json.loads(out)
    assert list(found) == ["rows", "machine"]
    assert list(found["rows"][0]) == ["name", "value", "unit", "bar", "holds", "how"]
    assert [one["holds"] for one in found["rows"]] == [True, False]
    assert found["machine"]["cores"] >= 1


def test_a_group_that_fails_gives_rows_that_do_not_hold_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        ROWS = ("idle_cpu_share", "idle_pss_mb")

        @staticmethod
        def measure(context: Context) -> list[Row]:
            raise RuntimeError("no such machine")

    monkeypatch.setattr(bench, "group", lambda name: Broken)
    assert bench.main(["idle", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["value"] for one in found["rows"]] == [None, None]
    assert "no such machine" in found["rows"][0]["how"]


def test_rows_can_be_serialised() -> None:
    assert msgspec.json.decode(msgspec.json.encode(row("restart_2gb_s", 1.5, "s", "x")))["bar"] == "< 2"
