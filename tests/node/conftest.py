"""One node for the tests that leave it running, with a listener of every kind."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.node.clients import PASSWORD, Tls
from tests.node.running import KEEP_ALL, RunningNode

from headland.drivers.keys import write_file
from headland.trust.access import quick_hash
from headland.trust.authority import Authority
from headland.trust.identity import Identity
from headland.trust.passwords import hash_password

LISTENERS = """
[mqtt]
connect_timeout_s = 1
packet_bytes_max = 65536

[[listen]]
name = "web"
port = 0
transport = "ws"
anonymous = true
origins = ["http://dashboard.example"]

[[listen]]
name = "known"
port = 0

[[listen]]
name = "devices"
port = 0
transport = "tls"
client_certificates = "required"
certificate_names = ["site/*"]

[[listen]]
name = "secure-web"
port = 0
transport = "wss"
path = "/broker"
anonymous = true

[[user]]
name = "gateway"
password = { file = "gateway.hash" }
publish = ["plant/%u/#"]
subscribe = ["commands/%u/#"]

[[user]]
name = "typed"
password = { file = "typed.hash" }

[[user]]
name = "person"
password = { env = "PERSON_PASSWORD" }

[[user]]
name = "site/press"
publish = ["press/#"]
subscribe = ["press/#"]
"""


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A root node that keeps every reading."""
    directory = tmp_path_factory.mktemp("node") / "n"
    made = RunningNode(directory, KEEP_ALL + LISTENERS, environment={"PERSON_PASSWORD": PASSWORD})
    write_file(directory / "gateway.hash", quick_hash(PASSWORD).encode())
    write_file(directory / "typed.hash", hash_password(PASSWORD).encode())
    with made:
        yield made
        assert "Traceback" not in made.said


def shown(authority: Authority, directory: Path, name: str, ca: Path) -> Tls:
    """What a client shows that calls itself `name`."""
    directory.mkdir()
    issued = authority.issue(Identity("site", name), dt.datetime.now(dt.UTC))
    write_file(directory / f"{name}.pem", issued.certificate_pem)
    write_file(directory / f"{name}.key", issued.key_pem)
    return Tls(ca, directory / f"{name}.pem", directory / f"{name}.key")


@pytest.fixture
def press(node: RunningNode, tmp_path: Path) -> Tls:
    """The certificate of a device of the node's authority."""
    ca = node.directory / "ca"
    return shown(Authority.load(ca), tmp_path / "known", "press", ca / "ca.pem")


@pytest.fixture
def stranger(node: RunningNode, tmp_path: Path) -> Tls:
    """The same name, by an authority that nobody knows."""
    return shown(
        Authority.create(dt.datetime.now(dt.UTC)),
        tmp_path / "strange",
        "press",
        node.directory / "ca" / "ca.pem",
    )
