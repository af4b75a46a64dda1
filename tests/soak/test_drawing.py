"""Pictures are XML that says what it shows, and the page names every one of them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from soak.drawing import Curve, Span, drawn, step_of
from soak.page import pictures, write
from tests.soak.test_trends import outcome, samples


@pytest.mark.parametrize(
    ("most", "step"), [(0, 1.0), (1, 0.2), (7, 2.0), (60, 20.0), (100, 20.0), (3.1, 1.0)]
)
def test_steps_are_round_and_reach_the_most_in_five(most: float, step: float) -> None:
    assert step_of(most) == pytest.approx(step)
    assert step_of(most) * 5 >= most


def test_a_picture_is_xml_with_a_title_and_a_path_for_each_curve() -> None:
    curves = [Curve("a<b", "#123456", [0, 1, 2], [1.0, 5.0, 2.0]), Curve("none", "#654321", [], [])]
    root = ET.fromstring(drawn("A & B", "MB", curves, [Span(0.5, 1.0)]))
    space = {"s": "http://www.w3.org/2000/svg"}
    assert root.findtext("s:title", namespaces=space) == "A & B, MB"
    strokes = [path.get("stroke") for path in root.findall("s:path", space)]
    assert strokes.count("#123456") == 1
    assert len(root.findall("s:rect", space)) == 1


def test_the_page_shows_every_picture_and_everything_that_has_to_hold(tmp_path: Path) -> None:
    found = outcome(samples(growth_mb_per_h=6.0))
    write(tmp_path / "soak.md", found)
    text = (tmp_path / "soak.md").read_text()
    for name in pictures(found):
        assert f"](soak/{name}.svg)" in text
        ET.parse(tmp_path / "soak" / f"{name}.svg")
    assert all(f"- {name}: **" in text for name in found.holds)
    assert "- memory flat: **no**" in text
