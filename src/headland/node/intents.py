"""What comes down: intents of the parent, reconciled and never just executed.

Kind "config": TOML of the sections that may change while a node runs. It is laid over the node's own
file, checked like it, and put in force in one commit, or refused with its path and hint
(`headland.node.reloading`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headland.link.actions import Intent
from headland.link.protocol import IntentStatus
from headland.node.reloading import KIND
from headland.vocabulary import Instant

if TYPE_CHECKING:
    from headland.node.core import Node


def handle_intent(node: Node, intent: Intent, now: Instant) -> None:
    """Take one intent and report what became of it."""
    if intent.kind == KIND:
        node.parts.reloading.intent(node, intent, now)
        return
    status = IntentStatus(
        intent.kind, intent.version, "refused", f"no intent of kind {intent.kind!r} is known here"
    )
    node.say("warning", "intent", kind=intent.kind, version=intent.version, state=status.state)
    node.parts.north.report(node, status, now)
