"""Every decoder keeps its law on the committed corpus and on a second's worth of mutants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from fuzz.mutating import mutated
from fuzz.registry import CORPUS, NAMES, ROOT, corpus, target
from fuzz.seeded import keep, run
from fuzz.target import Script, Target, chunk, cuts, hold
from tests.test_compiled import compiled_modules

CORPUS_BYTES_MAX = 500_000
SEED = 1


@pytest.mark.parametrize("name", NAMES)
def test_every_decoder_keeps_its_law_on_its_corpus_and_its_mutants(name: str) -> None:
    one = target(name)
    inputs = list(corpus(name).values())
    outcome = run(one, inputs, SEED, one.rounds)
    assert outcome.findings == [], "\n\n".join(found.story for found in outcome.findings)
    assert outcome.runs == len(inputs) + one.rounds


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if target(name).compiled])
def test_the_plain_and_the_compiled_build_say_the_same_byte_for_byte(name: str) -> None:
    if not compiled_modules():
        pytest.skip("nothing is compiled here: no C compiler, it failed, or ./dev has not run since an edit")
    outcomes = []
    for pure in ("1", ""):
        environment = {key: value for key, value in os.environ.items() if key != "HEADLAND_PURE"}
        if pure:
            environment["HEADLAND_PURE"] = pure
        proof = f"import headland.mqtt.broker as b; assert b.__file__.endswith({'.py' if pure else '.so'!r})"
        subprocess.run([sys.executable, "-c", proof], cwd=ROOT, env=environment, timeout=60, check=True)
        command = [sys.executable, "-m", "fuzz.seeded", name, "--seed", str(SEED)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, timeout=100, check=False
        )
        outcomes.append(json.loads(done.stdout))
    plain, compiled = outcomes
    assert plain["findings"] == compiled["findings"] == []
    assert (plain["runs"], plain["digest"]) == (compiled["runs"], compiled["digest"])


def test_the_corpus_is_small_and_has_every_target_and_no_other() -> None:
    assert sorted(path.name for path in CORPUS.iterdir()) == sorted(NAMES)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*")) < CORPUS_BYTES_MAX
    for name in NAMES:
        assert {title.partition("-")[0] for title in corpus(name)} <= {"seed", "found"}


@pytest.mark.parametrize("name", NAMES)
def test_seeds_are_what_our_encoders_make_and_say_something(name: str) -> None:
    one = target(name)
    seeds = one.seeds()
    transcripts = {one.check(data) for data in seeds.values()}
    assert len(transcripts) > len(seeds) // 6
    assert all(len(data) <= 4 * one.input_bytes_max for data in seeds.values())


def planted(data: bytes) -> bytes:
    """A decoder that reads a length and believes it."""
    hold(len(data) < 2 or data[0] != 0xFF or data[1] <= len(data), "believed")
    return data


def test_a_planted_defect_is_found_and_kept(tmp_path: Path) -> None:
    one = Target("planted", "", planted, dict)
    outcome = run(one, [b"\x02ab"], SEED, 20_000)
    assert outcome.findings
    (path, *_) = keep(outcome, tmp_path)
    assert (tmp_path / f"{path}.txt").read_text().endswith("believed\n")


def test_equal_seeds_give_equal_mutants_and_others_give_others() -> None:
    first, same, other = (list(islice(mutated([b"abc", b""], [b"w"], seed, 8), 50)) for seed in (1, 1, 2))
    assert first == same != other
    assert all(len(data) <= 8 for data in first)


def test_a_stream_in_pieces_is_the_stream() -> None:
    data = bytes(range(256)) * 3
    assert all(b"".join(cuts(data, how)) == data for how in range(256))
    script = Script(chunk(b"a") + chunk(b"bc") + b"\x00\x09d")
    assert script.chunks() == [b"a", b"bc", b"d"]
    assert (script.byte(), script.left <= 0) == (0, True)
