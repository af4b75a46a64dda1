"""The HTTP server's laws, on a wire that only remembers."""

from __future__ import annotations

import itertools
from email.utils import formatdate

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headland.drivers.http_messages import date_of
from headland.drivers.http_server import HttpLimits, HttpServer, Request, Response
from headland.vocabulary import Instant

START = Instant(10**12, 1_700_000_000 * 10**9)


class Memory:
    """A wire that remembers what it was told."""

    def __init__(self) -> None:
        self.sent: dict[int, bytes] = {}
        self.ended: list[int] = []
        self.still: set[int] = set()

    def send(self, connection: int, data: bytes) -> bool:
        if connection in self.ended:
            return False
        self.sent[connection] = self.sent.get(connection, b"") + data
        return True

    def close(self, connection: int, *, flush: bool = True) -> None:
        self.ended.append(connection)

    def established(self, connection: int) -> None: ...

    def pause(self, connection: int) -> None:
        self.still.add(connection)

    def resume(self, connection: int) -> None:
        self.still.discard(connection)


class Site:
    """A server, its wire and everything that was asked of it. `defer` leaves requests unanswered."""

    def __init__(self, limits: HttpLimits | None = None, *, defer: bool = False) -> None:
        self.wire = Memory()
        self.asked: list[Request] = []
        self.defer = defer
        self.server = HttpServer(self.wire, self.handle, limits)
        self.now = START

    def handle(self, request: Request) -> Response | None:
        self.asked.append(request)
        return (
            None if self.defer else Response(200, f"{request.method} {request.path}".encode(), "text/plain")
        )

    def open(self, connection: int = 1) -> None:
        self.server.opened(connection, "127.0.0.1:1", "", self.now)

    def give(self, data: bytes, connection: int = 1) -> bytes:
        before = len(self.wire.sent.get(connection, b""))
        self.server.received(connection, data, self.now)
        return self.wire.sent.get(connection, b"")[before:]

    def wait(self, seconds: float) -> None:
        self.now = self.now.later(seconds)
        self.server.tick(self.now)


def site(limits: HttpLimits | None = None, *, defer: bool = False) -> Site:
    made = Site(limits, defer=defer)
    made.open()
    return made


def get(path: str = "/", extra: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: n\r\n{extra}\r\n".encode()


def post(body: bytes, extra: str = "") -> bytes:
    return f"POST /push HTTP/1.1\r\nHost: n\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_request_is_answered_and_its_connection_kept() -> None:
    here = site()
    for path in ("/a", "/b"):
        answer = here.give(get(path))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nGET " + path.encode())
        assert b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n" in answer
    assert not here.wire.ended


def test_connection_close_and_http_1_0_end_the_connection_after_the_answer() -> None:
    for request in (get(extra="Connection: close\r\n"), b"GET / HTTP/1.0\r\n\r\n"):
        here = site()
        assert b"Connection: close\r\n" in here.give(request)
        assert here.wire.ended == [1]


@given(cuts=st.lists(st.integers(1, 200), max_size=12))
def test_however_the_bytes_are_cut_the_requests_are_the_same(cuts: list[int]) -> None:
    stream = post(b"x" * 20) + get("/two%20words?a=1") + post(b"", "X: y\r\n")
    here = site()
    edges = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        here.give(stream[start:end])
    assert [(one.method, one.path, one.query, one.body) for one in here.asked] == [
        ("POST", "/push", "", b"x" * 20),
        ("GET", "/two words", "a=1", b""),
        ("POST", "/push", "", b""),
    ]
    assert here.wire.sent[1].count(b"HTTP/1.1 200") == 3


def test_pipelined_answers_keep_the_order_of_the_requests_even_if_the_first_is_answered_last() -> None:
    here = site(defer=True)
    assert here.give(get("/1") + get("/2") + get("/3")) == b""
    assert [one.path for one in here.asked] == ["/1"]
    assert 1 in here.wire.still, "nothing more is read while a request is in service"
    here.defer = False
    assert here.server.answer(here.asked[0].number, Response(202, b"first"))
    sent = here.wire.sent[1]
    assert sent.index(b"first") < sent.index(b"GET /2") < sent.index(b"GET /3")
    assert 1 not in here.wire.still


def test_a_request_is_answered_once() -> None:
    here = site(defer=True)
    here.give(get())
    number = here.asked[0].number
    assert here.server.answer(number, Response(200))
    assert not here.server.answer(number, Response(200))
    assert here.wire.sent[1].count(b"HTTP/1.1") == 1


def test_a_handler_may_answer_by_number_before_it_returns() -> None:
    wire = Memory()
    server = HttpServer(wire, lambda request: server.answer(request.number, Response(201)) and None)
    server.opened(1, "", "", START)
    server.received(1, get() + get(), START)
    assert wire.sent[1].count(b"HTTP/1.1 201") == 2


def test_an_answer_to_somebody_who_has_left_goes_nowhere() -> None:
    here = site(defer=True)
    here.give(get())
    here.server.closed(1)
    assert not here.server.answer(here.asked[0].number, Response(200))
    assert here.server.waiting == 0


def test_what_is_not_answered_in_time_is_answered_503_and_the_late_answer_dropped() -> None:
    here = site(HttpLimits(answer_s=5), defer=True)
    here.give(get())
    here.wait(6)
    assert status(here.wire.sent[1]) == 503
    assert b"Retry-After: 5\r\n" in here.wire.sent[1]
    assert here.wire.ended == [1]
    assert not here.server.answer(here.asked[0].number, Response(200))


def test_a_client_that_drips_its_headers_is_cut_at_request_s() -> None:
    here = site(HttpLimits(request_s=10))
    here.give(b"GET / HTTP/1.1\r\nHost: n\r\n")
    for i in range(9):
        here.wait(1)
        here.give(f"X-{i}: y\r\n".encode())
    assert not here.wire.ended
    here.wait(2)
    assert status(here.wire.sent[1]) == 408
    assert here.wire.ended == [1]


def test_a_client_that_says_nothing_is_cut_at_request_s() -> None:
    here = site(HttpLimits(request_s=10, keep_alive_s=1000))
    here.wait(11)
    assert here.wire.ended == [1]


def test_an_idle_connection_is_closed_after_keep_alive_s_and_not_before() -> None:
    here = site(HttpLimits(request_s=1, keep_alive_s=75))
    here.give(get())
    here.wait(74)
    assert not here.wire.ended
    here.wait(2)
    assert here.wire.ended == [1]


def test_a_client_that_waits_for_100_continue_gets_it_and_the_body_follows() -> None:
    here = site()
    head, body = post(b"hello", "Expect: 100-continue\r\n").split(b"\r\n\r\n")
    assert here.give(head + b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert status(here.give(body)) == 200
    assert here.asked[0].body == b"hello"


def test_100_continue_never_overtakes_an_answer() -> None:
    here = site(defer=True)
    here.give(get("/slow"))
    head = post(b"hello", "Expect: 100-continue\r\n").split(b"\r\n\r\n")[0]
    assert here.give(head + b"\r\n\r\n") == b""
    here.server.answer(here.asked[0].number, Response(200, b"slow"))
    assert here.wire.sent[1].endswith(b"slowHTTP/1.1 100 Continue\r\n\r\n")


def test_a_body_announced_too_large_is_refused_before_it_is_sent() -> None:
    here = site(HttpLimits(body_bytes_max=1024))
    head = b"POST / HTTP/1.1\r\nHost: n\r\nExpect: 100-continue\r\nContent-Length: 1025\r\n\r\n"
    assert status(here.give(head)) == 413
    assert here.wire.ended == [1]
    assert not here.asked


def test_a_chunked_body_is_bounded_as_it_grows() -> None:
    here = site(HttpLimits(body_bytes_max=1024))
    here.give(b"POST / HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(3):
        here.give(b"200\r\n" + b"x" * 512 + b"\r\n")
    assert status(here.wire.sent[1]) == 413
    assert not here.asked


def test_a_chunked_body_arrives_whole() -> None:
    here = site()
    here.give(
        b"POST / HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
    )
    assert here.asked[0].body == b"hello!"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /%ff%fe HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: cake\r\n\r\n", 417),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(70)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", 431),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ],
)
def test_what_cannot_be_served_is_answered_with_its_status_and_the_connection_ends(
    wrong: bytes, expected: int
) -> None:
    here = site()
    assert status(here.give(wrong)) == expected
    assert here.wire.ended == [1]
    assert not here.asked
    assert here.server.refused == 1


def test_a_good_request_before_a_bad_one_is_answered_first_and_nothing_after_it_is_served() -> None:
    here = site(defer=True)
    here.give(get("/good") + b"NONSENSE\r\n\r\n" + get("/smuggled"))
    here.server.answer(here.asked[0].number, Response(200, b"good"))
    sent = here.wire.sent[1]
    assert sent.index(b"200 OK") < sent.index(b"400 Bad Request")
    assert [one.path for one in here.asked] == ["/good"]
    assert here.wire.ended == [1]


def test_a_flood_of_pipelined_requests_is_bounded() -> None:
    here = site(defer=True)
    here.give(get() * 10_000)
    here.defer = False
    here.server.answer(here.asked[0].number, Response(200))
    assert len(here.asked) <= 65
    assert here.wire.ended == [1]


def test_an_offered_upgrade_is_ignored_and_the_request_served() -> None:
    here = site()
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    assert status(here.give(get("/metrics", upgrade))) == 200
    assert [one.path for one in here.asked] == ["/metrics"]
    here = site()
    here.give(post(b"hello", upgrade))
    assert here.asked[0].body == b"hello"


def test_head_has_the_length_and_no_body_and_204_has_neither() -> None:
    here = site()
    answer = here.give(b"HEAD /x HTTP/1.1\r\nHost: n\r\n\r\n")
    assert b"Content-Length: 7\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")
    here = site(defer=True)
    here.give(get())
    here.server.answer(here.asked[0].number, Response(204))
    assert b"Content-Length" not in here.wire.sent[1]


def test_a_bearer_token_reaches_the_handler_and_no_repr_shows_it() -> None:
    here = site()
    here.give(get(extra="Authorization: Bearer secret-token\r\n"))
    assert here.asked[0].bearer == "secret-token"
    assert "secret" not in repr(here.asked[0])


def test_a_header_that_would_split_the_answer_is_left_out() -> None:
    here = site(defer=True)
    here.give(get())
    here.server.answer(here.asked[0].number, Response(200, headers=(("X", "a\r\nSet-Cookie: b"), ("Y", "c"))))
    assert b"Set-Cookie" not in here.wire.sent[1]
    assert b"Y: c\r\n" in here.wire.sent[1]


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise_and_each_answer_is_one(data: bytes) -> None:
    here = site()
    here.give(data)
    here.wait(100)
    answers: list[int] = []

    class Reader:
        def on_message_complete(self) -> None:
            answers.append(1)

    httptools.HttpResponseParser(Reader()).feed_data(here.wire.sent.get(1, b""))
    assert len(answers) == len(here.asked) + here.server.refused


def test_a_large_body_of_somebody_who_may_not_is_never_read() -> None:
    here = site()
    here.server.gate = lambda request: Response(401, b"no") if not request.bearer else None
    said = here.give(b"POST /p HTTP/1.1\r\nHost: n\r\nContent-Length: 1000000\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 401")
    assert here.wire.ended == [1]
    here.open(2)
    chunked = b"POST /p HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert here.give(chunked, 2).startswith(b"HTTP/1.1 401")
    here.open(3)
    token = b"POST /p HTTP/1.1\r\nHost: n\r\nAuthorization: Bearer x\r\nContent-Length: 70000\r\n\r\n"
    assert here.give(token + b"x" * 70_000, 3).startswith(b"HTTP/1.1 200")
    assert here.asked[-1].body == b"x" * 70_000


def test_all_bodies_that_wait_together_have_a_bound_and_free_it_when_they_are_answered_or_gone() -> None:
    here = site(HttpLimits(body_bytes_max=1000, bodies_bytes_max=2500), defer=True)
    whole = b"POST /p HTTP/1.1\r\nHost: n\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
    for connection in (2, 3):
        here.open(connection)
        assert here.give(whole, connection) == b""
    here.open(4)
    assert here.give(whole, 4).startswith(b"HTTP/1.1 503")
    assert here.server.body_bytes == 2000
    here.server.answer(here.asked[0].number, Response())
    here.server.closed(3)
    assert here.server.body_bytes == 0
    here.open(5)
    assert here.give(whole[:500], 5) == b""
    here.server.closed(5)
    assert here.server.body_bytes == 0


PLAIN = b"GET / HTTP/1.1\r\nHost: n\r\n\r\n"
POSTED = b"POST / HTTP/1.1\r\nHost: n\r\nContent-Length: 4\r\n\r\nabcd"
OFFERED = POSTED.replace(b"Host: n\r\n", b"Host: n\r\nConnection: Upgrade\r\nUpgrade: x\r\n")


@given(st.lists(st.sampled_from([PLAIN, POSTED, OFFERED, b"nonsense"]), max_size=6), st.integers(1, 40))
def test_no_body_is_counted_longer_than_it_is_kept(messages: list[bytes], step: int) -> None:
    here = site()
    data = b"".join(messages)
    for at in range(0, len(data), step):
        here.give(data[at : at + step])
    here.server.closed(1)
    assert here.server.body_bytes == 0


@given(st.integers(0, 253_402_300_799))
def test_a_moment_is_written_as_the_standard_library_writes_it(utc_s: int) -> None:
    assert date_of(utc_s) == formatdate(utc_s, usegmt=True)
