"""Which HTTP requests may be a web page's doing, and are refused before anything is looked at.

Any page that is open in a browser on this machine, or near it, can make that browser send requests here, with
the browser's certificate and without a token. Three things give such a request away:

* `Origin` (or `Sec-Fetch-Site`) is another site's: 403. No page of another site is served, whatever it shows.
* `Host` is a name that is not ours: 421. A page may have its own name resolved to our address (DNS rebinding)
  and is then of "the same site". Addresses, localhost, the machine's name, the node's and `http.hosts` are
  ours. Not asked over TLS, where no certificate would fit, nor of who shows a token, which no page has.
* The content type is one that a form can send: 415. Line protocol is `text/plain` by its own rules; only
  there it is taken, and so is what `curl -d` says when it is told nothing.

What is no browser sends no Origin, and is asked for a content type only.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import msgspec

from headland.drivers.http_messages import Request, Response

FORMS = frozenset({"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
"""Content types that a page can send anywhere without asking first (Fetch, "CORS-safelisted"), and none."""
LINES = frozenset({"/v1/influx", "/api/v2/write", "/write"})
OPEN = frozenset({"/healthz", "/readyz"})
"""Tells nothing and changes nothing; probes ask for it by any name."""


class Guard(msgspec.Struct, frozen=True):
    """What one HTTP listener knows about itself.

    Attributes:
        hosts: Names it is asked by, lower case; "*" for any.
        secure: Whether it speaks TLS.
    """

    hosts: frozenset[str] = frozenset()
    secure: bool = False

    def refuse(self, request: Request) -> Response | None:
        """The refusal of a request that a page of another site may have made; None for all others."""
        if request.path in OPEN and request.method in ("GET", "HEAD"):
            return None
        headers = request.headers
        host = headers.get("host", "")
        if not self._is_ours(host) and not request.bearer:
            return problem(
                421, "foreign_host", f"{host[:100]!r} is no name of this node; http.hosts lists further ones"
            )
        origin = headers.get("origin")
        if (origin is not None and _place(origin) != host.lower()) or _came_from_elsewhere(request):
            return problem(403, "foreign_origin", "pages of other sites are not served")
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method in ("GET", "HEAD") or not _has_body(request) or media not in FORMS:
            return None
        if request.path in LINES and media != "multipart/form-data":
            return None
        wanted = "application/toml" if request.path.endswith("/config") else "application/json"
        return problem(
            415,
            "content_type",
            f"say what the body is: Content-Type: {wanted} (curl -H 'Content-Type: {wanted}')",
        )

    def _is_ours(self, host: str) -> bool:
        if self.secure or not host or "*" in self.hosts:
            return True
        name = (urlsplit(f"//{host}").hostname or "") if _is_plain(host) else ""
        if name == "localhost" or name.endswith(".localhost") or name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_plain(host: str) -> bool:
    try:
        return not set("/@?#\\") & set(host) and bool(urlsplit(f"//{host}").hostname)
    except ValueError:
        return False


def _place(origin: str) -> str:
    """`host:port` of an origin; "" for one that has none ("null")."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _came_from_elsewhere(request: Request) -> bool:
    """Whether the browser says so (Fetch Metadata). Following a link to a page of ours is no harm."""
    headers = request.headers
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    return request.method != "GET" or headers.get("sec-fetch-mode") != "navigate"


def _has_body(request: Request) -> bool:
    headers = request.headers
    length = headers.get("content-length", "0")
    return bool(request.body) or length != "0" or "transfer-encoding" in headers or "content-type" in headers


def problem(status: int, code: str, message: str) -> Response:
    """An error as JSON."""
    return Response(status, msgspec.json.encode({"code": code, "message": message}))
