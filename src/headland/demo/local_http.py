"""Questions to the nodes' local HTTP, without a client library: one GET a connection."""

from __future__ import annotations

import asyncio

ANSWER_BYTES_MAX = 256 * 1024 * 1024


class NoAnswer(OSError):
    """The node did not answer, or not with 200."""


async def get(port: int, path: str, within_s: float = 5.0) -> bytes:
    """Body of `GET path` at 127.0.0.1:`port`.

    Raises:
        NoAnswer: No connection, no complete answer within `within_s` seconds, or a status other than 200.
    """
    try:
        async with asyncio.timeout(within_s):
            return await _get(port, path)
    except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError) as problem:
        if isinstance(problem, NoAnswer):
            raise
        raise NoAnswer(f"GET 127.0.0.1:{port}{path}: {problem!r}") from problem


async def _get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=ANSWER_BYTES_MAX)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await _chunks(reader)
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = await reader.read(-1)
        if status != 200:
            raise NoAnswer(f"GET 127.0.0.1:{port}{path}: {status} {body[:200].decode(errors='replace')}")
        return body
    finally:
        writer.transport.abort()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body (RFC 9112, 7.1)."""
    parts = []
    while length := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(length))
        await reader.readexactly(2)
    return b"".join(parts)
