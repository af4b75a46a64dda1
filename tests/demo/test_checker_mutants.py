"""Each judgement of the checker is broken once, and the planted defects have to notice."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import sys
from types import ModuleType

import pytest
from tests.demo import test_checker

from headland.demo import checker, evidence, recount

MUTANTS: list[tuple[ModuleType, str, str]] = [
    (
        checker,
        "if chosen is not None:\n            chosen.row = row",
        "if candidates:\n            chosen = candidates[0]\n            chosen.row = row",
    ),
    (checker, "candidates.remove(chosen)", "pass"),
    (checker, "alike[0] if alike else None", "None"),
    (
        checker,
        "next((candidate for candidate in alike if candidate.acked), alike[0] if alike else None)",
        "alike[-1] if alike else None",
    ),
    (checker, "            report.duplicated += 1\n", "            report.duplicated += 0\n"),
    (checker, "report.altered += 1", "report.altered += 0"),
    (checker, "        elif reading.altered:\n            verdict = Verdict.LOST\n", ""),
    (checker, "if not reading.acked:", "if False:"),
    (checker, "elif rule.volatile:", "elif True:"),
    (checker, "elif index in in_windows:", "elif in_windows:"),
    (checker, "holds and all(hold.excuse(reading) for hold in holds)", "holds"),
    (checker, "any(drop.holds(reading.logged) for drop in rule.drops)", "rule.drops"),
    (checker, " and not reading.row.late", ""),
    (checker, "if references[middle][0] <= place", "if references[middle][0] > place"),
    (checker, "low = middle + 1", "low = high"),
    (checker, "max(self._band.ratio * abs(found[1]), self._band.floor)", "self._band.ratio * abs(found[1])"),
    (checker, "max(self._band.ratio * abs(found[1]), self._band.floor)", "self._band.floor"),
    (
        checker,
        "max(self._band.ratio * abs(found[1]), self._band.floor)",
        "2 * self._band.ratio * abs(found[1]) + 1",
    ),
    (checker, "age_ns > self._band.heartbeat_s * 1e9", "False"),
    (checker, "age_ns > self._band.heartbeat_s * 1e9", "age_ns >= self._band.heartbeat_s * 1e9"),
    (checker, "self._timed else 0, reading.place", "self._timed else 0, 0"),
    (checker, "all(hold.excuse", "any(hold.excuse"),
    (checker, "if reading.row is not None and not reading.row.boosted", "if reading.row is not None"),
    (checker, 'reading.logged.series if reading.deferred else ""', '""'),
    (checker, 'reading.logged.series if reading.deferred else ""', "str(id(reading))"),
    (checker, "publish.order < newest_of_client.get(publish.client, -1)", "False"),
    (checker, "publish.acked_ns < newest_began", "False"),
    (checker, "publish.acked_ns < newest_began", "publish.published_ns < newest_began"),
    (checker, "reading.row.row_class, reading.row.lane, apart", "reading.row.row_class, apart"),
    (checker, "reading.row.row_class, reading.row.lane, apart", "reading.row.lane, apart"),
    (checker, "later < earlier", "False"),
    (
        checker,
        "        if times > 1:\n            report.duplicated += times - 1",
        "        if False:\n            report.duplicated += 0",
    ),
    (recount, "newest[key].weight < window.weight", "newest[key].weight > window.weight"),
    (recount, "window.rule != rule", "False"),
    (recount, "set.intersection(*good)", "set.union(*good)"),
    (recount, "if not timed:\n        yield", "if False:\n        yield"),
    (recount, ".ts or 0) < end", ".ts or 0) <= end"),
    (recount, "report.duplicated += excess", "report.duplicated += 0"),
    (recount, "if count < len(values):", "if False:"),
    (recount, "member.acked and not", "not"),
    (recount, " and not (member.row is not None and member.row.late)", ""),
    (recount, "min(values) == told[1]", "True"),
    (recount, "max(values) == told[2]", "True"),
    (recount, "<= slack and", "<= slack or"),
    (recount, "least - slack <= told[0] <= most + slack", "True"),
    (evidence, "left == left and", ""),
    (evidence, "isinstance(left, bool) != isinstance(self.limit, bool)", "False"),
    (evidence, "if rule.final:", "if False:"),
    (evidence, "if rule.final:", "if True:"),
    (evidence, 'self.field == "any"', "False"),
    (evidence, '"*": "[^/]*"', '"*": ".*"'),
    (evidence, "fnmatch.fnmatchcase(origin, self.origin)", "True"),
]


def mutated(module: ModuleType, old: str, new: str) -> ModuleType:
    source = inspect.getsource(module)
    assert old in source, f"the mutant no longer fits: {old}"
    spec = importlib.util.find_spec(module.__name__)
    assert spec is not None
    broken = importlib.util.module_from_spec(spec)
    exec(compile(source.replace(old, new), module.__name__, "exec"), broken.__dict__)
    return broken


def planted() -> list[tuple[str, object, list[dict[str, object]]]]:
    """The example tests of the checker, with the values of their parameters."""
    found = []
    for name, test in vars(test_checker).items():
        if not name.startswith("test_") or hasattr(test, "hypothesis"):
            continue
        sets: list[list[dict[str, object]]] = [[{}]]
        for mark in getattr(test, "pytestmark", []):
            names, values = mark.args
            names = [names] if isinstance(names, str) else list(names)
            sets.append([dict(zip(names, (v if len(names) > 1 else (v,)), strict=True)) for v in values])
        found.append(
            (
                name,
                test,
                [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*sets)],
            )
        )
    return found


@pytest.mark.parametrize(
    ("module", "old", "new"), MUTANTS, ids=[f"{m.__name__[14:]}:{o[:40]}->{n[:20]}" for m, o, n in MUTANTS]
)
def test_a_broken_judgement_is_noticed(
    module: ModuleType, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = mutated(module, old, new)
    judge = broken
    if module is evidence:
        monkeypatch.setattr(test_checker, "DropWhen", broken.DropWhen)
        monkeypatch.setattr(test_checker, "SeriesRules", broken.SeriesRules)
        monkeypatch.setattr(test_checker, "KEEP_ALL", [broken.SeriesRules("**")])
        monkeypatch.setattr(checker, "expected", broken.expected)
        judge = checker
    elif module is recount:
        monkeypatch.setattr(checker, "counted", broken.counted)
        judge = checker
    monkeypatch.setattr(test_checker, "check", judge.check)
    for _, test, cases in planted():
        for case in cases:
            try:
                test(**case)  # type: ignore[operator]
            except (AssertionError, TypeError, ValueError, IndexError, KeyError, AttributeError):
                return
    pytest.fail("every planted defect was judged as before")


def test_the_unbroken_checker_passes_the_same_walk() -> None:
    assert sys.modules[test_checker.__name__]
    for _, test, cases in planted():
        for case in cases:
            test(**case)  # type: ignore[operator]
