"""When a certificate begins and ends, read without a library for it, is what such a library reads."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from headland.trust.authority import Authority
from headland.trust.identity import Identity
from headland.trust.validity import begins, span
from headland.vocabulary import TrustError

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
MOMENTS = st.datetimes(dt.datetime(1950, 1, 1), dt.datetime(9999, 12, 31)).map(  # noqa: DTZ001 - made UTC
    lambda at: at.replace(microsecond=0, tzinfo=dt.UTC)
)
"""Beyond 2049 a certificate writes its times in another form."""


def certificate(begin: dt.datetime, end: dt.datetime, name: str = "a") -> bytes:
    """One that its own key has signed, PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(end)
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


@given(st.lists(st.tuples(MOMENTS, MOMENTS).map(sorted), min_size=1, max_size=3), st.integers(1, 64))
def test_it_reads_of_any_certificates_what_a_library_reads(
    spans: list[list[dt.datetime]], length: int
) -> None:
    with TemporaryDirectory() as directory:
        file = Path(directory) / "node.pem"
        file.write_bytes(b"# a chain\n" + b"\n".join(certificate(*one, "n" * length) for one in spans))
        assert span(file) == (spans[0][0].timestamp(), spans[0][1].timestamp())
        assert begins(file) == max(one[0] for one in spans).timestamp()


def test_it_reads_what_an_authority_of_ours_has_issued(tmp_path: Path) -> None:
    file = tmp_path / "node.pem"
    file.write_bytes(Authority.create(NOW).issue(Identity("hall", "press"), NOW, days=30).certificate_pem)
    begin_s = (NOW - dt.timedelta(minutes=5)).timestamp()
    assert span(file) == (begin_s, (NOW + dt.timedelta(days=30)).timestamp())
    assert begins(file) == begin_s


@pytest.mark.parametrize("what", [b"", b"no PEM", b"\xff\x00"])
def test_a_file_without_a_certificate_has_no_span_and_begins_at_0(what: bytes, tmp_path: Path) -> None:
    file = tmp_path / "node.pem"
    for _ in range(2):  # not there, then there
        with pytest.raises(TrustError, match=r"node\.pem"):
            span(file)
        assert begins(file) == 0
        file.write_bytes(what)


@given(st.integers(0, 400), st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4))
def test_bytes_that_are_no_certificate_are_refused_and_nothing_else(
    left: int, changes: list[tuple[int, int]]
) -> None:
    """Kills: a node that ends because of a damaged file which nothing but its dates were read of."""
    damaged = bytearray(ssl.PEM_cert_to_DER_cert(certificate(NOW, NOW).decode())[:left])
    for at, value in changes:
        damaged[at : at + 1] = bytes((value,))
    with TemporaryDirectory() as directory:
        file = Path(directory) / "node.pem"
        file.write_text(ssl.DER_cert_to_PEM_cert(bytes(damaged)))
        try:
            begin_s, end_s = span(file)
        except TrustError:
            assert begins(file) == 0
        else:
            assert isinstance(begin_s, float)
            assert isinstance(end_s, float)
