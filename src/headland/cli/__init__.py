"""The `headland` command: one thin module a subcommand, imported only when it is asked for.

Exit codes: 0 good, 1 the answer is no, 2 usage or configuration.
"""

from __future__ import annotations

import importlib
import os
import signal

import click

# Command name -> module of this package, whose `command` is the click command. The one-line help stands
# here so that `headland --help` imports none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("headland.cli.demo", "Run four tiers on this machine, break things, and check every reading."),
    "init": ("headland.cli.init", "Make a node: a commented file, certificates, a data directory."),
    "check": ("headland.cli.check", "Say whether a node could run from a file, and what is wrong."),
    "run": ("headland.cli.run", "Run a node."),
    "status": ("headland.cli.status", "Say how a running node is."),
    "query": ("headland.cli.query", "Show rows that a node stores."),
    "gaps": ("headland.cli.gaps", "Show what a node that stores does not have, and why."),
    "ledger": ("headland.cli.ledger", "Show the books: every reading, every byte, and what it costs."),
    "queue": ("headland.cli.queue", "Show what waits for the parent; send what was given up."),
    "quarantine": ("headland.cli.quarantine", "List payloads that were no readings."),
    "intent": ("headland.cli.intent", "Want a configuration in force at a child."),
    "simulate": ("headland.cli.simulate", "Run nodes on a simulated clock, disk and network, with faults."),
    "password": ("headland.cli.password", "Make a password and the hash to keep of it."),
    "version": ("headland.cli.version", "Say which Headland this is, and what it runs on."),
}


AS_JSON = "headland.as_json"


def end_when_told() -> None:
    """Until a node has begun, SIGTERM and SIGINT end the process at once and well (exit 0).

    Nothing has been acknowledged by then, and whatever a start does on disk may be interrupted anywhere. The
    node's own handlers take over before it listens.
    """

    def end(_number: int, _frame: object) -> None:
        os.write(2, b'{"level": "info", "event": "stopped", "detail": "before it had begun"}\n')
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


class LazyGroup(click.Group):
    """A group whose commands are named in a table and imported when first used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the table's order, which is the order a newcomer meets them in."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command's module; None when there is no such command, which click reports."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name == "run":
            end_when_told()
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remembers whether the command is to print JSON: then its error is JSON, too."""
        ctx.meta[AS_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; an expected error is one line on stderr and exit code 2 (configuration) or 1.

        With --json there is an object on stdout as well: {"error": {message, hint, file, path}}.
        """
        try:
            return super().invoke(ctx)
        except Exception as error:
            import json

            from headland.vocabulary import ConfigurationError, HeadlandError

            if not isinstance(error, HeadlandError):
                raise
            told = {"message": str(error.args[0]), "hint": error.hint}
            hint = f" ({error.hint})" if error.hint else ""
            if isinstance(error, ConfigurationError):
                told |= {"file": error.file, "path": error.path}
                hint = ""
            if ctx.meta[AS_JSON]:
                click.echo(json.dumps({"error": told}))
            click.echo(f"headland: {error}{hint}", err=True)
            ctx.exit(2 if isinstance(error, ConfigurationError) else 1)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the table, without importing what it lists."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Headland: decide where the data is made, acknowledge only what is on disk, account for every byte."""
