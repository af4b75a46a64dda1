"""Laws of the HTTP listener's guard: no web page drives a node, and everybody else is served as before."""

from __future__ import annotations

import http.client
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.node.running import RunningNode

from headland.drivers.http_messages import Request
from headland.node.http_guard import Guard

OURS = "127.0.0.1:8480"
JSON = "application/json"
INTENT = "/v1/children/site/dev/intents/config"


def refused(
    method: str, path: str, *, guard: Guard | None = None, bearer: str = "", body: bytes = b"", **headers: str
) -> int:
    """Status of the refusal, 0 for none."""
    named = {"host": OURS} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(1, 1, method, path, path, "", named, body, "127.0.0.1:1", "", bearer)
    refusal = (guard or Guard(frozenset({"gateway"}))).refuse(request)
    return refusal.status if refusal is not None else 0


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:3000", "https://[", ""])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/query"), ("GET", "/metrics"), ("POST", "/v1/readings"), ("POST", INTENT),
     ("POST", "/v1/queue/release"), ("POST", "/write"), ("OPTIONS", "/v1/readings")],
)  # fmt: skip
def test_a_page_of_another_site_is_refused_everywhere(method: str, path: str, origin: str) -> None:
    assert refused(method, path, origin=origin, content_type=JSON) == 403
    assert refused(method, path, origin=origin, content_type=JSON, bearer="t" * 16) == 403


def test_a_page_of_the_node_itself_is_served() -> None:
    assert refused("GET", "/v1/status", origin=f"http://{OURS}", sec_fetch_site="same-origin") == 0
    assert refused("POST", "/v1/readings", origin=f"http://{OURS}", content_type=JSON, body=b"{}") == 0


def test_what_a_browser_says_of_itself_is_believed_and_a_link_may_be_followed() -> None:
    assert refused("GET", "/v1/status", sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == 403
    assert refused("GET", "/v1/status", sec_fetch_site="same-site") == 403
    assert refused("GET", "/v1/status", sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 0
    assert refused("POST", INTENT, sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 403
    assert refused("GET", "/v1/status", sec_fetch_site="none") == 0


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8480", "127.0.0.1.evil.example", "x@evil.example", "localhost.evil", "a b",
     "[::1", "127.0.0.1:80@evil.example"],
)  # fmt: skip
def test_a_name_that_is_not_ours_is_refused_so_that_none_can_be_rebound(host: str) -> None:
    assert refused("GET", "/v1/query", host=host) == 421
    assert refused("POST", "/v1/readings", host=host, content_type=JSON) == 421
    assert refused("GET", "/v1/query", host=host, bearer="t" * 16) == 0, "no page has a token"
    assert refused("GET", "/v1/query", host=host, guard=Guard(secure=True)) == 0, "no certificate would fit"
    assert refused("GET", "/healthz", host=host) == 0


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:1", "[::1]:8480", "localhost:8480", "LOCALHOST", "gateway:8480", "192.0.2.7"],
)
def test_addresses_and_our_own_names_are_served(host: str) -> None:
    assert refused("GET", "/v1/query", host=host) == 0


@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; x=y"]
)
def test_what_a_form_can_send_is_not_taken_but_for_lines(media: str) -> None:
    for path in ("/v1/readings", "/v1/cloudevents", "/v1/topics/a", INTENT, "/v1/queue/resend"):
        assert refused("POST", path, content_type=media, body=b"x") == 415
    for path in ("/write", "/api/v2/write", "/v1/influx"):
        assert refused("POST", path, content_type=media, body=b"x") == (415 if "multipart" in media else 0)


def test_a_body_of_no_type_is_refused_and_an_order_without_a_body_is_not() -> None:
    assert refused("POST", "/v1/readings", body=b"{}") == 415
    assert refused("POST", "/v1/readings", content_length="2") == 415, "before the body has come"
    assert refused("POST", "/v1/queue/demand") == 0
    assert refused("POST", "/v1/queue/demand", content_length="0") == 0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with RunningNode(tmp_path_factory.mktemp("guard") / "n") as running:
        yield running


def ask(node: RunningNode, method: str, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", node.ports["http"], timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    got = answer.status, answer.read()
    connection.close()
    return got


def test_a_running_node_takes_nothing_from_a_page(node: RunningNode) -> None:
    reading = b'{"series": "forged", "value": 1}'
    evil = "http://evil.example"
    for headers in (
        {"origin": evil, "content-type": "text/plain"},
        {"origin": evil, "content-type": JSON},
        {"content-type": "text/plain"},
        {"host": "evil.example", "content-type": JSON},
    ):
        status, _ = ask(node, "POST", "/v1/readings", reading, **headers)
        assert status in (403, 415, 421)
    assert ask(node, "GET", "/v1/query", b"", host="evil.example")[0] == 421
    assert node.values("forged") == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
def test_curl_is_served(node: RunningNode, tmp_path: Path) -> None:
    url = f"http://localhost:{node.ports['http']}"
    big = tmp_path / "big.json"
    big.write_text('{"series": "big", "value": "' + "x" * 60_000 + '"}' + " " * 200_000)
    for more in (
        ["-H", f"Content-Type: {JSON}", "-d", '{"series": "s", "value": 1}', f"{url}/v1/readings"],
        ["-H", f"Content-Type: {JSON}", "--data-binary", f"@{big}", f"{url}/v1/readings"],
        ["--data-binary", "cpu value=1", f"{url}/api/v2/write"],
        ["-X", "POST", f"{url}/v1/queue/demand?class=low"],
        [f"{url}/v1/status"],
    ):
        done = subprocess.run(
            ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *more],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert done.stdout in ("200", "204", "409"), (more, done)
