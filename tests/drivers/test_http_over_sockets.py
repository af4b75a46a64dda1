"""The HTTP server on the network driver, asked by the standard library's client."""

from __future__ import annotations

import asyncio
import datetime as dt
import http.client
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from headland.drivers.clock import Clock
from headland.drivers.http_server import HttpLimits, HttpServer, Request, Response
from headland.drivers.network import Closed, Limits, Listener, Network, NetworkEvent, Opened, Received
from headland.trust.authority import Authority
from headland.trust.contexts import CertificateFiles, device_server
from headland.trust.identity import Identity, client_name


class Service:
    """A network with one HTTP listener. Pushes are answered 50 ms later, as after a commit."""

    def __init__(self, limits: HttpLimits | None = None) -> None:
        self.network = Network(self.on_event)
        self.clock = Clock()
        self.server = HttpServer(self.network, self.handle, limits)
        self.loop = asyncio.get_running_loop()

    def on_event(self, event: NetworkEvent) -> None:
        now = self.clock.now()
        match event:
            case Opened():
                self.server.opened(event.connection, event.peer, event.principal, now)
            case Received(connection, data):
                self.server.received(connection, data, now)
            case Closed(connection):
                self.server.closed(connection)

    def handle(self, request: Request) -> Response | None:
        if request.method == "POST":
            said = f"{len(request.body)} {request.principal}".encode()
            self.loop.call_later(0.05, self.server.answer, request.number, Response(200, said, "text/plain"))
            return None
        return Response(200, b"x" * 100_000, "text/plain")


def serve(
    ask: Callable[[int], Any],
    *,
    tls: ssl.SSLContext | None = None,
    limits: HttpLimits | None = None,
    ticks_s: float = 1.0,
) -> Any:
    """Run a service and `ask(port)` in a thread against it."""

    async def body() -> Any:
        service = Service(limits)
        port = await service.network.listen(
            Listener(
                name="http",
                address="127.0.0.1",
                port=0,
                tls=tls,
                identify=client_name if tls else None,
                limits=Limits(establish_s=0.0, read_while_full=True),
            )
        )

        def tick() -> None:
            service.server.tick(service.clock.now())
            service.loop.call_later(ticks_s, tick)

        tick()
        try:
            return await asyncio.to_thread(ask, port)
        finally:
            await service.network.shutdown(1.0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(body())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    directory: Path = tmp_path_factory.mktemp("pki")
    now = dt.datetime.now(dt.UTC)
    authority = Authority.create(now)
    issued = authority.issue(Identity("site", "n"), now, hosts=("localhost",))
    made = CertificateFiles(directory / "ca.pem", directory / "node.pem", directory / "node.key")
    made.ca.write_bytes(authority.certificate_pem)
    made.certificate.write_bytes(issued.certificate_pem)
    made.key.write_bytes(issued.key_pem)
    return made


def test_a_kept_connection_serves_large_answers_and_deferred_ones_in_turn() -> None:
    def ask(port: int) -> list[tuple[int, int]]:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        answers = []
        for i in range(6):
            client.request("POST" if i % 2 else "GET", "/", body=b"y" * (300_000 * (i % 2)))
            answer = client.getresponse()
            answers.append((answer.status, len(answer.read())))
        client.close()
        return answers

    assert serve(ask) == [(200, 100_000), (200, len("300000 "))] * 3


def test_https_tells_the_handler_who_showed_a_certificate(files: CertificateFiles) -> None:
    def ask(port: int) -> list[bytes]:
        said = []
        for shows in (True, False):
            context = ssl.create_default_context(cafile=str(files.ca))
            if shows:
                context.load_cert_chain(files.certificate, files.key)
            client = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
            client.request("POST", "/", body=b"abc")
            said.append(client.getresponse().read())
            client.close()
        return said

    assert serve(ask, tls=device_server(files, client_certificates="optional")) == [b"3 site/n", b"3 "]


def test_a_slow_loris_is_cut_while_others_are_served() -> None:
    def ask(port: int) -> tuple[bytes, int]:
        with socket.create_connection(("127.0.0.1", port), 10) as loris:
            loris.sendall(b"POST / HTTP/1.1\r\nHost: n\r\nContent-Length: 1000\r\n\r\n")
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            client.request("GET", "/")
            served = client.getresponse().status
            client.close()
            said = b""
            try:
                while b"408" not in said:
                    loris.sendall(b"x")
                    loris.settimeout(0.05)
                    try:
                        said += loris.recv(4096)
                    except TimeoutError:
                        continue
            except ConnectionError:
                pass
            return said, served

    said, served = serve(ask, limits=HttpLimits(request_s=0.5), ticks_s=0.1)
    assert served == 200
    assert said.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_closes_its_sending_side_still_gets_its_answer() -> None:
    def ask(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            said = b""
            while part := client.recv(65_536):
                said += part
            return said

    said = serve(ask)
    assert said.startswith(b"HTTP/1.1 200 OK")
    assert said.endswith(b"x" * 100_000)
