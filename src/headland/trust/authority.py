"""A development authority: one key that signs every node of a trial, kept beside them.

For a trial or a site without a fleet service. Whoever can read `ca.key` can make any node; the fleet
service's authority (offline root, site intermediates, 24 h certificates) replaces it. Files: `ca.pem`
(public) and `ca.key` (PKCS#8, mode 0600) in a directory of mode 0700.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from headland.trust.identity import Identity, identity_of
from headland.vocabulary import TrustError

CA_DAYS = 3650
NODE_DAYS = 365
BACKDATED = dt.timedelta(minutes=5)
"""A machine whose clock is a little slow accepts a certificate that was made just now."""


class Issued(msgspec.Struct, frozen=True):
    """A private key (PEM, PKCS#8, unencrypted) and its certificate (PEM)."""

    key_pem: bytes
    certificate_pem: bytes

    def __repr__(self) -> str:
        return "Issued(...)"


class Authority:
    """A certificate authority in memory: `create` a new one or `load` one from its files."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, now: dt.datetime, days: int = CA_DAYS) -> Authority:
        """A new one, EC P-256, path length 0, valid for `days` from `now` (UTC)."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Headland"),
                x509.NameAttribute(
                    NameOID.COMMON_NAME, f"Headland development CA {x509.random_serial_number():x}"[:48]
                ),
            ]
        )
        public = key.public_key()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """The one whose files are in `directory`.

        Raises:
            TrustError: a file is missing, unreadable or not what it should be.
        """
        try:
            key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
            certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise TrustError(f"no authority in {directory}: {error}") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise TrustError(f"{directory}: ca.key and ca.pem do not belong together")
        return cls(key, certificate)

    @property
    def certificate_pem(self) -> bytes:
        """The authority's own certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        """The authority's private key, to be written where only its owner can read it."""
        return _pem(self._key)

    def issue(
        self, identity: Identity, now: dt.datetime, *, hosts: Iterable[str] = (), days: float = NODE_DAYS
    ) -> Issued:
        """A key and certificate for a node, both server and client.

        Args:
            identity: Whom it names.
            now: UTC; validity begins five minutes earlier.
            hosts: Further names and addresses under which the node is called (for MQTT and HTTP clients).
            days: Validity; a negative one makes a certificate that has already expired (for tests).
        """
        key = ec.generate_private_key(ec.SECP256R1())
        start, end = now - BACKDATED, now + dt.timedelta(days=days)
        if end <= start:
            start = end - dt.timedelta(days=1)
        public = key.public_key()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(identity)[:64])]))
            .issuer_name(self._certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(min(end, self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName(
                    [
                        x509.UniformResourceIdentifier(identity.uri),
                        *map(_general_name, dict.fromkeys((identity.dns, *hosts))),
                    ]
                ),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return Issued(_pem(key), certificate.public_bytes(serialization.Encoding.PEM))


def read_pem(path: Path) -> tuple[x509.Certificate, ...]:
    """Certificates of a PEM file.

    Raises:
        TrustError: it cannot be read or holds none.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise TrustError(f"{path}: {error}") from None


def judge(path: Path, now: float) -> tuple[Identity | None, float]:
    """Whom the first certificate of a PEM file names, and when it ends (UTC seconds since 1970).

    Raises:
        TrustError: it cannot be read, has expired or is not valid yet at `now`.
    """
    certificate = read_pem(path)[0]
    not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > not_after.timestamp():
        raise TrustError(f"{path}: expired on {not_after:%Y-%m-%d %H:%M} UTC")
    if now < not_before.timestamp():
        raise TrustError(f"{path}: not valid before {not_before:%Y-%m-%d %H:%M} UTC; is the clock right?")
    return _identity(certificate), not_after.timestamp()


def _identity(certificate: x509.Certificate) -> Identity | None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return identity_of({"subjectAltName": [("URI", uri) for uri in uris]})


def judge_signature(path: Path, ca: Path) -> None:
    """Raise TrustError unless a certificate of `ca` has signed the last one of the chain in `path`."""
    last = read_pem(path)[-1]
    for signer in read_pem(ca):
        try:
            last.verify_directly_issued_by(signer)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return
    raise TrustError(f"{path} is not signed by {ca}")


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
