"""HTTP pushes: a request's readings rest on a commit like anybody's; its answer leaves after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headland.line.formats.rejection import RejectReason
from headland.node import events as ev
from headland.node.intake import MIXED
from headland.sources.http_push import Accepted, Answer, PushHandler, Response, Waiting
from headland.vocabulary import Instant

if TYPE_CHECKING:
    from headland.node.core import Node

OWNER = "http"


class Pushing:
    """Requests under way, by the executor's token and by the handler's."""

    def __init__(self, handler: PushHandler) -> None:
        self.handler = handler
        self._asked: dict[int, int] = {}

    def pushed(self, node: Node, event: ev.Pushed, now: Instant) -> None:
        """Take one request."""
        handler = self.handler
        outcome = handler.request(event.principal, event.method, event.path, event.headers, event.body, now)
        match outcome:
            case Response():
                node.emit(_reply(event.token, outcome))
            case Waiting(token):
                self._asked[token] = event.token
            case Accepted():
                self._asked[outcome.token] = event.token
                if node.parts.intake.line.mixes(outcome.batch.sid):
                    self._answer(node, handler.unfit(outcome.token, RejectReason.MIXED_DURABILITY, MIXED))
                    return
                if node.commits.stalled or node.crowded:
                    node.turning_away.batch(node, outcome.batch, refused=False)
                    self._refuse(node, outcome.token)
                    return
                offered = node.parts.intake.line.offer(
                    f"http:{event.principal}", outcome.batch, now, node.draft
                )
                node.actuate(offered.actuations)
                needs = offered.needs_n
                if outcome.delta:
                    node.draft.state(OWNER, outcome.delta)
                    needs = node.draft.n
                node.after(needs, ev.Answered(outcome.token))

    def durable(self, node: Node, token: int) -> None:
        """The commit that a request rested on is on disk: answer it and its repeats."""
        self._answer(node, self.handler.committed(token))

    def _refuse(self, node: Node, token: int) -> None:
        self._answer(node, self.handler.refused(token))

    def _answer(self, node: Node, answers: list[Answer]) -> None:
        for answer in answers:
            asked = self._asked.pop(answer.token, None)
            if asked is not None:
                node.emit(_reply(asked, answer.response))


def _reply(token: int, response: Response) -> ev.Reply:
    return ev.Reply(token, response.status, response.body, tuple(response.headers))
