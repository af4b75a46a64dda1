"""Regenerates the documents that come from the code: `./dev docs`. `--check` only exits 1 when one is stale.

Each document in GENERATED is a whole file made by one function. Add a line to add a document. ARCHITECTURE.md
is written by hand but for the parts that `docs_architecture` makes.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import click
import docs_http
import mqtt_conformance
from docs_architecture import architecture

from headland.cli import COMMANDS
from headland.cli.group import main
from headland.config import reference
from headland.sources.registry import built_in

ROOT = Path(__file__).resolve().parent.parent
NOTICE = "<!-- Made by ./dev docs; edit the code it comes from. -->\n"


def commands() -> str:
    """Every command with its own help text."""
    parts = [NOTICE, "# Commands\n", "Exit codes: 0 good, 1 the answer is no, 2 usage or configuration.\n"]
    parent = click.Context(main, info_name="headland", terminal_width=100)
    for name, (module, _) in COMMANDS.items():
        command = importlib.import_module(module).command
        parts += [f"## headland {name}\n", "```text", help_text(command, name, parent), "```\n"]
    return "\n".join(parts)


def help_text(command: click.Command, name: str, parent: click.Context) -> str:
    """A command's help, followed by that of its subcommands, as it is at 100 columns."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100)
    texts = [command.get_help(context).rstrip()]
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            texts += [help_text(found, child, context)] if found else []
    return "\n\n".join(texts)


def source_kinds() -> reference.Kinds:
    """The kinds of sources that come with the product; an installed plug-in describes itself elsewhere."""
    return {one.kind: (one.summary, one.config) for one in built_in()}


def configuration() -> str:
    """Every key of a node's file."""
    return f"{NOTICE}\n{reference.reference(source_kinds())}"


GENERATED: dict[str, Callable[[], str]] = {
    "ARCHITECTURE.md": architecture,
    "docs/reference/commands.md": commands,
    "docs/reference/http.md": lambda: f"{NOTICE}\n{docs_http.document()}",
    "docs/configuration.md": configuration,
    "docs/mqtt-conformance.md": mqtt_conformance.document,
    "docs/configuration.schema.json": lambda: reference.schema(source_kinds()),
    "docs/configuration.example.toml": lambda: reference.example(source_kinds()),
}


def stale() -> list[str]:
    """Documents that differ from what the code says now."""
    return [
        name
        for name, make in GENERATED.items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != make()
    ]


def run(arguments: list[str]) -> int:
    """Writes or checks the documents."""
    names = stale()
    for name in names:
        print(
            f"docs: {name}",
            "is stale; run ./dev docs" if "--check" in arguments else "written",
            file=sys.stderr,
        )
        if "--check" not in arguments:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(GENERATED[name](), encoding="utf-8")
    return 1 if names and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
