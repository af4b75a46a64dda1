"""`docs/mutation.md`, from the figures of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mutation.judging import Figures, Result, Survivor
from mutation.rooms import ROOMS
from mutation.sampling import wilson

_HEAD = """# Mutation

The rooms that keep the promise are broken on purpose, one small change at a time (`<` becomes `<=`, `+`
becomes `-`, an argument is left out, a value becomes None), and the tests must notice.
[mutmut](https://github.com/boxed/mutmut) makes the mutants, in an environment of its own
(`requirements/mutation.txt`), on a copy of the checkout in `.build/mutation`.

```console
./dev mutation --sample 100 --seed 1               # of each room about 100 mutants, of each module its share
./dev mutation --room ledger                       # every mutant of a room
./dev mutation --resume                            # go on: what was killed stays so, the rest is judged again
```

A mutant is judged by those tests of its room that call its function.
Killed: a test failed. Timeout: the tests did not end in {factor} times their time, which the suite notices as
well. Survived: all of them passed. Untested: none of them calls the function. The share counts timeouts as
noticed, and everything else, reason or not, as missed. Code outside functions, and functions with a decorator
other than `staticmethod` and `classmethod`, are not mutated.
"""

_LIMITS = """
## Limits
The suites of whole nodes, of the simulation, of power cuts and of campaigns do not judge here: each takes
longer than all of the above. So a survivor is what the rooms' own tests miss, and not what nothing notices. A
mutant is one change; two defects that hide each other are not made.
"""


def page(results: Sequence[Result], factor: int) -> str:
    """The whole page."""
    lines = [_HEAD.format(factor=factor), "| room | judged by | made by |", "|---|---|---|"]
    for one in results:
        tests = ", ".join(f"`{test}`" for test in ROOMS[one.room].tests)
        drawn = f" --sample {one.sample} --seed {one.seed}" if one.sample else ""
        lines.append(f"| {one.room} | {tests} | `./dev mutation --room {one.room}{drawn}` |")
    lines += ["\n## Figures\nIntervals are of 95 % (Wilson).\n"]
    lines += ["| room | mutants | run | killed | timeouts | survived | untested | share |"]
    lines += ["|---|--:|--:|--:|--:|--:|--:|--:|"]
    lines += [_row(one.room, one.modules, with_interval=True) for one in results]
    lines += ["\n| module | mutants | run | killed | timeouts | survived | untested | share |"]
    lines += ["|---|--:|--:|--:|--:|--:|--:|--:|"]
    lines += [
        _row(f"`{one.module}`", [one], with_interval=False) for result in results for one in result.modules
    ]
    missed = [one for result in results for one in result.survivors]
    lines += _explained([one for one in missed if one.why]) + _open([one for one in missed if not one.why])
    return "\n".join(lines) + "\n" + _LIMITS


def _row(name: str, figures: Sequence[Figures], with_interval: bool) -> str:
    mutants, run = sum(one.mutants for one in figures), sum(one.run for one in figures)
    noticed = sum(one.noticed for one in figures)
    counts = [
        sum(getattr(one, what) for one in figures) for what in ("killed", "timeouts", "survived", "untested")
    ]
    share = f"{noticed / run:.0%}" if run else ""
    if with_interval and run < mutants:
        low, high = wilson(noticed, run)
        share = f"{noticed / run:.1%} ({low:.0%} to {high:.0%})"
    elif with_interval:
        share = f"{noticed / run:.1%}"
    return "| " + " | ".join([name, *map(str, [mutants, run, *counts]), share]) + " |"


def _explained(missed: Sequence[Survivor]) -> list[str]:
    if not missed:
        return []
    lines = ["\n## Survivors with a reason\n", "| where | becomes | why |", "|---|---|---|"]
    return lines + [f"| `{one.where}` | {_code(one.gained)} | {one.why} |" for one in missed]


def _open(missed: Sequence[Survivor]) -> list[str]:
    if not missed:
        return []
    lines = [f"\n## Survivors without a reason yet: {len(missed)}\n"]
    if len(missed) > 80:
        lines += ["| where | survivors |", "|---|--:|"]
        counts = Counter(one.where for one in missed)
        return lines + [f"| `{where}` | {count} |" for where, count in counts.most_common()]
    lines += ["| where | was | becomes |", "|---|---|---|"]
    return lines + [f"| `{one.where}` | {_code(one.lost)} | {_code(one.gained)} |" for one in missed]


def _code(lines: Sequence[str]) -> str:
    text = " ⏎ ".join(lines) or "(nothing)"
    text = text if len(text) <= 110 else text[:107] + "..."
    return f"`{text}`".replace("|", "\\|")
