from __future__ import annotations

import asyncio
import io

import pytest

from headland.demo.local_http import NoAnswer, get
from headland.demo.view import NodeView, Picture, View, one_line, paint, saved, size

PICTURE = Picture(
    12.3,
    "the link of local-1 is cut",
    [
        NodeView("cloud", "cloud", "", "running", balanced=True),
        NodeView("regional", "regional", "cloud", "running", "up", balanced=True),
        NodeView("local-1", "local", "regional", "killed", "waiting", 1200, 300, 900, 250),
    ],
    1200,
    100_000,
    12_000,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_picture_shows_the_tree_what_waits_and_what_is_saved() -> None:
    text = "\n".join(paint(PICTURE))
    assert "    local-1" in text
    assert "250" in text
    assert "saved 88%" in text
    assert "the link of local-1 is cut" in text
    assert "?" in text


def test_without_a_terminal_lines_are_plain_and_few() -> None:
    stream = io.StringIO()
    view = View(stream)
    for _ in range(100):
        view.show(PICTURE)
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "[local-1 killed]" in one_line(PICTURE)


def test_a_terminal_is_repainted_in_place_and_sentences_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    view = View(stream)
    view.show(PICTURE)
    view.show(PICTURE)
    height = len(paint(PICTURE))
    assert f"\x1b[{height}A" in stream.getvalue()
    view.say("the link is back")
    assert stream.getvalue().endswith(f"\x1b[{height}A\x1b[Jthe link is back\n")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (12_000, "12.0 kB"), (3.2e9, "3.2 GB")]
)
def test_sizes_are_for_people(count: float, text: str) -> None:
    assert size(count) == text


def test_nothing_is_saved_before_anything_was_offered() -> None:
    assert saved(0, 10) == 0.0
    assert saved(10, 20) == 0.0


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\n\r\n",
            b"abcde",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", None),
        (b"", None),
    ],
)
def test_answers_of_a_node_are_read_whole_or_not_at_all(answer: bytes, body: bytes | None) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def story() -> bytes:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            return await get(server.sockets[0].getsockname()[1], "/status")
        finally:
            server.close()
            await asyncio.sleep(0.01)

    if body is None:
        with pytest.raises(NoAnswer):
            asyncio.run(story())
    else:
        assert asyncio.run(story()) == body
