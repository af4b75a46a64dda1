"""Runs in the tool's own environment: asks mutmut what it would mutate and how a mutant differs.

`names` reads paths, `differences` reads lines `PATH NAME`, both from stdin; each writes one JSON object. The
directory is the workspace, where mutmut finds its configuration.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.utils.format_utils import get_mutant_name


def names(paths: list[str]) -> dict[str, list[str]]:
    """Path -> the names of its mutants."""
    found = {}
    for path in paths:
        mutated = mutate_file_contents(path, Path(path).read_text())
        found[path] = [get_mutant_name(Path(path), name) for name in mutated.mutant_names]
    return found


def differences(wanted: list[str]) -> dict[str, list[str]]:
    """Mutant -> the lines it loses and gains, each with its sign."""
    found = {}
    for line in wanted:
        path, name = line.split(" ")
        text = get_diff_for_mutant(name, path=path).split("\n")
        found[name] = [one for one in text if one[:1] in "+-" and one[:3] not in ("+++", "---")]
    return found


if __name__ == "__main__":
    given = sys.stdin.read().split("\n")
    answer = {"names": names, "differences": differences}[sys.argv[1]]([line for line in given if line])
    json.dump(answer, sys.stdout)
