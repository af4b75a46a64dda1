"""What `/openapi.json` says of a node's HTTP is true: Schemathesis asks a real node what the document allows,
and what it does not, and finds no answer that is not described."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from http.client import HTTPConnection
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from tests.node.running import RunningNode

from headland.node.http_openapi import OPERATIONS, REFUSALS, document, path_of
from headland.node.http_routes import ROUTES, methods_of

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: run ./dev env")

from schemathesis.core.failures import FailureGroup  # noqa: E402  # only where it is installed
from schemathesis.generation import GenerationMode  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402

EXAMPLES = 10
"""Of each operation and kind; the same in every run."""
LEAST = 60
"""Requests that have to come of that, or generation has stopped to work."""
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.allow_header_conformance,
]
OPERATION_IDS = [(one.method, path_of(one.path)) for one in ROUTES]
PARENT = ("--parent", "127.0.0.1:9", "--parent-name", "s/p")
TIERS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "root": ("cloud", (), ("/",)),
    "with a parent": ("local", PARENT, ("/v1/queue", "/v1/gaps", "/v1/query", "/v1/status")),
}
"""Tier, further arguments, and what is asked: below a parent only what is answered otherwise there."""


@schemathesis.serializer("application/toml", "application/x-ndjson")
def as_text(_: Any, value: Any) -> bytes:
    return value.encode(errors="replace") if isinstance(value, str) else json.dumps(value).encode()


@pytest.fixture(scope="module", params=TIERS)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    tier, arguments, _ = TIERS[request.param]
    with RunningNode(tmp_path_factory.mktemp("described") / "n", tier=tier, arguments=arguments) as running:
        yield running


class Bystander:
    """A client that does what it should, all the while: publishes at QoS 1, and waits for each answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.sendall(b"\x10\x15\x00\x04MQTT\x04\x02\x00\x00\x00\x09bystander")
        assert self._socket.recv(4) == b"\x20\x02\x00\x00"
        self.answered = 0
        self.trouble = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _publish(self) -> None:
        number = 0
        while not self._done.wait(0.05):
            number = number % 60_000 + 1
            body = b"\x00\x01b" + number.to_bytes(2, "big") + b"1"
            try:
                self._socket.sendall(bytes([0x32, len(body)]) + body)
                answer = self._socket.recv(4)
            except OSError as problem:
                self.trouble = repr(problem)
                return
            if answer != b"\x40\x02" + number.to_bytes(2, "big"):
                self.trouble = f"publish {number} was answered {answer!r}"
                return
            self.answered += 1

    def end(self) -> None:
        self._done.set()
        self._thread.join()
        self._socket.close()


def test_every_route_is_described_and_nothing_else() -> None:
    paths = document()["paths"]
    assert {(one.method, one.path) for one in ROUTES} == OPERATIONS.keys()
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == set(
        OPERATION_IDS
    )


def test_every_status_of_the_description_has_its_words() -> None:
    told = {
        int(status)
        for methods in document()["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
    }
    assert told - {200, 204} == REFUSALS.keys()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_method_that_a_route_does_not_know_is_405_and_says_which_it_knows(
    node: RunningNode, route: Any
) -> None:
    path = route.path.replace("SITE/NAME", "site/nobody").replace("TOPIC", "a/b")
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - {*methods_of(path)}:
        with closing(HTTPConnection("127.0.0.1", node.ports["http"], timeout=10)) as connection:
            connection.request(method, path)
            answer = connection.getresponse()
            assert (answer.status, answer.headers["Allow"]) == (405, ", ".join(methods_of(path))), method
            assert json.loads(answer.read())["code"] == "method_not_allowed"


def asked_of(operation: Any, kind: Any, base: str) -> int:
    """Ask what the document allows, or what it does not, and hold each answer against it; how often."""
    asked = 0

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=kind))
    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        case.call_and_validate(base_url=base, checks=CHECKS, timeout=60)

    # Where there is nothing to get wrong, nothing can be asked wrongly.
    with suppress(Unsatisfiable) if kind is GenerationMode.NEGATIVE else nullcontext():
        ask()
    return asked


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_answer_is_undescribed_or_a_defect_and_another_client_does_not_notice(
    request: pytest.FixtureRequest, node: RunningNode
) -> None:
    _, _, wanted = TIERS[request.node.callspec.params["node"]]
    described = schemathesis.openapi.from_dict(node.ask("/openapi.json"))
    base = f"http://127.0.0.1:{node.ports['http']}"
    bystander, pid, asked = Bystander(node.ports["mqtt:mqtt"]), node.pid, 0
    try:
        for result in described.get_all_operations():
            operation = result.ok()
            if operation.path.startswith(wanted):
                asked += asked_of(operation, GenerationMode.POSITIVE, base)
                asked += asked_of(operation, GenerationMode.NEGATIVE, base)
    finally:
        bystander.end()
    assert asked > LEAST
    assert not bystander.trouble
    assert bystander.answered > 10
    assert node.pid == pid
    status = node.ask("/v1/status")
    assert status["healthy"]
    assert status["balanced"]


def wrong(description: Any, what: str) -> Any:
    """The description with one thing in it that is not so."""
    status = description["components"]["schemas"]["Status"]
    answers = description["paths"]["/v1/status"]["get"]["responses"]
    match what:
        case "type":
            status["properties"]["balanced"]["type"] = "string"
        case "member":
            del status["properties"]["balanced"]
            status["required"].remove("balanced")
        case "absence":
            status["properties"]["weather"] = {"type": "string"}
            status["required"].append("weather")
        case "status":
            answers["201"] = answers.pop("200")
        case "media":
            answers["200"]["content"] = {"text/html": answers["200"]["content"]["application/json"]}
    return description


@pytest.mark.parametrize("what", ["type", "member", "absence", "status", "media"])
def test_a_description_that_is_not_true_is_noticed(node: RunningNode, what: str) -> None:
    described = schemathesis.openapi.from_dict(wrong(node.ask("/openapi.json"), what))
    with pytest.raises(FailureGroup):
        asked_of(
            described["/v1/status"]["GET"],
            GenerationMode.POSITIVE,
            f"http://127.0.0.1:{node.ports['http']}",
        )


def test_the_head_of_an_answer_comes_without_its_body_and_the_connection_goes_on(node: RunningNode) -> None:
    with closing(HTTPConnection("127.0.0.1", node.ports["http"], timeout=10)) as connection:
        for path in ("/healthz", "/v1/status", "/metrics", "/openapi.json", "/ping"):
            connection.request("HEAD", path)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (204 if path == "/ping" else 200, b"")
        connection.request("GET", "/v1/status")
        assert json.loads(connection.getresponse().read())["healthy"]
