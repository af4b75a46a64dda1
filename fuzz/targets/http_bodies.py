"""Bodies pushed by HTTP: a byte for the route, one for headers, then the body."""

from __future__ import annotations

import gzip
import json

from fuzz.laws import check_batch, story_of
from fuzz.target import Target, hold
from headland.line.formats import Mapping
from headland.sources.http_push import Accepted, PushConfig, PushHandler, Response, Waiting
from headland.vocabulary import Instant, SeriesTable

NOW = Instant(10**9, 1_700_000_000 * 10**9)
ROUTES = (
    "/v1/readings", "/v1/readings?precision=ms", "/v1/influx", "/v1/influx?precision=s",
    "/api/v2/write?precision=us",
    "/write?precision=h&x=%zz", "/v1/cloudevents", "/v1/topics/a/b", "/v1/topics/%2b%00", "/ping", "/v1/none",
)  # fmt: skip
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"content-type": "application/x-ndjson"},
    {"content-type": "application/cloudevents+json"},
    {"content-type": "application/cloudevents-batch+json"},
    {
        "ce-specversion": "1.0",
        "ce-type": "t",
        "ce-source": "/s",
        "ce-id": "1",
        "content-type": "application/json",
    },
    {"content-encoding": "gzip"},
    {"content-encoding": "br"},
    {"idempotency-key": "k"},
)
BOUNDS = PushConfig(max_body_bytes=8_192, max_readings=200)


def check(data: bytes) -> bytes:
    """A body is accepted whole, with readings that can be kept, or refused with a reason, and leaves none."""
    route, headers, body = (
        ROUTES[(data[0] if data else 0) % len(ROUTES)],
        HEADERS[(data[1:2] or b"\0")[0] % 8],
        data[2:],
    )
    table = SeriesTable()
    push = PushHandler(table, BOUNDS, mapping=Mapping([], table))
    outcome = push.request("p", "POST", route, headers, body, NOW)
    match outcome:
        case Response(status):
            hold(status in (200, 204) or 400 <= status < 500, f"answered {status}")
            hold(status not in (200, 204) or not len(table), "nothing was accepted and series were numbered")
            if status >= 400:
                told = json.loads(outcome.body)
                hold(set(told) == {"code", "path", "hint", "message"}, f"{told}")
            return f"{status} {outcome.body!r}".encode()
        case Accepted(batch, token):
            hold(
                0 < len(batch.sid) <= BOUNDS.max_readings or route.startswith("/v1/topics"),
                f"{len(batch.sid)} readings",
            )
            payload = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            check_batch(batch, [payload], set(), table)
            answers = push.committed(token)
            hold(len(answers) == 1 and answers[0].response.status in (200, 204), f"{answers}")
            again = push.request("p", "POST", route, headers, body, NOW)
            hold(
                isinstance(again, Response) == ("idempotency-key" in headers),
                f"a repeat is answered {again!r}",
            )
            return story_of(batch, table)
        case Waiting():
            hold(condition=False, story="the first request waits for another")
    return b""


def seeds() -> dict[str, bytes]:
    """Bodies for every route, packed and not."""
    one = b'{"series":"temp","value":21.5,"ts":1700000000,"labels":{"room":"a"},"seq":7}'
    event = b'{"specversion":"1.0","type":"t","source":"/s","id":"1","data":{"value":5}}'
    bodies = {
        "one": (0, 0, one),
        "array": (1, 0, b"[" + one + b"," + one + b"]"),
        "object": (0, 7, b'{"readings":[' + one + b"]}"),
        "lines": (0, 1, one + b"\n" + one),
        "packed": (0, 5, gzip.compress(one, mtime=0) * 2),
        "bomb": (0, 5, gzip.compress(b" " * 100_000, mtime=0)),
        "influx": (2, 0, b"m,a=b v=1,w=2i 5\nm v=3"),
        "write": (4, 0, b"m v=1 5"),
        "hours": (5, 0, b"m v=1 5"),
        "event": (6, 2, event),
        "events": (6, 3, b"[" + event + b"," + event + b"]"),
        "binary": (6, 4, b'{"value":5}'),
        "topic": (7, 0, b'{"value":5,"ts":1700000000}'),
        "wild": (8, 0, b"5"),
        "ping": (9, 6, b""),
        "unknown": (0, 0, b'{"name":"x","val":1}'),
    }
    return {name: bytes((route, headers)) + body for name, (route, headers, body) in bodies.items()}


TARGET = Target(
    name="http_bodies",
    law="a body is accepted whole, with readings that can be kept, or refused with a reason",
    check=check,
    seeds=seeds,
    words=(
        b'"series"',
        b'"value"',
        b'"ts"',
        b'"seq"',
        b'"labels"',
        b"null",
        b"1e999",
        b"-1",
        b"9223372036854775808",
        b"\\ud800",
        b"[",
        b"{",
        b"\n",
        b"\x1f\x8b\x08",
    ),
    rounds=2_500,
)
