"""The command line: every command, its help and its errors."""

from __future__ import annotations

import importlib

import click

from headland.cli import COMMANDS, end_when_told

AS_JSON = "headland.as_json"


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

            from headland.cli.errors import said
            from headland.vocabulary import ConfigurationError, HeadlandError

            if not isinstance(error, HeadlandError):
                raise
            if ctx.meta[AS_JSON]:
                told = {"message": str(error.args[0]), "hint": error.hint}
                if isinstance(error, ConfigurationError):
                    told |= {"file": error.file, "path": error.path}
                click.echo(json.dumps({"error": told}))
            line, code = said(error)
            click.echo(line, err=True)
            ctx.exit(code)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the table, without importing what it lists."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Headland: decide where the data is made, acknowledge only what is on disk, account for every byte."""
