from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from headland.demo.proxies import ClientProxy, LinkProxy, Packets, client_id


def packet(first: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([first, len(body)]) + body


def text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def connect(name: str, version: int = 4, properties: bytes = b"") -> bytes:
    block = bytes([len(properties)]) + properties if version == 5 else b""
    return packet(0x10, text("MQTT") + bytes([version, 2, 0, 60]) + block + text(name))


def publish(packet_id: int, payload: bytes, *, dup: bool = False, topic: str = "a/b") -> bytes:
    return packet(0x32 | (8 if dup else 0), text(topic) + packet_id.to_bytes(2, "big") + payload)


def puback(packet_id: int) -> bytes:
    return packet(0x40, packet_id.to_bytes(2, "big"))


class Node:
    """Accepts connections, remembers what it got, says what it is told."""

    def __init__(self) -> None:
        self.got = b""
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def start(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while data := await reader.read(1000):
                self.got += data
        except OSError:
            pass
        writer.close()

    async def close(self) -> None:
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        async with asyncio.timeout(5):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)  # closed transports end in the next turn of the loop


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def ended(reader: asyncio.StreamReader) -> None:
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)


def run(story: Callable[[Node], Awaitable[None]]) -> None:
    async def told() -> None:
        node = Node()
        await node.start()
        try:
            await story(node)
        finally:
            await node.close()

    asyncio.run(told())


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_packets_are_cut_the_same_however_the_bytes_come(step: int) -> None:
    whole = connect("c1") + publish(1, b"x" * 20) + puback(1) + b"\x30\x82\x01" + bytes(130)
    cutter = Packets()
    found = [one for at in range(0, len(whole), step) for one in cutter.feed(whole[at : at + step])]
    assert [first for first, _ in found] == [0x10, 0x32, 0x40, 0x30]
    assert len(found[3][1]) == 130


def test_the_client_identifier_is_found_in_both_protocol_versions() -> None:
    assert client_id(connect("press-7")[2:]) == "press-7"
    assert client_id(connect("press-7", 5, b"\x11\0\0\0\x10")[2:]) == "press-7"


def test_a_link_counts_its_bytes_and_a_cut_drops_and_refuses_until_restored() -> None:
    async def story(node: Node) -> None:
        proxy = LinkProxy(node.port)
        await proxy.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hello")
        await until(lambda: node.got == b"hello")
        node.writers[0].write(b"ok")
        assert await reader.read(10) == b"ok"
        assert (proxy.bytes_north, proxy.bytes_south) == (5, 2)
        proxy.cut()
        await ended(reader)
        writer.close()
        refused, other = await asyncio.open_connection("127.0.0.1", proxy.port)
        await ended(refused)
        other.close()
        proxy.restore()
        _, again = await asyncio.open_connection("127.0.0.1", proxy.port)
        again.write(b" again")
        await until(lambda: node.got == b"hello again")
        again.close()
        await proxy.close()

    run(story)


def test_a_silent_cut_leaves_connections_open_and_carries_nothing() -> None:
    async def story(node: Node) -> None:
        proxy = LinkProxy(node.port)
        await proxy.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"before")
        await until(lambda: node.got == b"before")
        proxy.cut(silent=True)
        writer.write(b"never")
        await until(lambda: proxy.bytes_lost == 5)
        assert (node.got, proxy.bytes_north, writer.transport.is_closing()) == (b"before", 6, False)
        proxy.restore()
        await ended(reader)
        writer.close()
        await proxy.close()

    run(story)


def test_a_held_acknowledgement_makes_its_resend_one_after_the_commit() -> None:
    async def story(node: Node) -> None:
        proxy = ClientProxy(node.port)
        await proxy.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        sent = connect("press") + publish(1, b"one") + publish(2, b"two") + publish(3, b"three")
        writer.write(sent)
        await until(lambda: node.got == sent)
        node.writers[0].write(puback(1))
        assert await reader.read(10) == puback(1)
        proxy.hold_answers()
        node.writers[0].write(puback(2))
        await until(lambda: len(proxy.seen.withheld) == 1)
        proxy.forget_held()
        await ended(reader)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        # Packet 2 was committed and comes again; packet 3 comes again too, but was never acknowledged.
        more = connect("press") + publish(2, b"two", dup=True) + publish(3, b"three", dup=True)
        writer.write(more)
        await until(lambda: node.got == sent + more)
        assert proxy.seen.resent_after_commit == 1
        writer.close()
        await proxy.close()

    run(story)


@pytest.mark.parametrize(
    "again",
    [publish(2, b"new"), publish(2, b"new", dup=True), publish(3, b"two", dup=True), publish(2, b"two")],
)
def test_another_payload_identifier_or_a_first_send_is_not_a_resend(again: bytes) -> None:
    async def story(node: Node) -> None:
        proxy = ClientProxy(node.port)
        await proxy.start()
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        sent = connect("press") + publish(2, b"two")
        writer.write(sent)
        await until(lambda: node.got == sent)
        proxy.hold_answers()
        node.writers[0].write(puback(2))
        await until(lambda: len(proxy.seen.withheld) == 1)
        proxy.forget_held()
        writer.close()
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(connect("press") + again)
        await until(lambda: node.got.endswith(again))
        assert proxy.seen.resent_after_commit == 0
        writer.close()
        await proxy.close()

    run(story)


def test_released_answers_reach_their_clients() -> None:
    async def story(node: Node) -> None:
        proxy = ClientProxy(node.port)
        await proxy.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(connect("press") + publish(2, b"two"))
        await until(lambda: len(node.got) > 20)
        proxy.hold_answers()
        node.writers[0].write(puback(2))
        assert await proxy.caught(5) == 1
        proxy.release()
        assert await reader.read(10) == puback(2)
        writer.close()
        await proxy.close()

    run(story)
