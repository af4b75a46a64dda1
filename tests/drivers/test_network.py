"""The network driver's laws, on loopback sockets, under both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from headland.drivers.network import (
    Cause,
    Closed,
    Dial,
    DialFailed,
    Drained,
    Full,
    Identify,
    Limits,
    Listener,
    Network,
    NetworkEvent,
    Opened,
    Received,
    Refused,
)
from headland.trust.authority import Authority
from headland.trust.contexts import CertificateFiles, device_server, link_client, link_server
from headland.trust.identity import Identity, expect, node_name
from headland.vocabulary import ConfigurationError

CLOUD = Identity("site", "cloud")
DEVICE = Identity("site", "device")
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class World:
    """One network that remembers its events."""

    def __init__(self) -> None:
        self.events: list[NetworkEvent] = []
        self.network = Network(self.events.append)

    async def until(
        self, kind: type[NetworkEvent], count: int = 1, within_s: float = 10.0
    ) -> list[NetworkEvent]:
        """The first `count` events of a kind, or a failure that shows what came instead."""
        deadline = asyncio.get_running_loop().time() + within_s
        while True:
            found = [event for event in self.events if isinstance(event, kind)]
            if len(found) >= count:
                return found[:count]
            assert asyncio.get_running_loop().time() < deadline, f"no {kind.__name__} in {self.events[-5:]}"
            await asyncio.sleep(0.005)

    def received(self, connection: int) -> bytes:
        return b"".join(e.data for e in self.events if isinstance(e, Received) and e.connection == connection)


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[World], Awaitable[None]]], None]:
    """Run a test's coroutine function in a fresh world, and check the order of every connection's events."""

    async def within(body: Callable[[World], Awaitable[None]]) -> None:
        world = World()
        try:
            await body(world)
        finally:
            await world.network.shutdown(1.0)
        check_order(world.events)

    def go(body: Callable[[World], Awaitable[None]]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(within(body))

    return go


def check_order(events: list[NetworkEvent]) -> None:
    """Opened first, Closed last, each once."""
    opened: set[int] = set()
    closed: set[int] = set()
    for event in events:
        if isinstance(event, Refused | DialFailed):
            continue
        number = event.connection
        if isinstance(event, Opened):
            assert number not in opened | closed
            opened.add(number)
        else:
            assert number in opened, event
            assert number not in closed, event
            if isinstance(event, Closed):
                closed.add(number)
    assert opened == closed, "after a shutdown every connection is closed"


class Pki:
    """Files of an authority, a cloud and a device; strangers on demand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = dt.datetime.now(dt.UTC)
        self.authority = Authority.create(self.now)
        self.cloud = self.files("cloud", CLOUD, self.authority)
        self.device = self.files("device", DEVICE, self.authority)

    def files(
        self,
        stem: str,
        identity: Identity,
        signer: Authority,
        *,
        days: float = 1,
        trusted: Authority | None = None,
    ) -> CertificateFiles:
        issued = signer.issue(identity, self.now, hosts=("127.0.0.1",), days=days)
        files = CertificateFiles(*(self.directory / f"{stem}.{kind}" for kind in ("ca", "pem", "key")))
        files.ca.write_bytes((trusted or self.authority).certificate_pem)
        files.certificate.write_bytes(issued.certificate_pem)
        files.key.write_bytes(issued.key_pem)
        return files


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def plain(limits: Limits | None = None) -> Listener:
    return Listener(name="in", address="127.0.0.1", port=0, limits=limits or Limits())


def linked(pki: Pki, identify: Identify = node_name, limits: Limits | None = None) -> Listener:
    return Listener(
        name="link",
        address="127.0.0.1",
        port=0,
        tls=link_server(pki.cloud),
        identify=identify,
        limits=limits or Limits(),
    )


def out(port: int, **more: object) -> Dial:
    return Dial(name="parent", host="127.0.0.1", port=port, **more)  # type: ignore[arg-type]


Run = Callable[[Callable[[World], Awaitable[None]]], None]


def test_bytes_go_both_ways_and_arrive_in_order(run: Run) -> None:
    async def body(world: World) -> None:
        near = world.network.dial(out(await world.network.listen(plain())))
        await world.until(Opened, 2)
        far = next(e.connection for e in world.events if isinstance(e, Opened) and not e.outbound)
        sent = bytes(range(256)) * 4000
        for start in range(0, len(sent), 10_000):
            assert world.network.send(near, sent[start : start + 10_000])
        world.network.send(far, b"answer")
        await wait_for(lambda: world.received(far) == sent and world.received(near) == b"answer")
        assert max(len(e.data) for e in world.events if isinstance(e, Received)) > 10_000, "large reads"

    run(body)


def test_a_close_lets_what_was_sent_arrive_and_both_sides_hear_of_it(run: Run) -> None:
    async def body(world: World) -> None:
        near = world.network.dial(out(await world.network.listen(plain())))
        await world.until(Opened, 2)
        far = 3 - near
        world.network.send(near, b"x" * 200_000)
        world.network.close(near)
        assert not world.network.send(near, b"more")
        await world.until(Closed, 2)
        assert len(world.received(far)) == 200_000
        causes = {e.connection: e.cause for e in world.events if isinstance(e, Closed)}
        assert causes == {near: Cause.LOCAL, far: Cause.PEER}

    run(body)


def test_a_port_that_is_taken_is_named(run: Run) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(plain())
        for address, taken in (("127.0.0.1", port), ("192.0.2.1", port), ("no.such.name.invalid", port)):
            with pytest.raises(ConfigurationError, match=f"cannot listen on {address}:{taken}: "):
                await world.network.listen(Listener(name="second", address=address, port=taken))

    run(body)


def test_a_dial_to_nobody_fails_with_its_cause(run: Run) -> None:
    async def body(world: World) -> None:
        world.network.dial(out(free_port()))
        failed = (await world.until(DialFailed))[0]
        assert isinstance(failed, DialFailed)
        assert failed.cause is Cause.REFUSED

    run(body)


def test_a_dial_given_up_makes_no_event(run: Run) -> None:
    async def body(world: World) -> None:
        number = world.network.dial(out(await world.network.listen(plain())))
        world.network.close(number)
        await asyncio.sleep(0.05)
        assert not [e for e in world.events if getattr(e, "outbound", False) or isinstance(e, DialFailed)]

    run(body)


def test_one_connection_too_many_is_closed_and_the_others_stay(run: Run) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(plain(Limits(max_connections=2)))
        for _ in range(3):
            world.network.dial(out(port))
        refused = (await world.until(Refused))[0]
        assert isinstance(refused, Refused)
        assert refused.cause is Cause.TOO_MANY
        assert world.network.count("in") == 2
        assert world.network.refused[Cause.TOO_MANY] == 1
        one = next(e.connection for e in world.events if isinstance(e, Opened) and not e.outbound)
        world.network.close(one)
        await wait_for(lambda: world.network.count("in") == 1)
        world.network.dial(out(port))
        await wait_for(lambda: world.network.count("in") == 2)

    run(body)


def test_a_flood_of_refusals_is_counted_in_full_and_told_in_part(run: Run) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(plain(Limits(max_connections=1)))
        first = await raw(port)
        await world.until(Opened)
        for _ in range(60):
            (await raw(port)).close()
        await wait_for(lambda: world.network.refused[Cause.TOO_MANY] == 60)
        told = [e for e in world.events if isinstance(e, Refused)]
        assert 20 <= len(told) < 40
        first.close()

    run(body)


def test_connections_of_one_address_are_bounded(run: Run) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(plain(Limits(max_per_address=1)))
        world.network.dial(out(port))
        await world.until(Opened, 2)
        world.network.dial(out(port))
        await world.until(Refused)

    run(body)


def test_a_client_that_says_nothing_is_cut_until_it_is_established(run: Run) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(plain(Limits(establish_s=0.5)))
        silent, good = await raw(port), await raw(port)
        opened = await world.until(Opened, 2)
        world.network.established(opened[1].connection)  # type: ignore[union-attr]
        closed = (await world.until(Closed))[0]
        assert isinstance(closed, Closed)
        assert closed.connection == opened[0].connection  # type: ignore[union-attr]
        assert closed.cause is Cause.ESTABLISH
        good.sendall(b"still here")
        await world.until(Received)
        silent.close()
        good.close()

    run(body)


def test_a_client_that_drips_bytes_without_getting_established_is_cut_all_the_same(run: Run) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(plain(Limits(establish_s=1.0)))
        loris = await raw(port)
        with pytest.raises(OSError, match=r"reset|pipe|Broken"):  # noqa: PT012
            for _ in range(100):
                loris.sendall(b"\x10")
                await asyncio.sleep(0.05)
        loris.close()
        assert [e.cause for e in world.events if isinstance(e, Closed)] == [Cause.ESTABLISH]

    run(body)


def test_an_established_client_is_cut_when_it_has_been_silent_for_idle_s(run: Run) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(plain())
        client = await raw(port)
        opened = (await world.until(Opened))[0]
        assert isinstance(opened, Opened)
        world.network.established(opened.connection, idle_s=0.5)
        closed = (await world.until(Closed))[0]
        assert isinstance(closed, Closed)
        assert closed.cause is Cause.IDLE
        client.close()

    run(body)


def test_a_peer_that_never_reads_is_cut_at_the_bound_and_never_costs_more_memory(run: Run) -> None:
    async def body(world: World) -> None:
        limits = Limits(write_high_bytes=64 * 1024, write_max_bytes=1024 * 1024)
        port = await world.network.listen(plain(limits))
        deaf = await raw(port)
        opened = (await world.until(Opened))[0]
        assert isinstance(opened, Opened)
        largest = 0
        for _ in range(10_000):
            if not world.network.send(opened.connection, b"x" * 16_384):
                break
            largest = max(largest, world.network.unwritten(opened.connection))
            await asyncio.sleep(0)
        assert largest <= 1024 * 1024 + 16_384
        await world.until(Full)
        closed = (await world.until(Closed))[0]
        assert isinstance(closed, Closed)
        assert closed.cause is Cause.OVERFLOW
        deaf.close()

    run(body)


def test_a_full_connection_is_not_read_until_it_is_drained(run: Run) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(plain(Limits(write_high_bytes=64 * 1024)))
        client = await raw(port)
        opened = (await world.until(Opened))[0]
        assert isinstance(opened, Opened)
        while not any(isinstance(e, Full) for e in world.events):
            world.network.send(opened.connection, b"x" * 65_536)
            await asyncio.sleep(0)
        client.sendall(b"more questions")
        await asyncio.sleep(0.05)
        assert world.received(opened.connection) == b""
        client.setblocking(False)
        while not any(isinstance(e, Drained) for e in world.events):
            try:
                client.recv(1 << 20)
            except BlockingIOError:
                await asyncio.sleep(0.001)
        await wait_for(lambda: world.received(opened.connection) == b"more questions")
        client.close()

    run(body)


def test_a_paused_connection_is_not_read_and_loses_nothing(run: Run) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(plain())
        near = world.network.dial(out(port))
        await world.until(Opened, 2)
        far = 3 - near
        world.network.pause(far)
        await asyncio.sleep(0.02)
        world.network.send(near, b"y" * 300_000)
        await asyncio.sleep(0.1)
        assert world.received(far) == b""
        world.network.resume(far)
        await wait_for(lambda: len(world.received(far)) == 300_000)

    run(body)


def test_a_reset_is_told_as_such(run: Run) -> None:
    async def body(world: World) -> None:
        client = await raw(await world.network.listen(plain()))
        await world.until(Opened)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        closed = (await world.until(Closed))[0]
        assert isinstance(closed, Closed)
        assert closed.cause is Cause.RESET

    run(body)


def test_a_half_closed_peer_gets_what_was_sent_before(run: Run) -> None:
    async def body(world: World) -> None:
        client = await raw(await world.network.listen(plain()))
        opened = (await world.until(Opened))[0]
        assert isinstance(opened, Opened)
        world.network.send(opened.connection, b"z" * 100_000)
        client.shutdown(socket.SHUT_WR)
        got = await asyncio.to_thread(read_all, client)
        assert len(got) == 100_000
        await world.until(Closed)
        client.close()

    run(body)


def test_mutual_tls_tells_both_sides_who_the_other_is(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(linked(pki))
        world.network.dial(out(port, tls=link_client(pki.device), identify=expect(CLOUD)))
        opened = await world.until(Opened, 2)
        assert {(e.outbound, e.principal, e.tls) for e in opened if isinstance(e, Opened)} == {
            (True, "site/cloud", True),
            (False, "site/device", True),
        }
        near = next(e.connection for e in opened if isinstance(e, Opened) and e.outbound)
        world.network.send(near, b"k" * 500_000)
        await wait_for(lambda: len(world.received(3 - near)) == 500_000)

    run(body)


def test_a_client_signed_by_a_stranger_is_refused_and_counted(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(linked(pki))
        stranger = pki.files("stranger", DEVICE, Authority.create(pki.now))
        world.network.dial(out(port, tls=link_client(stranger), identify=expect(CLOUD)))
        refused = (await world.until(Refused))[0]
        assert isinstance(refused, Refused)
        assert refused.cause is Cause.TRUST
        assert world.network.refused[Cause.TRUST] == 1
        # Under TLS 1.3 the client learns it after its own handshake: at the first read.
        await wait_for(lambda: any(isinstance(e, Closed | DialFailed) for e in world.events))
        assert world.network.count("link") == 0

    run(body)


def test_a_client_whose_certificate_has_expired_is_refused(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(linked(pki))
        world.network.dial(out(port, tls=link_client(pki.files("old", DEVICE, pki.authority, days=-1))))
        refused = (await world.until(Refused))[0]
        assert isinstance(refused, Refused)
        assert (refused.cause, "expired" in refused.detail) == (Cause.TRUST, True)

    run(body)


def test_a_connection_does_not_outlive_its_certificate(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(linked(pki))
        brief = pki.files("brief", DEVICE, pki.authority, days=remaining_days(2.0))
        world.network.dial(out(port, tls=link_client(brief)))
        for opened in await world.until(Opened, 2):
            assert isinstance(opened, Opened)
            world.network.established(opened.connection)
        closed = await world.until(Closed, 2)
        assert Cause.EXPIRED in {e.cause for e in closed if isinstance(e, Closed)}

    def remaining_days(seconds: float) -> float:
        return (dt.datetime.now(dt.UTC) - pki.now).total_seconds() / 86_400 + seconds / 86_400

    run(body)


def test_a_client_without_a_certificate_is_refused(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(linked(pki))
        naked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        naked.check_hostname = False
        naked.verify_mode = ssl.CERT_NONE
        world.network.dial(out(port, tls=naked))
        refused = (await world.until(Refused))[0]
        assert isinstance(refused, Refused)
        assert refused.cause is Cause.TRUST

    run(body)


def test_a_parent_signed_by_a_stranger_is_refused_by_the_child(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        other = Authority.create(pki.now)
        impostor = pki.files("impostor", CLOUD, other, trusted=other)
        port = await world.network.listen(
            Listener(name="link", address="127.0.0.1", port=0, tls=link_server(impostor), identify=node_name)
        )
        world.network.dial(out(port, tls=link_client(pki.device), identify=expect(CLOUD)))
        failed = (await world.until(DialFailed))[0]
        assert isinstance(failed, DialFailed)
        assert failed.cause is Cause.TRUST

    run(body)


def test_another_node_of_the_same_authority_cannot_pose_as_the_parent(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(
            Listener(
                name="link", address="127.0.0.1", port=0, tls=link_server(pki.device), identify=node_name
            )
        )
        world.network.dial(out(port, tls=link_client(pki.cloud), identify=expect(CLOUD)))
        failed = (await world.until(DialFailed))[0]
        assert isinstance(failed, DialFailed)
        assert failed.cause is Cause.TRUST
        assert "names site/device, expected site/cloud" in failed.detail

    run(body)


def test_the_link_speaks_tls_1_3_only_and_gives_no_tickets(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(linked(pki))
        old = link_client(pki.device)
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        world.network.dial(out(port, tls=old))
        await world.until(DialFailed)
        refused = (await world.until(Refused))[0]
        assert isinstance(refused, Refused)
        assert refused.cause is Cause.TLS
        session = await asyncio.to_thread(session_of, port, link_client(pki.device))
        assert session is None or not session.has_ticket

    run(body)


def test_a_client_that_never_finishes_tls_is_cut_and_counts_against_the_bound(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(linked(pki, limits=Limits(tls_s=0.5, max_connections=1)))
        loris = await raw(port)
        loris.sendall(b"\x16\x03\x01\x02\x00")
        await wait_for(lambda: world.network.count("link") == 1)
        world.network.dial(out(port, tls=link_client(pki.device)))
        await world.until(DialFailed)
        await wait_for(lambda: world.network.count("link") == 0)
        world.network.dial(out(port, tls=link_client(pki.device)))
        await world.until(Opened, 2)
        loris.close()

    run(body)


def test_garbage_inside_an_encrypted_connection_ends_it_and_no_other(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(linked(pki))
        good = world.network.dial(out(port, tls=link_client(pki.device)))
        await world.until(Opened, 2)
        client = await raw(port)
        wrapped = await asyncio.to_thread(link_client(pki.device).wrap_socket, client)
        await world.until(Opened, 3)
        os.write(wrapped.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
        closed = (await world.until(Closed))[0]
        assert isinstance(closed, Closed)
        assert closed.cause is Cause.TLS
        wrapped.close()
        world.network.send(good, b"unharmed")
        await wait_for(lambda: any(isinstance(e, Received) and e.data == b"unharmed" for e in world.events))

    run(body)


def test_a_polite_goodbye_is_heard_as_the_peers_end(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(linked(pki))
        near = world.network.dial(out(port, tls=link_client(pki.device)))
        await world.until(Opened, 2)
        world.network.send(near, b"last words")
        world.network.close(near)
        await world.until(Closed, 2)
        causes = {e.connection == near: e.cause for e in world.events if isinstance(e, Closed)}
        assert causes == {True: Cause.LOCAL, False: Cause.PEER}
        assert any(isinstance(e, Received) and e.data == b"last words" for e in world.events)

    run(body)


def test_a_refused_client_is_told_so_by_an_alert(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(linked(pki))
        stranger = link_client(pki.files("told", DEVICE, Authority.create(pki.now)))

        def ask() -> str:
            with (
                socket.create_connection(("127.0.0.1", port), 10) as plain_socket,
                stranger.wrap_socket(plain_socket) as wrapped,
            ):
                try:
                    wrapped.recv(1)
                except ssl.SSLError as error:
                    return error.reason or ""
            return ""

        assert "ALERT" in await asyncio.to_thread(ask)

    run(body)


def test_plaintext_at_a_tls_listener_is_refused_and_the_next_client_served(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(
            Listener(name="mqtts", address="127.0.0.1", port=0, tls=device_server(pki.cloud))
        )
        lost = await raw(port)
        lost.sendall(b"GET / HTTP/1.1\r\n\r\n")
        refused = (await world.until(Refused))[0]
        assert isinstance(refused, Refused)
        assert refused.cause is Cause.TLS
        world.network.dial(out(port, tls=link_client(pki.device)))
        await world.until(Opened, 2)
        lost.close()

    run(body)


def test_a_dial_to_somebody_who_never_answers_tls_times_out(run: Run, pki: Pki) -> None:
    async def body(world: World) -> None:
        port = await world.network.listen(plain())
        world.network.dial(out(port, tls=link_client(pki.device), limits=Limits(tls_s=0.3)))
        failed = (await world.until(DialFailed))[0]
        assert isinstance(failed, DialFailed)
        assert failed.cause is Cause.TIMEOUT

    run(body)


def test_shutdown_ends_in_bounded_time_even_if_a_peer_takes_nothing(run: Run) -> None:
    async def body(world: World) -> None:
        client = await raw(await world.network.listen(plain(Limits(write_max_bytes=1 << 30))))
        opened = (await world.until(Opened))[0]
        assert isinstance(opened, Opened)
        world.network.send(opened.connection, b"x" * 50_000_000)
        started = asyncio.get_running_loop().time()
        await world.network.shutdown(0.3)
        assert asyncio.get_running_loop().time() - started < 2
        assert isinstance(world.events[-1], Closed)
        client.close()

    run(body)


async def wait_for(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.005)


async def raw(port: int) -> socket.socket:
    """A plain client socket, connected."""
    return await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port), 10)


def read_all(client: socket.socket) -> bytes:
    parts = []
    while part := client.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def session_of(port: int, context: ssl.SSLContext) -> ssl.SSLSession | None:
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain_socket,
        context.wrap_socket(plain_socket) as wrapped,
    ):
        wrapped.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            wrapped.recv(1)
        return wrapped.session


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
