"""The plug-in against the duties of every source."""

from __future__ import annotations

from pathlib import Path

from headland_file_value import FILE_VALUE

from headland.sources.duties import check_duties


def test_it_meets_the_duties_of_a_source(tmp_path: Path) -> None:
    """Readings come, and every duty is met."""
    (tmp_path / "level").write_text("21500\n")
    settings = {"path": "level", "series": "tank/level", "every_s": 1.0, "factor": 0.001}
    assert check_duties(FILE_VALUE, settings, str(tmp_path)) > 0
