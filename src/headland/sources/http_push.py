"""Readings pushed by HTTP, as a pure handler: requests in, answers out, no socket.

Routes (all POST; ``GET /ping`` answers 204 to probing clients)::

    /v1/readings          JSON: one reading, an array, {"readings": [...]}, or lines (application/x-ndjson)
    /v1/influx            Influx line protocol; ?precision=ns|us|ms|s|m|h
    /api/v2/write, /write the same for InfluxDB clients, answered 204
    /v1/cloudevents       CloudEvents: structured, batched, binary
    /v1/topics/{topic}    the body as a payload of that topic, read by the declared mappings

A reading is ``{"series": "temp", "value": 21.5, "ts": 1700000000.5, "labels": {"room": "a"}, "seq": 7}``;
`ts` is a number (?precision=auto|s|ms|us|ns, by magnitude by default) or RFC 3339 text, and may be absent
like `labels` and `seq`.

Laws:
    1. A request is accepted whole or refused whole.
    2. 2xx is only ever said of readings that are durable (`committed`), or when there were none.
    3. What is refused by its content is 4xx with ``{"code", "path", "hint", "message"}`` and is not
       remembered.
    4. Idempotency: see `idempotency`. A repeat of a durable request is answered alike, with
       ``Idempotency-Replayed: true``; 422 for the same key with another body; a concurrent repeat waits.
    5. A body never unpacks to more than `PushConfig.max_body_bytes`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Final
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Meta

from headland.line.formats import FormatLimits, RejectReason, Unfit
from headland.line.formats import Mapping as PayloadMapping
from headland.line.formats.found import Found
from headland.line.formats.influx import PRECISION_WORDS, line_protocol
from headland.sources.http_bodies import Headers, events, readings, unpacked
from headland.sources.idempotency import KeyRecord, Keys
from headland.vocabulary import SERIES_CAP, Batch, Instant, SeriesKey, SeriesTable


class PushConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds of HTTP push."""

    max_body_bytes: Annotated[int, Meta(description="Longest body, unpacked, in bytes.", ge=1)] = 16 << 20
    max_readings: Annotated[int, Meta(description="Most readings of one request.", ge=1)] = 100_000
    max_pending: Annotated[int, Meta(description="Requests that may wait for their commit.", ge=1)] = 10_000
    retry_after_s: Annotated[int, Meta(description="Retry-After of a 503, in seconds.", ge=1)] = 5


class Response(msgspec.Struct, frozen=True):
    """An answer.

    Attributes:
        status: HTTP status.
        body: JSON, or empty.
        headers: Headers besides Content-Length; lower-case names.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Accepted(msgspec.Struct, frozen=True):
    """Readings to be offered; the answer follows from `PushHandler.committed` or `PushHandler.refused`.

    Attributes:
        batch: The readings, one message.
        token: Names the request.
        delta: STATE section ``http`` for the commit of the readings; b"" when the request has no key.
    """

    batch: Batch
    token: int
    delta: bytes


class Waiting(msgspec.Struct, frozen=True):
    """A repeat of a request that is under way: it is answered together with the first.

    Attributes:
        token: Names the request.
    """

    token: int


class Answer(msgspec.Struct, frozen=True):
    """An answer to a request that had to wait."""

    token: int
    response: Response


class _Pending(msgspec.Struct):
    """A request under way: its record if it has a key, its answer's status and count, who else waits."""

    record: KeyRecord | None
    status: int
    accepted: int
    waiting: list[int]


_encode: Final = msgspec.json.Encoder().encode
_JSON: Final = ("content-type", "application/json")
_INFLUX: Final = {"/v1/influx": 200, "/api/v2/write": 204, "/write": 204}
_TOPICS: Final = "/v1/topics/"
_STATUS: Final = {
    RejectReason.TOO_LARGE: 413,
    RejectReason.TOO_MANY_READINGS: 413,
    RejectReason.SERIES_LIMIT: 507,
}


class PushHandler:
    """Requests to readings, and durable commits to answers.

    Args:
        table: This node's series numbering.
        config: Bounds.
        limits: Bounds of the formats.
        mapping: Declared mappings, for ``/v1/topics``; None turns that route off.
    """

    def __init__(
        self,
        table: SeriesTable,
        config: PushConfig | None = None,
        limits: FormatLimits | None = None,
        mapping: PayloadMapping | None = None,
    ) -> None:
        self._config = config or PushConfig()
        base = limits or FormatLimits()
        self._limits = msgspec.structs.replace(base, max_readings=self._config.max_readings)
        self._table = table
        self._mapping = mapping
        self._sids: dict[SeriesKey, int] = {}
        self.keys = Keys()
        self._pending: dict[int, _Pending] = {}
        self._by_owner: dict[tuple[str, str], int] = {}
        self._first_of: dict[int, int] = {}
        self._tokens = 0

    def remap(self, mapping: PayloadMapping, limits: FormatLimits) -> None:
        """Read payloads by other mappings and bounds from now on."""
        self._mapping = mapping
        self._limits = msgspec.structs.replace(limits, max_readings=self._config.max_readings)

    def request(
        self, principal: str, method: str, path: str, headers: Headers, body: bytes, now: Instant
    ) -> Response | Accepted | Waiting:
        """Handle one request.

        Args:
            principal: Who sent it, as authenticated; "" for anonymous.
            method: HTTP method.
            path: Path with its query.
            headers: Lower-case names.
            body: As received, packed or not.
            now: The moment.
        """
        route, _, query = path.partition("?")
        refusal = self._refuse_route(method, route)
        if refusal is not None:
            return refusal
        owner, digest = (principal, headers.get("idempotency-key", "")), b""
        if owner[1]:
            if len(owner[1]) > 255 or not owner[1].isprintable():
                return problem(400, "bad_idempotency_key", "", "1 to 255 printable characters")
            media = headers.get("content-type", "")
            digest = blake2b(b"\0".join((path.encode(), media.encode(), body)), digest_size=16).digest()
            known = self._known(owner, digest, now)
            if known is not None:
                return known
        if len(self._pending) >= self._config.max_pending:
            return self._unavailable("busy")
        try:
            raw = unpacked(body, headers.get("content-encoding", ""), self._config.max_body_bytes)
            batch = self._batch(route, dict(parse_qsl(query)), headers, raw, now)
        except Unfit as unfit:
            status = _STATUS.get(unfit.reason, 415 if unfit.path == "content-encoding" else 400)
            return problem(status, str(unfit.reason), unfit.path, unfit.hint, str(unfit.args[0]))
        status = _INFLUX.get(route, 200)
        if not batch.sid:
            return success(status, 0)
        token = self._token()
        record = KeyRecord(*owner, digest, status, len(batch.sid), now.wall_ns) if owner[1] else None
        self._pending[token] = _Pending(record, status, len(batch.sid), [])
        if record is None:
            return Accepted(batch, token, b"")
        self._by_owner[owner] = token
        return Accepted(batch, token, self.keys.begin(record))

    def committed(self, token: int) -> list[Answer]:
        """The commit of the request's readings is durable: its answer, and those of its repeats."""
        pending = self._end(token)
        if pending is None:
            return []
        if pending.record is not None:
            self.keys.committed(pending.record)
        first = Answer(token, success(pending.status, pending.accepted))
        again = success(pending.status, pending.accepted, replayed=True)
        return [first, *(Answer(waiting, again) for waiting in pending.waiting)]

    def refused(self, token: int, code: str = "disk_full") -> list[Answer]:
        """Nothing was stored, and the delta is in no commit: 503 with Retry-After to all who wait."""
        pending = self._end(token)
        if pending is None:
            return []
        if pending.record is not None:
            self.keys.refused(pending.record)
        response = self._unavailable(code)
        return [Answer(waiting, response) for waiting in (token, *pending.waiting)]

    def unfit(self, token: int, code: str, hint: str) -> list[Answer]:
        """The readings can never be taken together, and nothing was stored: 422 to all who wait."""
        pending = self._end(token)
        if pending is None:
            return []
        if pending.record is not None:
            self.keys.refused(pending.record)
        response = problem(422, code, "body", hint)
        return [Answer(waiting, response) for waiting in (token, *pending.waiting)]

    def gone(self, token: int) -> None:
        """The connection of a request was closed: nobody waits for that answer. Its readings go on."""
        first = self._first_of.pop(token, None)
        pending = self._pending.get(first) if first is not None else None
        if pending is not None:
            pending.waiting.remove(token)

    def snapshot(self) -> bytes:
        """The keys."""
        return self.keys.snapshot()

    def restore(self, data: bytes) -> None:
        """Take over a snapshot of the keys."""
        self.keys.restore(data)

    def replay(self, data: bytes) -> None:
        """Apply the delta of one request."""
        self.keys.replay(data)

    def _refuse_route(self, method: str, route: str) -> Response | None:
        if route == "/ping" and method in ("GET", "HEAD"):
            return Response(204)
        topics = self._mapping is not None and route.startswith(_TOPICS) and len(route) > len(_TOPICS)
        if not topics and route not in ("/v1/readings", "/v1/cloudevents") and route not in _INFLUX:
            return problem(404, "no_such_route", route, "POST to /v1/readings, /v1/influx or /v1/cloudevents")
        if method != "POST":
            return msgspec.structs.replace(
                problem(405, "method_not_allowed", route, "use POST"), headers=(_JSON, ("allow", "POST"))
            )
        return None

    def _known(self, owner: tuple[str, str], digest: bytes, now: Instant) -> Response | Waiting | None:
        record = self.keys.find(owner, now)
        if record is None:
            return None
        if record.digest != digest:
            return problem(
                422, "idempotency_key_reused", "idempotency-key", "a new request needs a new key",
                "the key was used with another body",
            )  # fmt: skip
        first = self._by_owner.get(owner)
        if first is None:
            return success(record.status, record.accepted, replayed=True)
        token = self._token()
        self._pending[first].waiting.append(token)
        self._first_of[token] = first
        return Waiting(token)

    def _batch(self, route: str, query: dict[str, str], headers: Headers, raw: bytes, now: Instant) -> Batch:
        if route.startswith(_TOPICS) and self._mapping is not None:
            batch = Batch()
            topic = unquote(route[len(_TOPICS) :])
            if set(topic) & set("+#\0"):
                raise Unfit(RejectReason.BAD_NAME, "a topic to publish to is without + and #", path="topic")
            for rejected in self._mapping.decode_run([topic], [raw], now.wall_ns, batch, [headers]):
                raise Unfit(rejected.reason, rejected.detail)
            return batch
        if route == "/v1/readings":
            found = readings(raw, headers, query, self._limits)
        elif route == "/v1/cloudevents":
            found = events(raw, headers, self._limits)
        else:
            word = query.get("precision", "")
            precision = PRECISION_WORDS.get(word)
            if precision is None:
                raise Unfit(RejectReason.BAD_TIME, f"unknown precision {word[:20]!r}", path="precision")
            found = line_protocol(raw, precision, self._limits)
        return self._numbered(found, len(raw))

    def _numbered(self, found: Found, size: int) -> Batch:
        sids, table = self._sids, self._table
        new = {key for key in found.name if isinstance(key, SeriesKey) and key not in sids}
        if len(table) + len(new) > SERIES_CAP and any(table.find(key) == 0 for key in new):
            raise Unfit(RejectReason.SERIES_LIMIT, f"this node numbers at most {SERIES_CAP} series")
        for key in found.name:
            if isinstance(key, SeriesKey) and key in new:
                sids[key] = table.intern(key)
        rows = len(found.name)
        share, rest = divmod(size, rows) if rows else (0, 0)
        sizes = [share + rest] + [share] * (rows - 1) if rows else []
        return Batch(
            [sids[key] for key in found.name if isinstance(key, SeriesKey)],
            found.ts,
            found.value,
            sizes,
            found.seq,
            message_ends=[rows],
        )

    def _end(self, token: int) -> _Pending | None:
        pending = self._pending.pop(token, None)
        if pending is None:
            return None
        if pending.record is not None:
            self._by_owner.pop(pending.record.owner, None)
        for waiting in pending.waiting:
            self._first_of.pop(waiting, None)
        return pending

    def _token(self) -> int:
        self._tokens += 1
        return self._tokens

    def _unavailable(self, code: str) -> Response:
        response = problem(503, code, "", "send the same request again later")
        retry = ("retry-after", str(self._config.retry_after_s))
        return msgspec.structs.replace(response, headers=(_JSON, retry))


def problem(status: int, code: str, path: str, hint: str, message: str = "") -> Response:
    """An error as JSON."""
    body = {"code": code, "path": path, "hint": hint, "message": message or code.replace("_", " ")}
    return Response(status, _encode(body), (_JSON,))


def success(status: int, accepted: int, *, replayed: bool = False) -> Response:
    """A success: 204 without a body, else the number of readings."""
    headers = (("idempotency-replayed", "true"),) if replayed else ()
    if status == 204:
        return Response(204, b"", headers)
    return Response(status, _encode({"accepted": accepted}), (_JSON, *headers))
