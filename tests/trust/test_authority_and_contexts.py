"""Certificates say who a node is; strangers, expired and malformed ones are refused with the reason."""

from __future__ import annotations

import datetime as dt
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from headland.trust import contexts
from headland.trust.authority import Authority, judge, judge_signature, read_pem
from headland.trust.contexts import CertificateFiles
from headland.trust.identity import (
    Identity,
    Members,
    client_name,
    expect,
    identity_of,
    is_name,
    node_name,
    parse_uri,
)
from headland.vocabulary import TrustError

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
NODE = Identity("hall-2", "press_7")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create(NOW)


def shown(pem: bytes) -> dict[str, Any]:
    """A certificate as `getpeercert()` would tell it."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(pem)
        file.flush()
        told: dict[str, Any] = ssl._ssl._test_decode_cert(file.name)  # type: ignore[attr-defined]
        return told


def files_in(
    directory: Path, authority: Authority, identity: Identity = NODE, days: float = 30
) -> CertificateFiles:
    issued = authority.issue(identity, NOW, hosts=("127.0.0.1", "press.example.com"), days=days)
    files = CertificateFiles(directory / "ca.pem", directory / "node.pem", directory / "node.key")
    files.ca.write_bytes(authority.certificate_pem)
    files.certificate.write_bytes(issued.certificate_pem)
    files.key.write_bytes(issued.key_pem)
    return files


def test_a_certificate_names_its_node_and_its_hosts(authority: Authority) -> None:
    pem = authority.issue(NODE, NOW, hosts=("127.0.0.1", "press.example.com")).certificate_pem
    assert node_name(shown(pem)) == "hall-2/press_7"
    names = (
        x509.load_pem_x509_certificate(pem)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://headland/hall-2/press_7"]
    assert names.get_values_for_type(x509.DNSName) == [
        "press-7.hall-2.headland.internal",
        "press.example.com",
    ]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_the_authority_signs_nodes_and_no_authorities(authority: Authority) -> None:
    ca = x509.load_pem_x509_certificate(authority.certificate_pem)
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    node = x509.load_pem_x509_certificate(authority.issue(NODE, NOW).certificate_pem)
    assert not node.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    node.verify_directly_issued_by(ca)


def test_a_certificate_never_outlives_its_authority() -> None:
    short = Authority.create(NOW, days=10)
    node = x509.load_pem_x509_certificate(short.issue(NODE, NOW, days=365).certificate_pem)
    assert (
        node.not_valid_after_utc == x509.load_pem_x509_certificate(short.certificate_pem).not_valid_after_utc
    )


def test_an_authority_is_read_back_from_its_files(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "ca.key").write_bytes(authority.key_pem())
    again = Authority.load(tmp_path)
    files = files_in(tmp_path, again)
    judge_signature(files.certificate, files.ca)


def test_an_authority_that_is_not_there_broken_or_mixed_up_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    with pytest.raises(TrustError, match="no authority in"):
        Authority.load(tmp_path)
    (tmp_path / "ca.pem").write_bytes(Authority.create(NOW).certificate_pem)
    (tmp_path / "ca.key").write_bytes(authority.key_pem())
    with pytest.raises(TrustError, match="do not belong together"):
        Authority.load(tmp_path)
    (tmp_path / "ca.key").write_bytes(b"nonsense")
    with pytest.raises(TrustError, match="no authority in"):
        Authority.load(tmp_path)


def test_expired_and_future_certificates_are_judged_with_their_dates(
    authority: Authority, tmp_path: Path
) -> None:
    files = files_in(tmp_path, authority, days=30)
    identity, not_after = judge(files.certificate, NOW.timestamp())
    assert identity == NODE
    assert not_after == (NOW + dt.timedelta(days=30)).timestamp()
    with pytest.raises(TrustError, match="expired on 2026-06-03 12:00 UTC"):
        judge(files.certificate, not_after + 1)
    with pytest.raises(TrustError, match="not valid before 2026-05-04 11:55 UTC; is the clock right"):
        judge(files.certificate, NOW.timestamp() - 3600)
    with pytest.raises(TrustError, match=r"none\.pem"):
        judge(tmp_path / "none.pem", NOW.timestamp())


def test_a_strangers_signature_is_refused(authority: Authority, tmp_path: Path) -> None:
    files = files_in(tmp_path, authority)
    files.ca.write_bytes(Authority.create(NOW).certificate_pem)
    with pytest.raises(TrustError, match="is not signed by"):
        judge_signature(files.certificate, files.ca)


def test_the_expected_node_passes_and_every_other_is_named(authority: Authority) -> None:
    told = shown(authority.issue(NODE, NOW).certificate_pem)
    assert expect(NODE)(told) == "hall-2/press_7"
    with pytest.raises(TrustError, match="certificate names hall-2/press_7, expected hall-2/cloud"):
        expect(Identity("hall-2", "cloud"))(told)


def test_a_client_is_known_by_its_node_or_else_by_its_common_name_or_not_at_all(authority: Authority) -> None:
    assert client_name(shown(authority.issue(NODE, NOW).certificate_pem)) == "hall-2/press_7"
    assert client_name(with_uris(common_names=("meter 5",))) == "meter 5"
    assert client_name({}) == ""
    for nobody in (with_uris(), with_uris(common_names=("a", "b"))):
        with pytest.raises(TrustError, match="names nobody"):
            client_name(nobody)


def test_only_members_may_connect(authority: Authority) -> None:
    told = shown(authority.issue(NODE, NOW).certificate_pem)
    for patterns in (("*",), ("hall-2/*",), ("hall-1/*", "*/press_7")):
        assert Members(patterns)(told) == "hall-2/press_7"
    for patterns in ((), ("hall-1/*",), ("hall-2/press",), ("HALL-2/*",)):
        with pytest.raises(TrustError, match="hall-2/press_7 is not among"):
            Members(patterns)(told)


def test_a_certificate_without_a_node_with_two_or_of_another_domain_is_refused() -> None:
    assert identity_of(with_uris()) is None
    with pytest.raises(TrustError, match="names no node"):
        node_name(with_uris())
    with pytest.raises(TrustError, match="more than one URI"):
        node_name(with_uris("spiffe://headland/a/b", "spiffe://headland/a/c"))
    with pytest.raises(TrustError, match="does not name a node"):
        node_name(with_uris("spiffe://other/a/b"))
    with pytest.raises(TrustError, match="no certificate"):
        node_name({})


def with_uris(*uris: str, common_names: tuple[str, ...] = ()) -> dict[str, Any]:
    """A self-signed certificate with these URIs."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one) for one in common_names])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=1))
    )
    if uris:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris]), critical=False
        )
    return shown(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://headland/a/../b",
        "spiffe://headland/a",
        "spiffe://headland/a/b/c",
        "spiffe://headland/a/",
        "spiffe://headland//b",
        "spiffe://headland/A/b",
        "spiffe://headland/a/b?c",
        "spiffe://headland/a%2fb/c",
        "spiffe://headland/a/b\n",
        "SPIFFE://headland/a/b",
        "spiffe://headland.evil/a/b",
        "http://headland/a/b",
        "",
    ],
)
def test_a_uri_of_another_form_names_nobody(uri: str) -> None:
    with pytest.raises(TrustError):
        parse_uri(uri)


@given(st.text(max_size=70), st.text(max_size=70))
def test_only_what_is_built_from_two_names_is_read_as_an_identity(site: str, name: str) -> None:
    identity = Identity(site, name)
    if is_name(site) and is_name(name):
        assert parse_uri(identity.uri) == identity
    else:
        with pytest.raises(TrustError):
            parse_uri(identity.uri)


def test_the_links_contexts_demand_certificates_and_tls_1_3(authority: Authority, tmp_path: Path) -> None:
    files = files_in(tmp_path, authority)
    for context in (contexts.link_server(files), contexts.link_client(files)):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert len(context.get_ca_certs()) == 1, "our own authority and no other"
    assert contexts.link_server(files).num_tickets == 0


def test_a_device_listener_allows_tls_1_2_and_asks_for_certificates_only_where_told(
    authority: Authority, tmp_path: Path
) -> None:
    files = files_in(tmp_path, authority)
    plain = contexts.device_server(files)
    assert plain.minimum_version is ssl.TLSVersion.TLSv1_2
    assert plain.verify_mode is ssl.CERT_NONE
    asked = contexts.device_server(files, client_certificates="optional")
    assert asked.verify_mode is ssl.CERT_OPTIONAL
    assert asked.num_tickets == 0
    assert contexts.device_server(files, client_certificates="required").verify_mode is ssl.CERT_REQUIRED


def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    files = files_in(tmp_path, authority)
    other = authority.issue(NODE, NOW)
    files.key.write_bytes(other.key_pem)
    with pytest.raises(TrustError, match=r"node\.key is not the key of .*node\.pem"):
        contexts.link_server(files)
    files.key.write_bytes(b"")
    with pytest.raises(TrustError, match=r"node\.key: empty"):
        contexts.link_server(files)
    files.key.unlink()
    with pytest.raises(TrustError, match=r"node\.key: No such file"):
        contexts.link_server(files)
    files = files_in(tmp_path, authority)
    files.ca.write_bytes(b"nonsense")
    with pytest.raises(TrustError, match="not a PEM file of that kind"):
        contexts.link_server(files)


def test_renewed_files_are_taken_into_a_context_in_use(authority: Authority, tmp_path: Path) -> None:
    files = files_in(tmp_path, authority)
    context = contexts.link_server(files)
    files_in(tmp_path, authority)
    contexts.reload(context, files)
    files.key.write_bytes(authority.issue(NODE, NOW).key_pem)
    with pytest.raises(TrustError):
        contexts.reload(context, files)


def test_a_private_key_is_never_shown(authority: Authority) -> None:
    assert "PRIVATE" not in repr(authority.issue(NODE, NOW))


def test_an_empty_file_holds_no_certificates(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_bytes(b"")
    with pytest.raises(TrustError):
        read_pem(tmp_path / "empty.pem")
