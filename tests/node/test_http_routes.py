"""The page about HTTP is true: every route is there, and every example is answered as it says."""

from __future__ import annotations

import http.client
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.node.running import RunningNode

from headland.node.http_api import ASKS
from headland.node.http_routes import ROUTES

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from docs_http import EXAMPLES, Example


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with RunningNode(tmp_path_factory.mktemp("routes") / "n") as running:
        yield running


def ask(node: RunningNode, method: str, path: str, body: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", node.ports["http"], timeout=30)
    connection.request(method, path, body.encode() or None, headers)
    answer = connection.getresponse()
    got = answer.status, answer.read().decode()
    connection.close()
    return got


def test_the_table_has_every_question_and_the_right_that_it_takes() -> None:
    told = {(one.method, one.path): one.may for one in ROUTES}
    assert {key: told.get(key) for key in ASKS} == {key: may for key, (_, may) in ASKS.items()}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_served(node: RunningNode, route: object) -> None:
    method, path = route.method, route.path  # type: ignore[attr-defined]
    body, headers = ("x", {"Content-Type": "application/json"}) if method == "POST" else ("", {})
    status, said = ask(node, method, path.replace("SITE/NAME", "site/nobody"), body, headers)
    assert "no_such_route" not in said
    assert status != 405


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_every_example_is_answered_as_it_says(node: RunningNode, example: Example) -> None:
    status, said = ask(node, "POST", example.path, example.body, example.headers)
    assert (status, example.answer in said) == (example.status, True), said


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ('{"series":"a","value":1,"tiem":2}', "a reading has series, value, ts, labels, seq"),
        ('{"series":"a","value":1,"lables":{}}', "`labels`?"),
        ('[{"name":"a","value":1}]', "`series`?"),
        ('{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1}', "/v1/cloudevents"),
    ],
)
def test_an_unknown_field_is_answered_with_what_was_meant(node: RunningNode, body: str, hint: str) -> None:
    status, said = ask(node, "POST", "/v1/readings", body, {"Content-Type": "application/json"})
    assert status == 400
    assert hint in said


def test_an_event_that_is_a_reading_or_misspelt_is_told_so(node: RunningNode) -> None:
    media = {"Content-Type": "application/cloudevents+json"}
    assert "/v1/readings" in ask(node, "POST", "/v1/cloudevents", '{"series":"a","value":1}', media)[1]
    said = ask(node, "POST", "/v1/cloudevents", '{"specversoin":"1.0","id":"1"}', media)[1]
    assert "`specversoin` is given" in said


def test_sites_are_labels_of_the_figures_and_columns_of_the_rows(node: RunningNode) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.ports["http"], timeout=30)
    connection.request("GET", "/metrics")
    assert (
        'headland_node_info{site="site",name="n",tier="cloud"} 1' in connection.getresponse().read().decode()
    )
    connection.close()
    status, _ = ask(
        node, "POST", "/v1/readings", '{"series":"s/x","value":1}', {"Content-Type": "application/json"}
    )
    assert status == 200
    rows = node.ask("/v1/query?series=s/x")["rows"]
    assert [(row["series"], row["name"], row["labels"], row["_site"]) for row in rows] == [
        ("s/x{site=site}", "s/x", {"site": "site"}, "site")
    ]


def test_a_figure_that_only_grows_is_a_counter_by_type_and_by_name(node: RunningNode) -> None:
    _, text = ask(node, "GET", "/metrics", "", {})
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    assert {name for name, kind in types.items() if kind == "counter"} == {
        name for name in types if name.endswith("_total")
    }
    assert {"headland_mqtt_total", "headland_wire_bytes_north_total"} <= types.keys()


@pytest.mark.parametrize("path", ["/v1/query?limit=1&limit=2", "/v1/status?a=&a="])
def test_a_parameter_that_is_given_twice_is_refused_by_name(node: RunningNode, path: str) -> None:
    status, body = ask(node, "GET", path, "", {})
    assert status == 400
    assert "given twice" in body
