"""The guide is run as it is written, and what it shows of the file is a configuration."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

from headland.config.loading import build
from headland.sources.registry import kinds

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "guide"
BLOCK = re.compile(r"(?:^<!-- (append|file): (\S+) -->\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def script_of(page: str) -> str:
    """The page as one shell script: its commands in order, its files where it says so."""
    lines = ["set -e"]
    for what, path, language, text in BLOCK.findall(page):
        if what:
            lines += [f"cat {'>>' if what == 'append' else '>'} {path} <<'BLOCK'", text.rstrip("\n"), "BLOCK"]
        elif language == "console":
            lines += [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    return "\n".join(lines) + "\n"


def shown(page: str) -> list[str]:
    """Lines of output that the page shows."""
    blocks = (text for _, _, language, text in BLOCK.findall(page) if language == "console")
    return [line for text in blocks for line in text.splitlines() if not line.startswith("$ ")]


def rows_at(port: int, count: int) -> list[dict[str, object]]:
    """Rows of the root, once there are so many; what there is after 20 s otherwise."""
    rows: list[dict[str, object]] = []
    deadline = time.monotonic() + 20
    while len(rows) < count and time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/query", timeout=5) as answer:
            rows = [row for row in json.load(answer)["rows"] if row["name"] != "headland/rules"]
        time.sleep(0.05)
    return rows


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl, which is not installed here")
def test_the_first_plant_grows_as_it_is_written(tmp_path: Path) -> None:
    page = (GUIDE / "first-plant.md").read_text(encoding="utf-8")
    written = sorted(set(re.findall(r"\b18\d{3}\b", page)))
    ports = dict(zip(written, free_ports(len(written)), strict=True))
    page = re.sub(r"\b18\d{3}\b", lambda found: str(ports[found[0]]), page)
    command = tmp_path / "bin" / "headland"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m headland "$@"\n')
    command.chmod(0o755)
    (command.parent / "python").symlink_to(sys.executable)
    environment = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with (tmp_path / "out").open("wb") as out:
        shell = subprocess.Popen(
            ["bash", "-c", script_of(page)],
            cwd=tmp_path,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(timeout=60)
            text = (tmp_path / "out").read_text(encoding="utf-8")
            assert code == 0, text
            for line in shown(page):
                assert line in text
            rows = rows_at(ports["18481"], 4)
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    assert all(row["labels"] == {"site": "site"} for row in rows)
    readings = [(row["name"], row["value"]) for row in rows if row["kind"] == 0]
    assert sorted(readings, key=str) == [
        ("plant/press-7/pressure", 4.2),
        ("plant/press-7/temperature", 21.5),
        ("plant/press-7/temperature", 85.0),
    ]
    assert len(rows) == 4, "the event of the rule did not arrive"


@pytest.mark.parametrize("page", sorted(GUIDE.glob("*.md")), ids=lambda path: path.stem)
def test_what_a_page_shows_of_the_file_is_a_configuration(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples" / "filters")
    configs = {kind: one.config for kind, one in kinds().items()}
    monkeypatch.syspath_prepend(ROOT / "examples" / "plugin_source" / "src")
    module = importlib.import_module("headland_file_value")
    configs["file_value"] = module.FILE_VALUE.config
    blocks = [text for _, _, kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == "toml"]
    assert blocks
    for text in blocks:
        build({"node": {"name": "n"}, **tomllib.loads(text)}, configs)


@pytest.mark.parametrize(
    "page",
    [
        ROOT / name
        for name in (
            "README.md",
            "ARCHITECTURE.md",
            "CONTRIBUTING.md",
            "docs/README.md",
            "packaging/README.md",
        )
    ]
    + sorted(GUIDE.glob("*.md")),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_links_of_the_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_index_names_every_document() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs").rglob("*.*"):
        name = path.relative_to(ROOT / "docs").as_posix()
        picture = path.suffix == ".svg"  # of the page beside it
        if name != "README.md" and not name.startswith("decisions/") and not picture:
            assert f"({name})" in index, name


def test_the_list_of_decisions_names_every_decision_by_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    for path in sorted(folder.glob("[0-9]*.md"))[1:]:
        title = path.read_text(encoding="utf-8").splitlines()[0].partition(": ")[2]
        assert f"| [{path.name[:4]}]({path.name}) | {title} |" in listed, path.name
