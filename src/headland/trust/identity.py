"""Names of nodes, and how a certificate carries one.

A node is (site, name). Its certificate carries exactly one URI, `spiffe://headland/<site>/<name>`
(X.509-SVID, https://github.com/spiffe/spiffe), and DNS names. Sites and names are 1-63 characters of a-z,
0-9, "-" and "_", beginning with a letter or digit: a path with dots or slashes in it can never be made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from headland.vocabulary import TrustError

TRUST_DOMAIN = "headland"
DNS_DOMAIN = "headland.internal"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_PREFIX = f"spiffe://{TRUST_DOMAIN}/"


class Identity(msgspec.Struct, frozen=True, order=True):
    """A node's place: `site` and `name`."""

    site: str
    name: str

    def __str__(self) -> str:
        return f"{self.site}/{self.name}"

    @property
    def uri(self) -> str:
        """The SPIFFE ID."""
        return f"{_PREFIX}{self.site}/{self.name}"

    @property
    def dns(self) -> str:
        """A DNS name that says the same; underscores, which host names may not hold, become dashes."""
        return f"{self.name}.{self.site}.{DNS_DOMAIN}".replace("_", "-")


def is_name(text: str) -> bool:
    """Whether `text` may name a node or a site."""
    return _NAME.fullmatch(text) is not None


def parse_uri(uri: str) -> Identity:
    """The identity in a SPIFFE ID.

    Raises:
        TrustError: it is another trust domain's, or not of the form given above.
    """
    if uri.startswith(_PREFIX):
        parts = uri[len(_PREFIX) :].split("/")
        if len(parts) == 2 and all(map(is_name, parts)):
            return Identity(*parts)
    raise TrustError(f"{uri!r} does not name a node (expected {_PREFIX}SITE/NAME)")


Shown = Mapping[str, Any]
"""A certificate that TLS has verified, as `ssl.SSLSocket.getpeercert()` tells it; empty for none.

So a running node needs no X.509 parser of its own (cryptography costs 9 MB of memory)."""


def identity_of(shown: Shown) -> Identity | None:
    """Whom a certificate names; None when it names no node.

    Raises:
        TrustError: it carries more than one URI, or one that names no node.
    """
    uris = [value for kind, value in shown.get("subjectAltName", ()) if kind == "URI"]
    if len(uris) > 1:
        raise TrustError("certificate carries more than one URI")
    return parse_uri(uris[0]) if uris else None


def node_name(shown: Shown) -> str:
    """`site/name` of the node that a certificate names.

    Raises:
        TrustError: there is none.
    """
    if not shown:
        raise TrustError("no certificate was shown")
    identity = identity_of(shown)
    if identity is None:
        raise TrustError("certificate names no node (it has no spiffe:// URI)")
    return str(identity)


def client_name(shown: Shown) -> str:
    """The name by which a device or a person is known that may show a certificate, "" without one.

    A node's `site/name`; else the subject's common name: certificates of devices were often made elsewhere.

    Raises:
        TrustError: the certificate names neither.
    """
    if not shown:
        return ""
    identity = identity_of(shown)
    if identity is not None:
        return str(identity)
    common = [value for part in shown.get("subject", ()) for key, value in part if key == "commonName"]
    if len(common) != 1 or not common[0]:
        raise TrustError("certificate names nobody (neither a spiffe:// URI nor one common name)")
    return str(common[0])


def expect(identity: Identity) -> Expectation:
    """A check that a certificate names exactly `identity`."""
    return Expectation(identity)


class Expectation(msgspec.Struct, frozen=True):
    """Callable on a certificate: its node's name if it is the one, else TrustError."""

    identity: Identity

    def __call__(self, shown: Shown) -> str:
        """The name, if it is the expected one; else TrustError."""
        name = node_name(shown)
        if name != str(self.identity):
            raise TrustError(f"certificate names {name}, expected {self.identity}")
        return name


class Members(msgspec.Struct, frozen=True):
    """Callable on a certificate: its node's name if a pattern fits (`*`: any part), else TrustError."""

    patterns: tuple[str, ...] = ("*",)

    def __call__(self, shown: Shown) -> str:
        """The name, if it may connect here; else TrustError."""
        name = node_name(shown)
        if any(fnmatchcase(name, pattern) for pattern in self.patterns):
            return name
        raise TrustError(f"{name} is not among {', '.join(self.patterns) or 'nobody'}")
