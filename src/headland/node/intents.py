"""What comes down: intents of the parent, reconciled and never just executed.

Kind "config": TOML of the sections that may change while the node runs (see `headland.config.reload`); it is checked
like a file, refused with its path and hint, or taken over in one commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headland.link.actions import Intent
from headland.link.protocol import IntentStatus
from headland.vocabulary import Instant

if TYPE_CHECKING:
    from headland.node.core import Node


def handle_intent(node: Node, intent: Intent, now: Instant) -> None:
    """Take one intent and report what became of it."""
    status = IntentStatus(
        intent.kind, intent.version, "refused", f"no intent of kind {intent.kind!r} is known here"
    )
    node.say("info", "intent", kind=intent.kind, version=intent.version, state=status.state)
    node.parts.north.report(node, status, now)
