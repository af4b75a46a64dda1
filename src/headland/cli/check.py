"""`headland check`: whether a node could run from a file."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import click
import msgspec

from headland.config import Loaded, load
from headland.config.doctor import OUTCOMES, Finding, examine, worst
from headland.sources.registry import kinds
from headland.vocabulary import ConfigurationError, HeadlandError


class Report(msgspec.Struct, frozen=True):
    """What `headland check --json` prints."""

    file: str
    name: str
    digest: str
    runs: bool
    findings: list[Finding]


@click.command(name="check")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(config: Path, as_json: bool) -> None:
    """Say whether a node could run from CONFIG, here and now.

    Looks at the file, the data directory and every block in it, certificates, secrets, ports, the parent and
    the machine. Exit 0 if it could, 1 if something is broken, 2 if the file itself is wrong. Changes nothing.
    A parent that does not answer is advice, not an error: nodes run without it.
    """
    declared = {kind: declaration.config for kind, declaration in kinds().items()}
    loaded = load(config, os.environ, declared)
    findings = examine(loaded, os.environ, time.time())
    if any(one.about == "log" and one.outcome == "ok" for one in findings):
        findings += _files(loaded)
    code = worst(findings)
    if as_json:
        report = Report(str(loaded.file), str(loaded.config.identity), loaded.digest, code == 0, findings)
        click.echo(msgspec.json.encode(report).decode())
    else:
        for one in findings:
            hint = f" ({one.hint})" if one.hint else ""
            outcome = one.outcome.upper() if one.outcome == "broken" else one.outcome
            click.echo(f"{outcome:<8} {one.about}: {one.text}{hint}")
        counts = Counter(one.outcome for one in findings)
        click.echo(", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES) + f"; exit {code}")
    raise SystemExit(code)


def _files(loaded: Loaded) -> list[Finding]:
    """Every record of every file of blocks, read."""
    from headland.node import offline

    try:
        found = offline.files(loaded)
    except ConfigurationError:
        return []  # nothing has been stored yet
    except HeadlandError as error:
        return [Finding("files", "broken", str(error))]
    if not found.damage:
        text = f"{found.files} files of blocks, {found.bytes / 1e6:.1f} MB: every record verifies"
        return [Finding("files", "ok", text)]
    hint = "a node goes on without it: what it cannot send gets a tombstone `corrupt`"
    return [Finding("files", "broken", f"damaged: {text}", hint) for text in found.damage]
