"""What the commands that ask a running node share: where it listens, how it is asked, answers for people."""

from __future__ import annotations

import datetime as dt
import http.client
import os
import ssl
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import click
import msgspec

from headland.config import Loaded, load
from headland.config.checking import is_loopback
from headland.sources.registry import configs
from headland.vocabulary import ConfigurationError, HeadlandError

WITHIN_S = 30.0
# Where to call a node that binds every address.
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
T = TypeVar("T")
_F = TypeVar("_F", bound=Callable[..., Any])


class Door(msgspec.Struct, frozen=True):
    """Where a node is asked.

    Attributes:
        host, port: Its local HTTP.
        tls: Context for HTTPS, or None.
        token: Bearer token, or "".
        file: The configuration it was found by, or "".
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    token: str
    file: str = ""

    @property
    def url(self) -> str:
        """For people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls is None else 'https'}://{host}:{self.port}"


def asks_a_node(command: _F) -> _F:
    """Arguments and options of every command that asks a node: TARGET, --token-env, --ca, --json."""
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        click.option(
            "--ca",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Authority to trust, PEM. [default: the configuration's]",
        ),
        click.option(
            "--token-env", metavar="NAME", default="", help="Environment variable that holds a token."
        ),
        click.argument("target", metavar="NODE"),
    ):
        command = decorate(command)
    return command


def configuration(target: str) -> Loaded:
    """The node's file. Raises ConfigurationError unless it is right."""
    return load(Path(target), os.environ, configs())


def door_of(target: str, token_env: str, ca: Path | None) -> Door:
    """Where a node is asked, from its file or its URL.

    Raises:
        ConfigurationError: The file is wrong, its HTTP is off, or the token is not there.
    """
    token = ""
    if token_env:
        token = os.environ.get(token_env, "")
        if not token:
            raise ConfigurationError(f"environment variable {token_env} is not set", path="--token-env")
    if target.startswith(("http://", "https://")):
        return _door_of_url(target, token, ca)
    loaded = configuration(target)
    http = loaded.config.http
    if not http.enabled:
        raise ConfigurationError(
            "the node has no local HTTP", file=target, path="http.enabled", hint="set it to true"
        )
    if not http.port:
        raise ConfigurationError(
            "port 0 takes any free port", file=target, path="http.port", hint="give the URL: its log says it"
        )
    tls = None
    if http.transport == "tls":
        files = loaded.certificates
        tls = _context(ca or files.ca)
        if http.client_certificates == "required":
            tls.load_cert_chain(files.certificate, files.key)
    return Door(ANYWHERE.get(http.address, http.address), http.port, tls, token, target)


def _door_of_url(target: str, token: str, ca: Path | None) -> Door:
    try:
        parts = urlsplit(target)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{target!r}: {error}", path="NODE") from None
    if not parts.hostname or parts.path.strip("/"):
        raise ConfigurationError(f"{target!r} is not http://HOST:PORT", path="NODE")
    secure = parts.scheme == "https"
    if token and not secure and not is_loopback(parts.hostname):
        raise ConfigurationError("a token is not sent in plain text beyond this machine", path="NODE")
    return Door(parts.hostname, port or (443 if secure else 80), _context(ca) if secure else None, token)


def _context(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca) if ca is not None else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"not a PEM file of authorities: {error}", file=str(ca)) from None


def ask(
    door: Door,
    path: str,
    query: dict[str, str] | None = None,
    *,
    method: str = "GET",
    body: bytes = b"",
    offline: bool = False,
) -> bytes:
    """The body of a node's answer.

    Args:
        door: Where.
        path: What, not yet quoted.
        query: Arguments.
        method: GET or POST.
        body: Of a POST.
        offline: Whether the command could also read the data directory (for the hint).

    Raises:
        HeadlandError: The node does not run, does not answer, or answers no.
    """
    secure = door.tls is not None
    connection = (
        http.client.HTTPSConnection(door.host, door.port, timeout=WITHIN_S, context=door.tls)
        if secure
        else http.client.HTTPConnection(door.host, door.port, timeout=WITHIN_S)
    )
    headers = {"Authorization": f"Bearer {door.token}"} if door.token else {}
    if body:
        headers["Content-Type"] = "application/toml"
    whole = quote(path) + (f"?{urlencode(query)}" if query else "")
    try:
        connection.request(method, whole, body=body if method == "POST" else None, headers=headers)
        response = connection.getresponse()
        data = response.read()
    except ConnectionRefusedError:
        start = f"start it: headland run {door.file}" if door.file else "start it"
        hint = f"{start}; --offline reads its data directory" if offline else start
        raise HeadlandError(f"no node listens at {door.url}", hint=hint) from None
    except ssl.SSLCertVerificationError as error:
        raise HeadlandError(f"{door.url}: {error.verify_message}", hint="--ca names the authority") from None
    except (OSError, http.client.HTTPException) as error:
        raise HeadlandError(f"{door.url} does not answer: {error}") from None
    finally:
        connection.close()
    if response.status == http.client.OK:
        return data
    raise _refusal(door, response.status, data)


def _refusal(door: Door, status: int, data: bytes) -> HeadlandError:
    try:
        said = msgspec.json.decode(data, type=dict[str, str])
    except msgspec.MsgspecError:
        said = {}
    message = said.get("message", f"HTTP {status}")
    hint = "--token-env NAME names the variable that holds a token" if status in (401, 403) else ""
    return HeadlandError(f"{door.url}: {message}", hint=hint)


def answer(data: bytes, kind: type[T]) -> T:
    """An answer as a value. Raises HeadlandError when it is none (another version)."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise HeadlandError(f"the node's answer is not understood: {error}") from None


# ── for people ──────────────────────────────────────────────────────────────────────────────────────────────


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns under a head; numbers are set to the right."""
    cells = [list(map(_cell, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in (list(head), *cells)
    ]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if isinstance(value, float) else plain(str(value))


def plain(text: str) -> str:
    """Text of others in which nothing can move a cursor."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def span(seconds: float) -> str:
    """A duration for people."""
    for length, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def moment(ns: int | None) -> str:
    """A time, UTC; what no calendar holds stays a number."""
    if ns is None:
        return "-"
    try:
        when = dt.datetime.fromtimestamp(ns / 1e9, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return str(ns)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text_of_file(path: str) -> bytes:
    """A file's bytes, "-" for standard input. Raises ConfigurationError when it cannot be read."""
    try:
        if path == "-":
            return sys.stdin.buffer.read()
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(str(error.strerror), file=path) from None
