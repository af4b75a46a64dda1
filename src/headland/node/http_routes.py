"""Every route of a node's HTTP listener: what it is for, who may ask, with which arguments.

`headland.node.http_api` serves them; docs/reference/http.md is made from this table by `./dev docs`, and a
test compares both: a route without a line here fails.
"""

from __future__ import annotations

import re

import msgspec


class Route(msgspec.Struct, frozen=True):
    """One route.

    Attributes:
        method: GET or POST.
        path: Its path; words in capitals stand for something.
        may: The right it takes, "" for none.
        text: What it is for.
        arguments: Of the query, in words.
    """

    method: str
    path: str
    may: str
    text: str
    arguments: str = ""


ROUTES = (
    Route("GET", "/healthz", "", "200 while the process turns and the books balance, else 503"),
    Route("GET", "/readyz", "", "200 once listeners are open and while readings are taken in, else 503"),
    Route("GET", "/openapi.json", "read", "this interface, as an OpenAPI 3.1 document"),
    Route("GET", "/metrics", "read", "figures in Prometheus' text format 0.0.4"),
    Route("GET", "/v1/status", "read", "one look at the node, as `headland status --json`"),
    Route("GET", "/v1/ledger", "read", "the books, as `headland ledger --json`", "`hours=1`: by hour, too"),
    Route("GET", "/v1/queue", "read", "what waits for the parent, by class and lane"),
    Route("GET", "/v1/queue/dead", "read", "dead letters: what was given up, and why"),
    Route("GET", "/v1/quarantine", "read", "payloads that did not fit, and why"),
    Route("GET", "/v1/gaps", "read", "at a node that stores: blocks that it does not have"),
    Route("GET", "/v1/children", "read", "children, what is wanted of them and what they said"),
    Route(
        "GET",
        "/v1/query",
        "read",
        "at a node that stores: rows, as `headland query --json`",
        "`series`, `origin` (patterns), `since_ns`, `until_ns`, `kind`, `order`, `revisions`, "
        "`forked`, `limit`",
    ),
    Route("POST", "/v1/queue/resend", "operate", "send a dead letter again", "`number`"),
    Route(
        "POST",
        "/v1/queue/release",
        "operate",
        "let a stopped stream go on",
        "`stream`, `as=waiting` or `as=dead`",
    ),
    Route("POST", "/v1/queue/parent-gone", "operate", "what a parent that is gone may hold counts as unsent"),
    Route("POST", "/v1/queue/demand", "operate", "seal and send what an on-demand class has", "`class`"),
    Route(
        "POST",
        "/v1/children/SITE/NAME/intents/config",
        "operate",
        "want this TOML in force at a child, as `headland intent push`",
    ),
    Route("POST", "/v1/readings", "push", "readings as JSON", "`precision=auto`, `s`, `ms`, `us`, `ns`"),
    Route("POST", "/v1/influx", "push", "Influx line protocol", "`precision=ns`, `us`, `ms`, `s`, `m`, `h`"),
    Route("POST", "/api/v2/write", "push", "the same for InfluxDB 2 clients, answered 204", "`precision`"),
    Route("POST", "/write", "push", "the same for InfluxDB 1 clients, answered 204", "`precision`"),
    Route("POST", "/v1/cloudevents", "push", "CloudEvents 1.0: structured, batched or binary"),
    Route("POST", "/v1/topics/TOPIC", "push", "the body as a payload of that topic, read by the mappings"),
    Route("GET", "/ping", "push", "204, for clients that probe"),
)


PLACEHOLDER = re.compile("[A-Z]{4,}")
"""A word of a path that stands for something, slashes included."""
_EXACT: dict[str, tuple[str, ...]] = {}
_PATTERNS: list[tuple[re.Pattern[str], str]] = []
for _one in ROUTES:
    if PLACEHOLDER.search(_one.path):
        _PATTERNS.append((re.compile(PLACEHOLDER.sub(".+", re.escape(_one.path)), re.DOTALL), _one.method))
    else:
        _EXACT[_one.path] = (*_EXACT.get(_one.path, ()), _one.method)


def methods_of(path: str) -> tuple[str, ...]:
    """The methods that a path is asked with; none where there is no such route."""
    found = _EXACT.get(path)
    if found is not None:
        return found
    return tuple(method for pattern, method in _PATTERNS if pattern.fullmatch(path))
