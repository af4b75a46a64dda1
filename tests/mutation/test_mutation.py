"""Laws of the mutation run: samples that can be drawn again, honest shares, reasons that still hold."""

from __future__ import annotations

import ast

import pytest
from mutation.judging import Figures, Reason, Result, Survivor, figures, place, reasons, survivors
from mutation.page import page
from mutation.rooms import ROOMS, ROOT, module_name, modules
from mutation.sampling import stratified, wilson

MUTANTS = {"a": [f"a{n}" for n in range(100)], "b": [f"b{n}" for n in range(20)], "c": ["c0"], "d": []}


def test_a_sample_has_of_every_module_its_share_and_at_least_one() -> None:
    drawn = stratified(MUTANTS, 24, 1)
    assert [sum(name[0] == module for name in drawn) for module in MUTANTS] == [20, 4, 1, 0]
    assert len(set(drawn)) == len(drawn)


def test_a_seed_draws_the_same_again_and_of_a_module_the_same_whatever_else_there_is() -> None:
    assert stratified(MUTANTS, 24, 1) == stratified(MUTANTS, 24, 1)
    assert stratified(MUTANTS, 24, 1) != stratified(MUTANTS, 24, 2)
    alone = stratified({"a": list(reversed(MUTANTS["a"]))}, 20, 1)
    assert alone == [name for name in stratified(MUTANTS, 24, 1) if name[0] == "a"]


@pytest.mark.parametrize(
    ("killed", "run", "low", "high"),
    # Newcombe 1998, table I, method 3 (score without continuity correction).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilsons(killed: int, run: int, low: float, high: float) -> None:
    assert wilson(killed, run) == pytest.approx((low, high), abs=0.0001)


def test_what_was_not_run_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_mutants_name_tells_its_place() -> None:
    assert place("headland.line.ledger.xǁLedgerǁapply__mutmut_3") == "line.ledger.Ledger.apply"
    assert place("headland.line.ledger.x__add_bounded__mutmut_10") == "line.ledger._add_bounded"
    assert place("headland.link.verdicts.xǁVerdictsǁ__init____mutmut_2") == "link.verdicts.Verdicts.__init__"


def test_survivors_and_untested_mutants_count_as_missed_and_timeouts_as_noticed() -> None:
    judged = {"1": "killed", "2": "survived", "3": "untested", "4": "timeout", "5": "killed"}
    found = figures("room", "module", 9, judged)
    assert found == Figures("room", "module", 9, 5, 2, 1, 1, 1)
    assert found.noticed == 3


def test_a_reason_is_for_the_lines_and_the_function_that_it_names() -> None:
    known = [Reason("m.f", ["return 2"], "because")]
    lines = {"headland.m.x_f__mutmut_1": ["-    return 1", "+    return 2"]}
    assert survivors(lines, known) == [
        Survivor("m.f", "headland.m.x_f__mutmut_1", ["return 1"], ["return 2"], "because")
    ]
    other = {"headland.m.x_g__mutmut_1": ["-    return 1", "+    return 2"]}
    assert [one.why for one in survivors(other, known)] == [""]


def test_the_words_of_an_error_need_no_reason_of_their_own() -> None:
    lines = {"headland.m.x_f__mutmut_1": ['-    raise PeerError("no")', "+    raise PeerError(None)"]}
    (found,) = survivors(lines, [])
    assert found.why


def test_every_reason_speaks_of_a_function_that_is_there() -> None:
    """Kills: a list of excuses that outlives its code."""
    there = set()
    for room in ROOMS:
        for path in modules(room):
            name = module_name(path)
            for node in ast.parse((ROOT / path).read_text()).body:
                if isinstance(node, ast.FunctionDef):
                    there.add(f"{name}.{node.name}")
                if isinstance(node, ast.ClassDef):
                    there |= {
                        f"{name}.{node.name}.{one.name}"
                        for one in node.body
                        if isinstance(one, ast.FunctionDef)
                    }
    assert [one.where for one in reasons() if one.where not in there] == []
    assert all(one.why for one in reasons())


def test_every_room_has_modules_and_its_tests_are_there() -> None:
    assert all(modules(room) for room in ROOMS)
    assert all((ROOT / name).exists() for room in ROOMS.values() for name in room.tests)


def test_the_page_has_a_row_for_every_room_and_module_and_names_every_survivor() -> None:
    rows = [Figures("link", "m.one", 10, 10, 9, 0, 1, 0), Figures("link", "m.two", 90, 10, 8, 1, 0, 1)]
    missed = [Survivor("m.f", "x", ["a | b"], ["a & b"], "it is the same"), Survivor("m.g", "y", ["c"], [])]
    text = page([Result("link", 20, 3, 1.5, rows, missed)], 5)
    assert "| link | `tests/link` | `./dev mutation --room link --sample 20 --seed 3` |" in text
    assert "| link | 100 | 20 | 17 | 1 | 1 | 1 | 90.0% (70% to 97%) |" in text
    assert "| `m.one` | 10 | 10 | 9 | 0 | 1 | 0 | 90% |" in text
    assert "| `m.f` | `a & b` | it is the same |" in text
    assert "| `m.g` | `c` | `(nothing)` |" in text
