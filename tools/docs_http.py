"""docs/reference/http.md: routes from the table in the code, and examples that a test sends to a node."""

from __future__ import annotations

from typing import NamedTuple

from headland.node.http_routes import ROUTES
from headland.sources.http_bodies import ReadingBody


class Example(NamedTuple):
    """A request, and what is answered to it."""

    title: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    answer: str
    """Part of the body of the answer."""


JSON = {"Content-Type": "application/json"}
EXAMPLES = (
    Example(
        "One reading",
        "/v1/readings",
        JSON,
        '{"series": "press/heat", "value": 21.5, "ts": "2026-03-01T12:00:00Z", "labels": {"h": "2"}}',
        200,
        '{"accepted":1}',
    ),
    Example(
        "Several; numbers as times, in a unit that is said",
        "/v1/readings?precision=ms",
        JSON,
        '[{"series": "a", "value": 1, "ts": 1772366400000}, {"series": "b", "value": true}]',
        200,
        '{"accepted":2}',
    ),
    Example(
        "JSON lines, safe to send again: the second time is answered alike and stored once",
        "/v1/readings",
        {"Content-Type": "application/x-ndjson", "Idempotency-Key": "shift-7"},
        '{"series": "a", "value": 2, "seq": 1}\n{"series": "a", "value": 3, "seq": 2}',
        200,
        '{"accepted":2}',
    ),
    Example(
        "Influx line protocol",
        "/api/v2/write?precision=s",
        {"Content-Type": "text/plain; charset=utf-8"},
        "cpu,host=gw-1 idle=97.5,busy=2i 1772366400",
        204,
        "",
    ),
    Example(
        "A CloudEvent",
        "/v1/cloudevents",
        {"Content-Type": "application/cloudevents+json"},
        '{"specversion": "1.0", "id": "1", "source": "/press", "type": "t", "data": {"value": 21.5}}',
        200,
        '{"accepted":1}',
    ),
    Example(
        "A payload of a topic",
        "/v1/topics/press/pressure",
        {"Content-Type": "application/octet-stream"},
        "4.2",
        200,
        '{"accepted":1}',
    ),
    Example(
        "A mistake: nothing of the request is taken",
        "/v1/readings",
        JSON,
        '{"series": "a", "value": 1, "time": 1772366400}',
        400,
        '"hint":"`ts`',
    ),
)

HEAD = """# The HTTP listener

On `http.address`, `http.port` (8480). JSON unless said otherwise. Rights (`push`, `read`, `operate`) are
those of the bearer token, of a client certificate (`push`, `read`), or all of them where `http.anonymous` is
true. What a web page may have sent is refused: [certificates and users](../certificates-and-users.md).
"""
PUSH = """## Pushing readings

2xx means on disk. A request is taken whole or refused whole; a body may be gzip (`Content-Encoding`). With an
`Idempotency-Key` (1 to 255 characters) a repeat of the same request is answered alike, with
`Idempotency-Replayed: true`, and stored once; the same key with another body is 422.
"""
ERRORS = """## Errors

`{"code", "message"}`, of a push also `"path"` (the place in the body) and `"hint"`.

| status | when |
|---|---|
| 400 | the body or an argument does not fit: what and where is in the answer |
| 401, 403 | no token, or one without the right; a page of another site |
| 404, 405 | no such route; not this method. A query to a node that stores nothing |
| 408, 413, 414, 431 | too slow or too large (`http.request_s`, `http.body_bytes_max`) |
| 409 | an order that cannot be carried out now |
| 415 | no content type, one of a web form, or an unknown `Content-Encoding` |
| 421 | `Host` is no name of this node (`http.hosts`) |
| 422 | an idempotency key used again; readings that can never be taken together |
| 503 | nothing is taken in, or too much waits: send the same again after `Retry-After` seconds |
| 507 | more series than a node numbers |
"""


def document() -> str:
    """The page."""
    parts = [HEAD, "| route | right | what | arguments |", "|---|---|---|---|"]
    parts += [
        f"| `{one.method} {one.path}` | {one.may or '-'} | {one.text} | {one.arguments or '-'} |"
        for one in ROUTES
    ]
    fields = ", ".join(f"`{name}`" for name in ReadingBody.__struct_fields__)
    parts += [
        "",
        PUSH,
        f"Fields of a reading: {fields}. `ts` is a number or RFC 3339 text;",
        "`ts`, `labels` and `seq` may be absent.",
        "",
    ]
    for one in EXAMPLES:
        headers = "".join(f"{name}: {value}\n" for name, value in one.headers.items())
        parts.append(f"{one.title}:\n\n```http\nPOST {one.path}\n{headers}\n{one.body}\n```\n")
        parts.append(f"answers {one.status}{f' `{one.answer}`' if one.status == 200 else ''}.\n")
    return "\n".join([*parts, ERRORS])
