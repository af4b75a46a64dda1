"""Every source against the same duties, and a source of another package."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headland.sources.contract import Intake, SeriesList, SourceBatch, SourceContext
from headland.sources.duties import check_duties
from headland.sources.registry import BUILT_IN, built_in, kinds, make_source
from headland.vocabulary import ConfigurationError, Instant, SeriesKey, SeriesTable

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin_source"
START = Instant(1, 1)


def log(directory: Path) -> dict[str, Any]:
    (directory / "a.log").write_text("".join(f"line {i}\n" for i in range(120)))
    return {"paths": ["*.log"], "begin": "start", "flush_s": 0.0}


def table(directory: Path) -> dict[str, Any]:
    (directory / "a.csv").write_text("t,x,y\n" + "".join(f"{i / 20},{i},{i}.5\n" for i in range(200)))
    return {"path": "a.csv", "speed": 1.0}


SETTINGS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "host": lambda _: {"every_s": 2.0},
    "logs": log,
    "model": lambda _: {"vibration_hz": 32.0},
    "replay": table,
}


@pytest.mark.parametrize("declaration", built_in(), ids=lambda d: d.kind)
def test_every_built_in_source_meets_the_duties(declaration: Any, tmp_path: Path) -> None:
    settings = SETTINGS[declaration.kind](tmp_path)
    assert check_duties(declaration, settings, str(tmp_path), repeatable=declaration.kind != "host") > 0


def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make the example visible like an installed package: its modules and its entry points."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    info = tmp_path / "headland_file_value-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
    points = project["entry-points"]["headland.sources"]
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[headland.sources]\n{lines}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(PLUGIN / "src"))


def test_a_source_of_another_package_is_found_and_meets_the_duties(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path)
    found = kinds()
    assert set(found) == {*BUILT_IN, "file_value"}
    (tmp_path / "level").write_text("21.5\n")
    settings = {"path": "level", "series": "tank/level", "every_s": 1.0}
    assert check_duties(found["file_value"], settings, str(tmp_path)) > 0


def test_a_package_that_declares_a_kind_of_ours_is_refused_where_packages_are_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Kills: a node that no kind of another package concerns, and does not start because of it."""
    info = tmp_path / "thief-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thief\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[headland.sources]\nlogs = headland.sources.logs:LOGS\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = kinds()
    assert found["logs"].kind == "logs"
    for look in (list, len, lambda all_: "other" in all_):
        with pytest.raises(ConfigurationError, match="declared twice"):
            look(found)  # type: ignore[operator]


def test_an_unknown_kind_or_key_is_refused_with_a_hint() -> None:
    context = SourceContext("s", random.Random(1), START)
    with pytest.raises(ConfigurationError, match="unknown kind") as caught:
        make_source({"kind": "hots"}, context)
    assert "host" in caught.value.hint
    with pytest.raises(ConfigurationError, match="every_x"):
        make_source({"kind": "host", "every_x": 1}, context)
    with pytest.raises(ConfigurationError, match=r"every_s"):
        make_source({"kind": "host", "every_s": "often"}, context)


def test_readings_of_a_source_are_numbered_once_and_get_the_nodes_labels() -> None:
    names, numbers = SeriesList(), SeriesTable((("site", "north"),))
    intake = Intake(numbers)
    batch = SourceBatch(names.all)
    batch.add(names.row(SeriesKey("a", (("core", "0"),))), 1, 2.5, 8)
    batch.add(names.row(SeriesKey("b")), 1, 3.5, 8)
    line = intake.batch(batch)
    assert line.sid == [1, 2]
    assert line.message_ends == [2]
    assert numbers.key(1) == SeriesKey("a", (("core", "0"), ("site", "north")))
    again = SourceBatch(names.all)
    again.add(1, 2, 4.5, 8)
    assert intake.batch(again).sid == [2]


def test_a_series_label_of_its_own_counts_more_than_the_nodes() -> None:
    """Kills: the node's label laid over the reading's, one series numbered twice."""
    table = SeriesTable((("site", "north"), ("tenant", "acme")))
    assert table.intern(SeriesKey("a", (("site", "south"),))) == 1
    assert table.key(1) == SeriesKey("a", (("site", "south"), ("tenant", "acme")))
    assert table.intern(SeriesKey("a")) == 2
    assert table.intern(SeriesKey("a", (("site", "north"), ("tenant", "acme")))) == 2
    assert table.find(SeriesKey("a")) == 2
    again = SeriesTable()
    again.restore(table.all())
    assert again.all() == table.all()


def test_series_that_cannot_be_numbered_are_counted() -> None:
    class Full(SeriesTable):
        def intern(self, key: SeriesKey) -> int:
            return 0 if key.name == "b" else super().intern(key)

    names = SeriesList()
    intake = Intake(Full())
    batch = SourceBatch(names.all)
    batch.add(names.row(SeriesKey("a")), 1, 2.5, 8)
    batch.add(names.row(SeriesKey("b")), 1, 3.5, 8)
    line = intake.batch(batch)
    assert (line.sid, line.value, line.message_ends, intake.unnumbered) == ([1], [2.5], [1], 1)
