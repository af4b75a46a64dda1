"""The `headland` command: one thin module a subcommand, imported only when it is asked for.

Exit codes: 0 good, 1 the answer is no, 2 usage or configuration.
"""

from __future__ import annotations

import os
import signal
import sys

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


def main() -> None:
    """`headland`, with the arguments of this process.

    `headland run FILE` is what a node is for as long as it lives, so it is understood without the library
    for command lines, whose 2 MB it would hold for ever.
    """
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "run" and not arguments[1].startswith("-"):
        end_when_told()
        from headland.cli.running import run

        raise SystemExit(run(arguments[1]))
    from headland.cli.group import main as group

    group()


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
