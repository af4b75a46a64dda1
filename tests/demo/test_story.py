"""The whole demo, with nodes that lie: whether it finds out, and whether it leaves anything behind."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import psutil
import pytest

from headland.demo.nodes import NodeCommand
from headland.demo.outcome import Judged
from headland.demo.story import Options, play
from headland.demo.view import View
from headland.vocabulary import HeadlandError

HERE = Path(__file__).parent


def run(lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> tuple[Judged, str]:
    monkeypatch.setattr("headland.demo.story.DRAIN_S", 2.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    command = NodeCommand(("fake_node",), {"FAKE_NODE": lie, "PYTHONPATH": str(HERE)})
    stream = io.StringIO()
    chosen = Options(**{"seconds": 5.0, "cut_s": 1.0, "kills": 1, **options})  # type: ignore[arg-type]
    before = {process.pid for process in psutil.process_iter()}
    try:
        judged = asyncio.run(play(chosen, View(stream), command))
    finally:
        left = [one for one in psutil.process_iter() if one.pid not in before and _names(one, str(tmp_path))]
        assert left == []
        assert list(tmp_path.iterdir()) == []
    return judged, stream.getvalue()


def _names(process: psutil.Process, text: str) -> bool:
    try:
        return text in " ".join(process.cmdline())
    except psutil.Error:
        return False


@pytest.mark.slow
def test_with_honest_nodes_everything_is_found_and_a_resend_after_commit_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, said = run("", tmp_path, monkeypatch)
    assert judged.faults == []
    outcome = judged.outcome
    assert outcome.lost == outcome.duplicated == outcome.reordered == 0
    assert outcome.resent_after_commit >= 1
    assert outcome.acked == outcome.kept > 400
    assert "killed device-1" in said
    assert "cut: the wire" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lie", "field"),
    [("forgets", "lost"), ("repeats", "duplicated"), ("swaps", "reordered"), ("alters", "lost")],
)
def test_a_lie_is_found(lie: str, field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged, _ = run(lie, tmp_path, monkeypatch)
    assert getattr(judged.outcome, field) > 0
    assert not judged.good


@pytest.mark.slow
def test_a_node_that_ends_by_itself_ends_the_demo_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HeadlandError, match="ended by itself"):
        run("dies", tmp_path, monkeypatch)
