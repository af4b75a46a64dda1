"""The node's local HTTP: health, metrics, status, books, query, and the push of readings.

GET  /healthz            200 while the process turns and the books balance, else 503
GET  /readyz             200 once listeners are open and while readings are taken in, else 503 with the reason
GET  /openapi.json       all of this as an OpenAPI 3.1 document (`headland.node.http_openapi`)
GET  /metrics            Prometheus text format 0.0.4
GET  /v1/status          one look at the node (`headland.node.status.Status`)
GET  /v1/ledger          the books
GET  /v1/queue, /v1/queue/dead, /v1/quarantine          what waits, what was given up, what did not fit
GET  /v1/gaps            blocks that a node that stores does not have, and where each was seen last
POST /v1/queue/resend?number=N                          send a dead letter again
POST /v1/queue/release?stream=STREAM&as=waiting|dead     let a stopped stream go on
POST /v1/queue/parent-gone                              what a parent may hold that is gone counts as unsent
POST /v1/queue/demand?class=CLASS                       seal and send what an on-demand class has
GET  /v1/children                                       children, what is wanted of them and what they said
POST /v1/children/SITE/NAME/intents/config              want this TOML in force at a child
GET  /v1/query?series=&origin=&since_ns=&until_ns=&limit=   rows of a node that stores (`headland.node.query`)
POST /v1/readings, /v1/influx, /api/v2/write, /write, /v1/cloudevents, /v1/topics/...   readings
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

from headland.drivers.http_messages import Request, Response
from headland.node import events as ev
from headland.node import query
from headland.node.http_guard import Guard, problem
from headland.node.http_routes import methods_of
from headland.node.metrics import exposition
from headland.node.refusing import refusal_of
from headland.trust.access import Tokens
from headland.vocabulary import CapacityError, HeadlandError

if TYPE_CHECKING:
    from headland.node.loop import Runner

ASKS = {
    ("GET", "/v1/status"): ("status", "read"),
    ("GET", "/v1/ledger"): ("ledger", "read"),
    ("GET", "/v1/queue"): ("queue", "read"),
    ("GET", "/v1/queue/dead"): ("dead", "read"),
    ("GET", "/v1/quarantine"): ("quarantine", "read"),
    ("GET", "/v1/gaps"): ("gaps", "read"),
    ("POST", "/v1/queue/resend"): ("resend", "operate"),
    ("POST", "/v1/queue/release"): ("release", "operate"),
    ("POST", "/v1/queue/parent-gone"): ("parent_gone", "operate"),
    ("POST", "/v1/queue/demand"): ("demand", "operate"),
    ("GET", "/v1/children"): ("children", "read"),
}
LOOKED_AT = ("/metrics", "/v1/query", "/openapi.json")
CHILD, INTENT = "/v1/children/", "/intents/config"
ANSWER_BYTES_MAX = query.ANSWER_BYTES_MAX
LOOKS = 3
"""How often a query looks when blocks move into files between its plan and its reading."""
PUSHES = ("/v1/readings", "/v1/influx", "/api/v2/write", "/write", "/v1/cloudevents", "/v1/topics/", "/ping")


class Api:
    """Routes requests to the core, to the metrics, or to a query on a thread of its own.

    Attributes:
        tokens: Who bears which token.
    """

    def __init__(self, tokens: Tokens, *, anonymous: bool, guard: Guard | None = None) -> None:
        self.tokens = tokens
        self._guard = guard or Guard()
        self._anonymous = anonymous
        self._runner: Runner | None = None
        self._answer: Callable[[int, Response], bool] = lambda _number, _response: False

    def attach(self, runner: Runner, answer: Callable[[int, Response], bool]) -> None:
        """Tell whom to ask, and how to answer later."""
        self._runner = runner
        self._answer = answer

    def gate(self, request: Request) -> Response | None:
        """The refusal of whoever may not be served at all, told from the head of the request."""
        refusal = self._guard.refuse(request)
        if refusal is None and self._who(request) is None:
            refusal = problem(401, "unauthorised", "send a bearer token")
        return refusal

    def __call__(self, request: Request) -> Response | None:
        """Serve one request, now or later."""
        refusal = self._guard.refuse(request)
        if refusal is not None:
            return refusal
        runner = self._runner
        if runner is None:
            return problem(503, "not_ready", "the node is starting")
        refusal = _other_method(request)
        if request.path == "/healthz":
            return refusal or self._health(runner)
        if request.path == "/readyz":
            return refusal or _readiness(runner)
        who = self._who(request)
        if who is None:
            return problem(401, "unauthorised", "send a bearer token")
        if refusal is not None:
            return refusal
        twice = _given_twice(request.query)
        if twice:
            return problem(400, "repeated_parameter", f"{twice!r} is given twice")
        name, may = who
        if request.path == "/metrics" and "read" in may:
            return Response(200, exposition(runner), "text/plain; version=0.0.4; charset=utf-8")
        if request.path == "/openapi.json" and "read" in may:
            return _description()
        if request.path == "/v1/query" and "read" in may:
            return self._query(runner, request)
        ask = ASKS.get(("GET" if request.method == "HEAD" else request.method, request.path))
        if ask is not None and ask[1] in may:
            runner.feed(ev.Asked(request.number, ask[0], dict(parse_qsl(request.query))))
            return None
        if request.method == "POST" and request.path.startswith(CHILD) and request.path.endswith(INTENT):
            return self._desire(runner, request, may)
        if request.path.startswith(PUSHES) and "push" in may:
            path = request.raw_path + (f"?{request.query}" if request.query else "")
            runner.feed(ev.Pushed(request.number, name, request.method, path, request.headers, request.body))
            return None
        if ask is not None or request.path in LOOKED_AT or request.path.startswith(PUSHES):
            return problem(403, "forbidden", f"{name} may only {', '.join(sorted(may))}")
        return problem(404, "no_such_route", request.path)

    def _desire(self, runner: Runner, request: Request, may: frozenset[str]) -> Response | None:
        if "operate" not in may:
            return problem(403, "forbidden", "an intent takes the right to operate")
        try:
            body = request.body.decode()
        except UnicodeDecodeError as error:
            return problem(400, "not_toml", f"not UTF-8 text at byte {error.start}")
        child = request.path[len(CHILD) : -len(INTENT)]
        runner.feed(ev.Asked(request.number, "desire", {"child": child, "body": body}))
        return None

    def _who(self, request: Request) -> tuple[str, frozenset[str]] | None:
        if request.bearer:
            return self.tokens.who(request.bearer)
        if request.principal:
            return request.principal, frozenset(("push", "read"))
        return ("anonymous", frozenset(("push", "read", "operate"))) if self._anonymous else None

    def _health(self, runner: Runner) -> Response:
        node = runner.node
        if node.healthy and not node.failed:
            return Response(200, b"ok\n", "text/plain")
        return problem(503, "unhealthy", node.failed or "the books do not balance")

    def _query(self, runner: Runner, request: Request) -> Response | None:
        try:
            question = msgspec.convert(dict(parse_qsl(request.query)), query.Question, strict=False)
        except msgspec.ValidationError as error:
            return problem(400, "bad_question", str(error))
        if not self._look(runner, request.number, question, LOOKS):
            return problem(404, "no_store", "this node sends north and stores nothing; ask its parent")
        return None

    def _look(self, runner: Runner, number: int, question: query.Question, looks: int) -> bool:
        """Answer a question, in at most so many looks; False where nothing is stored."""
        where = query.plan(runner.node)
        if where is None:
            return False
        names = runner.node.parts.names

        # What cannot be read may have moved; at the last look it is damage, told beside the rows.
        damage: list[str] | None = [] if looks < 2 else None

        def work() -> bytes:
            return query.answer(runner.disk, where, names, question, damage)

        def tell(outcome: bytes | Exception) -> None:
            if damage:
                runner.feed(ev.Unreadable(f"{damage[0]}, {len(set(damage))} places of the store in all"))
            if isinstance(outcome, bytes):
                self._answer(number, Response(200, outcome))
            elif isinstance(outcome, CapacityError):
                self._answer(number, problem(413, "too_large", f"{outcome}; {outcome.hint}"))
            elif isinstance(outcome, HeadlandError | OSError):
                # A block that has moved since the plan was made is found where it is now.
                if looks < 2 or not self._look(runner, number, question, looks - 1):
                    self._answer(number, problem(500, "storage", str(outcome)))
            else:
                self._answer(number, problem(500, "defect", type(outcome).__name__))
                raise outcome

        runner.queries.call(work, tell)
        return True


def _other_method(request: Request) -> Response | None:
    """The refusal of a method that a route is not asked with; whoever may GET may ask for the HEAD of it."""
    methods = methods_of(request.path)
    if not methods or request.method in methods or (request.method == "HEAD" and "GET" in methods):
        return None
    refusal = problem(405, "method_not_allowed", f"use {' or '.join(methods)}")
    return Response(405, refusal.body, headers=(("Allow", ", ".join(methods)),))


def _description() -> Response:
    from headland.node.http_openapi import document  # a node that is never asked does without

    return Response(200, msgspec.json.encode(document()))


def _given_twice(query: str) -> str:
    """The first parameter of a query string that is there more than once, or ""."""
    known: set[str] = set()
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name in known:
            return name
        known.add(name)
    return ""


def _readiness(runner: Runner) -> Response:
    refusal = refusal_of(runner.node)
    if not runner.ready:
        return problem(503, "not_ready", "starting")
    if refusal is not None:
        return problem(503, "refusing", f"{refusal.detail}: nothing more is taken in")
    return Response(200, b"ready\n", "text/plain")
