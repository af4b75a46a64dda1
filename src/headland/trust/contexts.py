"""TLS contexts.

* The link: TLS 1.3 only, both sides show certificates of our own authority and no other, and names are
  checked by SPIFFE ID (`identity.expect`), not by the address that was dialled: a parent may move.
* No session tickets where clients show certificates: a resumed session would skip the verification, and a
  revoked client that resumed would be served.
* Device listeners (MQTT, HTTP): TLS 1.2 or newer, because devices are old; client certificates where asked
  for.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec

from headland.vocabulary import TrustError


class CertificateFiles(msgspec.Struct, frozen=True):
    """Where a node's own certificate (with chain), its key, and the trusted authority are; PEM."""

    ca: Path
    certificate: Path
    key: Path


def link_server(files: CertificateFiles) -> ssl.SSLContext:
    """For the listener that children call. Raises TrustError when a file is not usable."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, files)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    return context


def link_client(files: CertificateFiles) -> ssl.SSLContext:
    """For calling the parent; pair it with `identity.expect`. Raises TrustError when a file is not usable."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, files)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def device_server(files: CertificateFiles, *, client_certificates: str = "none") -> ssl.SSLContext:
    """For MQTT and HTTP listeners.

    Args:
        files: `ca` is used for the clients' certificates only.
        client_certificates: "none", "optional" or "required".

    Raises:
        TrustError: a file is not usable.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, files)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if client_certificates != "none":
        context.verify_mode = ssl.CERT_REQUIRED if client_certificates == "required" else ssl.CERT_OPTIONAL
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


def reload(context: ssl.SSLContext, files: CertificateFiles) -> None:
    """Renewed files for a context in use: new connections get them, open ones keep theirs.

    Raises:
        TrustError: a file is not usable; the context may then hold part of the new ones.
    """
    try:
        context.load_cert_chain(files.certificate, files.key)
        context.load_verify_locations(files.ca)
    except (OSError, ssl.SSLError) as error:
        raise TrustError(_explain(files, error)) from None


def _context(protocol: int, files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    reload(context, files)
    return context


def _explain(files: CertificateFiles, error: OSError) -> str:
    for path in (files.certificate, files.key, files.ca):
        try:
            if not path.read_bytes().strip():
                return f"{path}: empty"
        except OSError as unreadable:
            return f"{path}: {unreadable.strerror}"
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return f"{files.key} is not the key of {files.certificate}"
    return f"{files.certificate}, {files.key} or {files.ca} is not a PEM file of that kind: {error}"
