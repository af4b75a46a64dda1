"""Questions to a running node: status, books, queues. They change nothing, but for those that say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headland.node import events as ev
from headland.node.status import ledger_of, status_of
from headland.vocabulary import Instant

if TYPE_CHECKING:
    from headland.node.core import Node


def answer(node: Node, asked: ev.Asked, now: Instant) -> None:
    """Answer one question with a `Reply`."""
    match asked.what:
        case "status":
            _reply(node, asked.token, status_of(node, now))
        case "ledger":
            _reply(node, asked.token, ledger_of(node, now))
        case _:
            _reply(node, asked.token, {"error": f"unknown question {asked.what!r}"}, 404)


def _reply(node: Node, token: int, body: object, status: int = 200) -> None:
    headers = (("content-type", "application/json"),)
    node.emit(ev.Reply(token, status, msgspec.json.encode(body), headers))
