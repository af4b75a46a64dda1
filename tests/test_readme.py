"""The first screen is true: commands, output, rooms, limits."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headland.cli.demo import command
from headland.demo.outcome import DecisionTimes, Judged, Outcome, tell
from headland.demo.site import NODES
from headland.demo.view import NodeView, Picture
from headland.journal import SectionType

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = re.search(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def console() -> list[str]:
    assert CONSOLE is not None
    return CONSOLE[1].splitlines()


def number(pattern: str) -> float:
    """The figure that the README shows at a place of the output."""
    found = re.search(pattern, "\n".join(console()))
    assert found is not None, pattern
    return float(found[1].replace(",", ""))


def test_the_readme_is_one_screen() -> None:
    assert len(README.splitlines()) <= 70


def test_the_first_command_is_one_that_the_demo_takes() -> None:
    words = console()[0].split("#")[0].split()
    assert words[:3] == ["$", "./dev", "demo"]
    context = command.make_context("demo", words[3:])
    assert {"seconds": 60.0, "cut_s": 20.0, "kills": 2}.items() <= context.params.items()


def test_the_output_is_what_the_demo_prints_for_these_figures() -> None:
    lines = console()
    said = lines[lines.index("...") + 1 : next(i for i, line in enumerate(lines) if "./dev test" in line)]
    north, share = number(r"north ([\d.]+) kB"), number(r"saved ([\d.]+)%")
    outcome = Outcome(
        offered=int(number(r"offered ([\d,]+) readings")),
        acked=int(number(r"acknowledged ([\d,]+):")),
        kept=int(number(r"([\d,]+) arrived")),
        folded=int(number(r"([\d,]+) were counted")),
        dropped=int(number(r"([\d,]+) left out")),
        arrived=0,
        lost=int(number(r"lost (\d+)")),
        duplicated=int(number(r"duplicated (\d+)")),
        reordered=int(number(r"reordered (\d+)")),
        resent_after_commit=int(number(r"(\d+) were sent again")),
        bytes_offered=int(number(r"offered ([\d.]+) MB") * 1e6),
        bytes_north=int(north * 1000),
        reduction=share / 100,
        balanced=True,
        decision_ms=DecisionTimes(0, 0, 0, 0, 0),
        first_arrival_s=number(r"first arrival ([\d.]+) s"),
        drain_s=number(r"drained ([\d.]+) s"),
    )
    nodes = [NodeView(name=one.name, tier=one.tier, parent=one.parent, balanced=True) for one in NODES]
    told = tell(Judged(outcome, [], []), Picture(nodes=nodes))
    assert said == told.strip("\n").splitlines()
    assert outcome.kept + outcome.folded + outcome.dropped == outcome.acked


def test_the_second_command_is_shown_with_the_end_of_a_run_in_which_all_passed() -> None:
    lines = console()
    shown = lines[next(i for i, line in enumerate(lines) if line.startswith("$ ./dev test")) + 1 :]
    assert shown[0] == "..."
    assert re.fullmatch(r"TOTAL( +\d+){4} +\d+%", shown[4])
    for line in shown[1:4]:
        assert re.fullmatch(r"(=+ )?\d+ passed(, \d+ skipped)? in [\d.]+s( \([\d:]+\))?( =+)?", line), line


@pytest.mark.slow
def test_a_shorter_demo_is_good() -> None:
    arguments = ["demo", "--seconds", "10", "--cut", "3", "--kill", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "headland", *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    outcome = json.loads(done.stdout)
    assert outcome.keys() == set(Outcome.__struct_fields__)
    assert (outcome["lost"], outcome["duplicated"], outcome["reordered"]) == (0, 0, 0)
    assert outcome["balanced"] is True


def test_every_room_that_the_table_names_exists_and_none_is_promised_that_does() -> None:
    table = [line for line in README.splitlines() if line.startswith("| ")]
    named = {name for line in table for name in re.findall(r"`([\w/.]+)`", line)}
    assert named
    for name in named:
        assert (ROOT / "src" / "headland" / name).exists(), name
    (later,) = [line for line in table if line.startswith("| comes next")]
    for room in ("models", "placement", "fleet", "workers", "video", "realtime", "planner"):
        assert not (ROOT / "src" / "headland" / room).exists(), (
            f"{room} is there now: move it in the table: {later}"
        )


def test_every_command_that_the_documents_use_exists() -> None:
    from headland.cli import COMMANDS

    for page in (ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"(?:^\$ |`)headland ([a-z]+)", text, re.MULTILINE):
            assert name in COMMANDS, f"{page.name}: headland {name}"


def test_the_architecture_names_every_section_and_only_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for section in SectionType:
        assert section.name in text
    for name in set(re.findall(r"\b((?:[a-z_]+/)+[a-z_]+\.py)\b", text)):
        places = (ROOT / "src" / "headland" / name, ROOT / name)
        assert any(place.is_file() for place in places), name
