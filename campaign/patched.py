"""A node whose program was changed: `python -m campaign.patched CHANGE run node.toml`.

The product has no hook for this: the change is made to its classes in this process, before it starts. Three
changes are defects that the campaign has to find.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


def ack_early() -> None:
    """What should wait for its commit waits for nothing."""
    from headland.mqtt.broker import Broker
    from headland.node.committing import Committing

    original = Broker.rest_on

    def rest_on(self: Broker, run: Any, _needs: Any, now: Any) -> Any:
        return original(self, run, 0, now)

    def wait(_self: Any, _needs_n: int, _what: Any) -> bool:
        return False

    setattr(Broker, "rest_on", rest_on)
    setattr(Committing, "wait", wait)


def reclaim_early() -> None:
    """Files are given back whatever their blocks wait for."""
    from headland.line.outbox.outbox import Outbox

    original = Outbox.files

    def files(self: Outbox) -> dict[int, bool]:
        return dict.fromkeys(original(self), True)

    setattr(Outbox, "files", files)


def dedup_off() -> None:
    """Nothing that a client sends again is recognised."""
    from headland.line.ingest import Ingest

    def find(*_: Any) -> None:
        return

    setattr(Ingest, "_find_repeats", find)


CHANGES: dict[str, Callable[[], None]] = {
    "ack_early": ack_early,
    "dedup_off": dedup_off,
    "reclaim_early": reclaim_early,
}


def main(arguments: list[str]) -> None:
    """Change what is asked for, then be `headland`."""
    from headland.cli import main as headland

    while arguments and arguments[0] in CHANGES:
        CHANGES[arguments.pop(0)]()
    sys.argv = ["headland", *arguments]
    headland()


if __name__ == "__main__":
    os.environ["HEADLAND_PURE"] = "1"
    main(sys.argv[1:])
