"""Names of nodes, and how a certificate carries one.

A node is (site, name). Its certificate carries exactly one URI, `spiffe://headland/<site>/<name>`
(X.509-SVID, https://github.com/spiffe/spiffe), and DNS names. Sites and names are 1-63 characters of a-z,
0-9, "-" and "_", beginning with a letter or digit: a path with dots or slashes in it can never be made.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

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


class Certificate(msgspec.Struct, frozen=True):
    """What is read from a certificate.

    Attributes:
        identity: Whom it names, None when it names no node.
        not_before, not_after: UTC, seconds since 1970.
        subject: For messages.
        common_name: The subject's, when there is exactly one.
    """

    identity: Identity | None
    not_before: float
    not_after: float
    subject: str
    common_name: str = ""


def read_certificate(der: bytes) -> Certificate:
    """Read a certificate (DER).

    Raises:
        TrustError: it cannot be parsed, or carries more than one URI or one that names no node.
    """
    try:
        return describe(x509.load_der_x509_certificate(der))
    except ValueError as error:
        raise TrustError(f"certificate cannot be read: {error}") from None


def describe(certificate: x509.Certificate) -> Certificate:
    """What is told of a parsed certificate. Raises TrustError as `read_certificate` does."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(uris) > 1:
        raise TrustError("certificate carries more than one URI")
    return Certificate(
        parse_uri(uris[0]) if uris else None,
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
        certificate.subject.rfc4514_string(),
        str(common[0].value) if len(common) == 1 else "",
    )


def node_name(der: bytes) -> str:
    """`site/name` of the node that a certificate (DER, already verified by TLS) names.

    Raises:
        TrustError: there is none.
    """
    if not der:
        raise TrustError("no certificate was shown")
    identity = read_certificate(der).identity
    if identity is None:
        raise TrustError("certificate names no node (it has no spiffe:// URI)")
    return str(identity)


def client_name(der: bytes) -> str:
    """The name by which a device or a person is known that may show a certificate (DER), "" without one.

    A node's `site/name`; else the subject's common name: certificates of devices were often made elsewhere.

    Raises:
        TrustError: the certificate names neither.
    """
    if not der:
        return ""
    certificate = read_certificate(der)
    name = str(certificate.identity) if certificate.identity is not None else certificate.common_name
    if not name:
        raise TrustError("certificate names nobody (neither a spiffe:// URI nor a common name)")
    return name


def expect(identity: Identity) -> Expectation:
    """A check that a certificate names exactly `identity`."""
    return Expectation(identity)


class Expectation(msgspec.Struct, frozen=True):
    """Callable on a certificate (DER): its node's name if it is the one, else TrustError."""

    identity: Identity

    def __call__(self, der: bytes) -> str:
        """The name, if it is the expected one; else TrustError."""
        name = node_name(der)
        if name != str(self.identity):
            raise TrustError(f"certificate names {name}, expected {self.identity}")
        return name


class Members(msgspec.Struct, frozen=True):
    """Callable on a certificate (DER): its node's name if a pattern fits (`*`: any part), else TrustError."""

    patterns: tuple[str, ...] = ("*",)

    def __call__(self, der: bytes) -> str:
        """The name, if it may connect here; else TrustError."""
        name = node_name(der)
        if any(fnmatchcase(name, pattern) for pattern in self.patterns):
            return name
        raise TrustError(f"{name} is not among {', '.join(self.patterns) or 'nobody'}")
