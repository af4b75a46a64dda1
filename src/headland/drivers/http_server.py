"""A small HTTP/1.1 server over the network driver: keep-alive, pipelining, deferred answers, bounds.

Laws:

* Answers leave in the order of the requests of their connection, one request being served at a time.
* A handler answers at once, or returns None and answers later with `answer(request.number, ...)`: an
  accepted push is answered after its commit.
* Every request is answered once, or its connection is closed. What is not answered in `answer_s` is
  answered 503 with Retry-After; the late answer is then dropped.
* A message that is malformed, ambiguous (Content-Length twice, or beside Transfer-Encoding) or too large ends
  the connection after its error: what follows it cannot be trusted to be a request.
* A large body is not read before its sender may send it (`Gate`), and all bodies together have a bound.
* Headers: at most `HEADERS_MAX`, `HEADER_BYTES_MAX` in all; target at most `TARGET_BYTES_MAX`; body as set.
  A request must be whole `request_s` after its first byte, however slowly its bytes drip.

Parsing is llhttp's (httptools). RFC 9110, RFC 9112; an offered upgrade is ignored, as a server may; no
trailers, no compression.
"""

from __future__ import annotations

from collections import deque
from http import HTTPStatus
from urllib.parse import unquote

import httptools

from headland.drivers.http_messages import Gate, Handler, HttpLimits, Request, Response, Wire, date_of
from headland.vocabulary import Instant

__all__ = ["Gate", "Handler", "HttpLimits", "HttpServer", "Request", "Response", "Wire"]

HEADERS_MAX = 64
HEADER_BYTES_MAX = 16 * 1024
TARGET_BYTES_MAX = 8 * 1024
PIPELINED_MAX = 64
SMALL_BODY_BYTES = 64 * 1024
"""Up to here a body is read before anything is asked: its sender gets an answer and may go on."""

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


class HttpServer:
    """Serves the connections that it is told of; decides nothing about what they ask for.

    Call `opened`, `received` and `closed` with the network's events of its listeners, `tick` once a second.

    Attributes:
        served: Answers by status.
        refused: Connections ended for a malformed request or a bound.
        gate: Judges the head of a request with a large body.
        body_bytes: Of all requests that are not answered.
    """

    def __init__(
        self,
        wire: Wire,
        handler: Handler,
        limits: HttpLimits | None = None,
        gate: Gate = lambda _request: None,
    ) -> None:
        self._wire = wire
        self._handler = handler
        self.gate = gate
        self.body_bytes = 0
        self.limits = limits or HttpLimits()
        self._conversations: dict[int, _Conversation] = {}
        self._asked: dict[int, _Conversation] = {}
        self._last = 0
        self._now_ns = 0
        self._date = ""
        self.served: dict[int, int] = {}
        self.refused = 0

    def opened(self, connection: int, peer: str, principal: str, now: Instant) -> None:
        """A client has connected."""
        self._see(now)
        self._conversations[connection] = _Conversation(self, connection, peer, principal, now.monotonic_ns)
        self._wire.established(connection)

    def received(self, connection: int, data: bytes, now: Instant) -> None:
        """Bytes of a client."""
        self._see(now)
        conversation = self._conversations.get(connection)
        if conversation is not None:
            conversation.feed(data)

    def closed(self, connection: int) -> None:
        """A client is gone; what it asked may still be answered, to nobody."""
        conversation = self._conversations.pop(connection, None)
        if conversation is None:
            return
        conversation.forget_bodies()
        if conversation.serving:
            self._asked.pop(conversation.serving, None)

    def answer(self, number: int, response: Response) -> bool:
        """Answer a deferred request; False when nobody waits for it any more."""
        conversation = self._asked.pop(number, None)
        if conversation is None:
            return False
        conversation.finish(response)
        return True

    def tick(self, now: Instant) -> None:
        """Once a second: what took too long is ended."""
        self._see(now)
        for conversation in list(self._conversations.values()):
            conversation.check(now.monotonic_ns, self.limits)

    @property
    def waiting(self) -> int:
        """Requests that are not answered yet."""
        return len(self._asked)

    def drop(self, connection: int) -> None:
        """Forget a connection and close it, after what was written."""
        self.closed(connection)
        self._wire.close(connection)

    def ask(self, conversation: _Conversation, request: Request) -> Response | None:
        """Hand a request to the handler."""
        self._asked[request.number] = conversation
        response = self._handler(request)
        if response is None:
            return None
        # A handler may have answered by number before it returned; then this one is the second answer.
        return response if self._asked.pop(request.number, None) is not None else None

    def number(self) -> int:
        """A request number never given before."""
        self._last += 1
        return self._last

    def write(self, connection: int, data: bytes) -> None:
        """Bytes to a client."""
        self._wire.send(connection, data)

    def hold(self, connection: int, *, still: bool) -> None:
        """Stop or go on reading a client."""
        if still:
            self._wire.pause(connection)
        else:
            self._wire.resume(connection)

    def count(self, status: int) -> None:
        """Count an answer."""
        self.served[status] = self.served.get(status, 0) + 1

    def now_ns(self) -> int:
        """Monotonic time of the latest event."""
        return self._now_ns

    def date(self) -> str:
        """The time, as a header."""
        return self._date

    def _see(self, now: Instant) -> None:
        if now.monotonic_ns - self._now_ns > 500_000_000 or not self._date:
            self._date = date_of(now.wall_ns // 1_000_000_000)
        self._now_ns = now.monotonic_ns


class _Draft:
    """A request of which bytes are still missing."""

    __slots__ = ("body", "expects", "header_bytes", "headers", "length", "started_ns", "target")

    def __init__(self, started_ns: int) -> None:
        self.started_ns = started_ns
        self.target = b""
        self.headers: dict[str, str] = {}
        self.header_bytes = 0
        self.body = bytearray()
        self.length = -1
        self.expects = False


class _Refusal(Exception):
    """The message ends here, with this status or answer."""

    def __init__(self, status: int, response: Response | None = None) -> None:
        super().__init__(status)
        self.response = response or _plain(status)


class _Conversation:
    """One connection: a parser, the request in service, and those that arrived behind it."""

    def __init__(self, server: HttpServer, connection: int, peer: str, principal: str, now_ns: int) -> None:
        self._server = server
        self._connection = connection
        self._peer = peer
        self._principal = principal
        self._parser = httptools.HttpRequestParser(self)
        self._draft: _Draft | None = None
        self._queue: deque[tuple[Request, bool]] = deque()
        self.serving = 0
        """Number of the request in service, 0 for none."""
        self._serving_head = False
        self._serving_keep = True
        self._asked_ns = 0
        self._idle_ns = now_ns
        self._last_words: Response | None = None
        """A refusal that has to wait for the answers before it."""
        self._held = 0
        """Bytes of bodies: of what is served, of what waits, of what is read."""
        self._serving_bytes = 0
        self._still = False
        self._deaf = False
        self._over = False
        self._limit_s = server.limits.request_s
        """How long it may be idle: the first request must not be long in coming."""

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._over or self._last_words is not None:
            return
        if self._deaf:
            self._take_rest(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Java's client offers HTTP/2 with every request. It is served; no other is read after it.
            self._deaf = True
            self._take_rest(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, _Refusal):
                raise
            self._refuse(cause.response)
        except httptools.HttpParserError:
            self._refuse(_plain(400))
        else:
            self._advance()

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        """A first byte."""
        if len(self._queue) >= PIPELINED_MAX:
            raise _Refusal(503)
        self._draft = _Draft(self._server.now_ns())

    def on_url(self, url: bytes) -> None:
        """Part of the target."""
        draft = self._open_draft()
        draft.target += url
        if len(draft.target) > TARGET_BYTES_MAX:
            raise _Refusal(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        draft = self._open_draft()
        draft.header_bytes += len(name) + len(value) + 4
        if draft.header_bytes > HEADER_BYTES_MAX or len(draft.headers) >= HEADERS_MAX:
            raise _Refusal(431)
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1").strip()
        known = draft.headers.get(key)
        if known is not None and key in ("host", "content-length", "authorization", "transfer-encoding"):
            raise _Refusal(400)
        draft.headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        """The body follows."""
        draft = self._open_draft()
        headers = draft.headers
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            # A line without a version is HTTP/0.9 to the parser; RFC 9112 (section 3) knows no such request.
            raise _Refusal(400 if version == "0.9" else 505)
        if version == "1.1" and "host" not in headers:
            raise _Refusal(400)
        if "content-length" in headers and "transfer-encoding" in headers:
            raise _Refusal(400)
        length = headers.get("content-length", "")
        if length.isdigit():
            draft.length = int(length)
            if draft.length > self._server.limits.body_bytes_max:
                raise _Refusal(413)
        if draft.length > SMALL_BODY_BYTES or "transfer-encoding" in headers:
            refusal = self._server.gate(self._request(draft, self._parser.get_method().decode("latin-1"), 0))
            if refusal is not None:
                raise _Refusal(refusal.status, refusal)
        if "expect" in headers:
            if headers["expect"].lower() != "100-continue":
                raise _Refusal(417)
            draft.expects = True
            self._encourage()

    def on_body(self, data: bytes) -> None:
        """Part of the body."""
        draft = self._open_draft()
        draft.expects = False
        self._take_body(draft, data)

    def _take_body(self, draft: _Draft, data: bytes) -> None:
        draft.body += data
        self._held += len(data)
        self._server.body_bytes += len(data)
        if len(draft.body) > self._server.limits.body_bytes_max:
            raise _Refusal(413)
        if self._server.body_bytes > self._server.limits.bodies_bytes_max:
            raise _Refusal(503, _plain(503, (("Retry-After", "5"),)))

    def forget_bodies(self) -> None:
        """Nothing of this connection is kept any more."""
        self._let_go(self._held)

    def _let_go(self, size: int) -> None:
        self._held -= size
        self._server.body_bytes -= size

    def on_message_complete(self) -> None:
        """The request is whole."""
        draft = self._open_draft()
        method = self._parser.get_method().decode("latin-1")
        if method not in _METHODS:
            raise _Refusal(501)
        if not self._parser.should_upgrade():
            self._queue.append((self._request(draft, method), bool(self._parser.should_keep_alive())))
            self._draft = None
        elif "transfer-encoding" in draft.headers:
            raise _Refusal(501)

    def _take_rest(self, data: bytes) -> None:
        """The body of a request with an offered upgrade, which the parser leaves to us."""
        draft = self._draft
        if draft is None:
            return
        try:
            self._take_body(draft, data[: max(0, draft.length) - len(draft.body)])
        except _Refusal as refusal:
            self._refuse(refusal.response)
            return
        if len(draft.body) >= draft.length:
            try:
                request = self._request(draft, self._parser.get_method().decode("latin-1"))
            except _Refusal as refusal:
                self._refuse(refusal.response)
                return
            self._draft = None
            self._queue.append((request, False))
        self._advance()

    def _request(self, draft: _Draft, method: str, number: int | None = None) -> Request:
        try:
            url = httptools.parse_url(draft.target)
            raw_path = (url.path or b"/").decode("ascii")
            path = unquote(raw_path, errors="strict")
            query = (url.query or b"").decode("ascii")
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            raise _Refusal(400) from None
        scheme, _, token = draft.headers.get("authorization", "").partition(" ")
        return Request(
            self._server.number() if number is None else number,
            self._connection,
            method,
            path,
            raw_path,
            query,
            draft.headers,
            bytes(draft.body),
            self._peer,
            self._principal,
            token.strip() if scheme.lower() in ("bearer", "token") else "",
        )

    def finish(self, response: Response) -> None:
        """The answer to the request in service."""
        self._let_go(self._serving_bytes)
        self._serving_bytes = 0
        self._write(response, keep=self._serving_keep)
        self.serving = 0
        self._idle_ns = self._server.now_ns()
        self._advance()

    def check(self, now_ns: int, limits: HttpLimits) -> None:
        """Once a second."""
        if self.serving:
            if now_ns - self._asked_ns > limits.answer_s * 1e9:
                self._serving_keep = False
                self._server.answer(self.serving, _plain(503, (("Retry-After", "5"),)))
        elif self._draft is not None:
            if now_ns - self._draft.started_ns > limits.request_s * 1e9:
                self._refuse(_plain(408))
        elif now_ns - self._idle_ns > self._limit_s * 1e9:
            self._end()

    def _open_draft(self) -> _Draft:
        if self._draft is None:
            raise _Refusal(400)
        return self._draft

    def _advance(self) -> None:
        """Serve what is waiting, until something has to be waited for."""
        while not self.serving and not self._over and self._queue:
            request, keep = self._queue.popleft()
            self.serving = request.number
            self._serving_head = request.method == "HEAD"
            self._serving_keep = keep
            self._serving_bytes = len(request.body)
            self._asked_ns = self._server.now_ns()
            response = self._server.ask(self, request)
            if response is None:
                break
            self._let_go(self._serving_bytes)
            self._serving_bytes = 0
            self._write(response, keep=keep)
            self.serving = 0
            self._idle_ns = self._server.now_ns()
        if self._over:
            return
        if self.serving or self._queue:
            self._hold(still=True)
            return
        if self._last_words is not None:
            self._serving_head = False
            self._write(self._last_words, keep=False)
            return
        self._encourage()
        self._hold(still=False)

    def _hold(self, *, still: bool) -> None:
        if still != self._still:
            self._still = still
            self._server.hold(self._connection, still=still)

    def _encourage(self) -> None:
        """100 Continue, once every answer before it has left."""
        if self._draft is not None and self._draft.expects and not self.serving and not self._queue:
            self._draft.expects = False
            self._server.write(self._connection, b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, response: Response) -> None:
        """No further request of this connection is read; those before get their answers first."""
        self._server.refused += 1
        self._draft = None
        self._last_words = response
        self._advance()

    def _write(self, response: Response, *, keep: bool) -> None:
        self._server.count(response.status)
        self._limit_s = self._server.limits.keep_alive_s
        head = [
            f"HTTP/1.1 {response.status} {_REASONS.get(response.status, '')}",
            f"Date: {self._server.date()}",
        ]
        if response.status not in (204, 304):
            head.append(f"Content-Length: {len(response.body)}")
        if response.body:
            head.append(f"Content-Type: {response.content_type}")
        if not keep:
            head.append("Connection: close")
        for name, value in response.headers:
            if any(mark in name + value for mark in "\r\n\0"):
                continue
            head.append(f"{name}: {value}")
        data = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1", "replace")
        self._server.write(self._connection, data if self._serving_head else data + response.body)
        if not keep:
            self._end()

    def _end(self) -> None:
        self._over = True
        self._queue.clear()
        self._server.drop(self._connection)


def _plain(status: int, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return Response(status, _REASONS[status].encode() + b"\n", "text/plain; charset=utf-8", headers)
