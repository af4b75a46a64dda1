"""A block that moves into a file while a question is read is looked for again, and a damaged one is said."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from headland.drivers.http_messages import Request
from headland.drivers.http_server import Response
from headland.node import query
from headland.node.http_api import LOOKS, Api
from headland.trust.access import Tokens
from headland.vocabulary import StorageDamage


class Rows:
    """Stands for the stored rows: `failing` looks find a block gone."""

    def __init__(self, failing: int) -> None:
        self.failing = failing
        self.looks = 0

    def answer(self, *_: object) -> bytes:
        self.looks += 1
        if self.looks <= self.failing:
            raise StorageDamage("journal/1.seg: not there any more")
        return b'{"rows":[{"look":%d}]}' % self.looks


def call(work: Callable[[], bytes], tell: Callable[[bytes | Exception], None]) -> None:
    try:
        outcome: bytes | Exception = work()
    except StorageDamage as error:
        outcome = error
    tell(outcome)


@pytest.mark.parametrize("failing", range(LOOKS + 1))
def test_a_question_is_looked_up_again_when_blocks_have_moved(
    failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows(failing)
    answers: list[Response] = []
    runner: Any = SimpleNamespace(
        node=SimpleNamespace(parts=SimpleNamespace(names=None)), disk=None, queries=SimpleNamespace(call=call)
    )
    monkeypatch.setattr(query, "plan", lambda _node: query.QueryPlan((), ()))
    monkeypatch.setattr(query, "answer", rows.answer)
    api = Api(Tokens({}), anonymous=True)

    def answer_it(_number: int, response: Response) -> bool:
        answers.append(response)
        return True

    api.attach(runner, answer_it)
    request = Request(1, 1, "GET", "/v1/query", "/v1/query", "", {}, b"", "127.0.0.1", "", "")
    assert api(request) is None
    [answer] = answers
    if failing < LOOKS:
        assert (answer.status, answer.body) == (200, b'{"rows":[{"look":%d}]}' % (failing + 1))
    else:
        assert (answer.status, rows.looks) == (500, LOOKS)
        assert b"not there any more" in answer.body
