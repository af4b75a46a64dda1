"""The commands that ask a running node: one JSON object, exit codes, errors that say what to do."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.node.clients import V5, Paho
from tests.node.running import RunningNode, eventually, headland

from headland.cli.asking import moment, plain, size, span, table
from headland.cli.group import main
from headland.drivers.keys import write_file
from headland.vocabulary import Priority

RULES = """
[default]
name = "all"
filter = { kind = "keep" }
[[series]]
name = "later"
match = "later/**"
priority = "low"
filter = { kind = "keep" }
[classes.low]
sync = "on_demand"
[decide]
real_time = false
"""
TENANTS = """
[[mapping]]
topic = "halls/{site}/x"
series = "halls/x"
[[series]]
name = "elsewhere"
match = "only/**"
labels = { tenant = "elsewhere" }
filter = { kind = "drop" }
[[series]]
name = "acme"
match = "only/**"
labels = { tenant = "acme", site = "s*" }
priority = "high"
filter = { kind = "keep" }
"""
JSON = {"Content-Type": "application/json"}
TOKEN = "an-operators-token-of-32-letters"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def push(node: RunningNode, path: str, body: bytes) -> None:
    url = f"http://127.0.0.1:{node.ports['http']}{path}"
    urllib.request.urlopen(urllib.request.Request(url, body, JSON, method="POST"), timeout=10).close()


class Site:
    """A root and its child; the child has readings, one of them in a class that is sent on demand."""

    def __init__(self, directory: Path) -> None:
        self.root = RunningNode(directory / "root", RULES)
        self.http = free_port()
        self._directory = directory

    def start(self) -> None:
        self.root.start()
        self.child = RunningNode(
            self._directory / "child",
            RULES + TENANTS,
            tier="local",
            environment={"HEADLAND__NODE__TENANT": "acme", "HEADLAND__NODE__LABELS": '{ hall = "2" }'},
            arguments=(
                "--ca", str(self.root.directory / "ca"),
                "--parent", f"127.0.0.1:{self.root.ports['link']}",
                "--parent-name", "root",
                "--http-port", str(self.http),
            ),
        )  # fmt: skip
        self.child.start()
        eventually(lambda: self.child.ask("/v1/status")["link"] == "up")
        for at in range(5):
            push(self.child, "/v1/readings", b'[{"series": "now/x", "value": %d}]' % at)
        push(self.child, "/v1/readings", b'[{"series": "later/x", "value": 1}]')
        eventually(lambda: len(self.root.values("now/x")) == 5)

    @property
    def url(self) -> str:
        """Of the root."""
        return f"http://127.0.0.1:{self.root.ports['http']}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    try:
        made.start()
        yield made
    finally:
        made.root.kill()
        if hasattr(made, "child"):
            made.child.kill()


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def one_object(result: Result) -> dict[str, object]:
    """The one JSON object of a command, and nothing else on its standard output."""
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    assert result.stdout.count("\n") == 1
    return found


def test_status_finds_the_node_by_its_file_and_by_its_url(site: Site) -> None:
    by_file = one_object(run("status", site.child.file, "--json"))
    by_url = one_object(run("status", f"http://127.0.0.1:{site.http}", "--json"))
    assert by_file["name"] == by_url["name"] == "site/child"
    decide = by_file["decide"]
    assert isinstance(decide, dict)
    assert decide["count"] > 0
    assert 0 < decide["p50_ms"] <= decide["p99_ms"] <= decide["p99_9_ms"] <= decide["max_ms"]
    text = run("status", site.child.file).stdout
    assert "site/child  local  healthy" in text
    assert "link up" in text


def test_the_ledger_shows_accounts_equations_flows_hours_and_cost(site: Site) -> None:
    books = one_object(run("ledger", site.child.file, "--hours", "--json"))
    assert books["balanced"] is True
    assert books["hours"]
    text = run("ledger", site.child.file, "--hours").stdout
    assert re.search(r"^offered +6 +", text, re.MULTILINE)
    assert "south: offered 6 = kept 6" in text
    assert "the books balance" in text
    assert "EUR a month" in text
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\dh +kept", text, re.MULTILINE)


def test_what_is_sent_on_demand_waits_and_leaves_when_it_is_asked_for(site: Site) -> None:
    queue = one_object(run("queue", "list", site.child.file, "--json"))
    assert queue["unsealed"] == {"critical": 0, "high": 0, "normal": 0, "low": 1}
    assert "not in a block yet: 1 low" in run("queue", "list", site.child.file).stdout
    assert site.root.values("later/x") == []
    assert one_object(run("queue", "demand", site.child.file, "low", "--json"))["state"] == "released"
    eventually(lambda: site.root.values("later/x") == [1])


def test_there_are_no_dead_letters_and_none_can_be_sent(site: Site) -> None:
    assert one_object(run("queue", "dead", site.child.file, "--json")) == {"dead": [], "unlisted": 0}
    assert run("queue", "dead", site.child.file).stdout == "no dead letters\n"
    result = run("queue", "resend", site.child.file, "7")
    assert result.exit_code == 1
    assert "7 is not in the list of dead letters" in result.stderr
    assert run("queue", "resend", site.child.file, "seven").exit_code == 2
    result = run("queue", "release", site.child.file, "01234567/high/live", "--dead")
    assert result.exit_code == 1
    assert "is not a stopped stream; stopped are: none" in result.output
    assert run("queue", "demand", site.child.file, "urgent").exit_code == 2
    result = run("queue", "parent-gone", site.child.file)
    assert result.exit_code == 2
    assert "say --yes" in result.output
    result = run("queue", "parent-gone", site.child.file, "--yes")
    assert result.exit_code == 1
    assert "no parent but the one that is connected" in result.output


def test_a_query_gives_rows_at_the_root_and_a_reason_elsewhere(site: Site) -> None:
    rows = one_object(run("query", site.url, "--series", "now/*", "--json"))["rows"]
    assert isinstance(rows, list)
    assert [row["value"] for row in rows] == [0, 1, 2, 3, 4]
    text = run("query", site.url, "--series", "now/*", "--limit", "2").stdout
    assert text.splitlines()[-1] == "the first 2; --limit shows more"
    assert len(text.splitlines()) == 4
    assert run("query", site.url, "--series", "nothing/*").stdout == "no rows\n"
    result = run("query", site.child.file)
    assert result.exit_code == 1
    assert "ask its parent" in result.stderr
    assert run("query", site.url, "--since", "yesterday").exit_code == 2


def test_site_tenant_and_labels_of_a_node_are_labels_of_its_series_at_the_root(site: Site) -> None:
    """Kills: labels that stay at the node, rules that do not see them, a reading's own label overwritten."""
    push(site.child, "/v1/readings", b'[{"series": "only/x", "value": 1, "labels": {"hall": "7"}}]')
    push(site.child, "/v1/topics/halls/south/x", b"2")
    eventually(lambda: site.root.values("only/*") and site.root.values("halls/x"))
    found = one_object(run("query", site.url, "--series", "*{*tenant=acme}", "--json"))["rows"]
    assert isinstance(found, list)
    rows = {row["name"]: row for row in found}
    assert rows["now/x"]["series"] == "now/x{hall=2,site=site,tenant=acme}"
    assert rows["now/x"]["labels"] == {"hall": "2", "site": "site", "tenant": "acme"}
    assert rows["only/x"]["labels"] == {"hall": "7", "site": "site", "tenant": "acme"}
    assert Priority(rows["only/x"]["_class"]) == Priority.HIGH
    assert rows["halls/x"]["labels"] == {"hall": "2", "site": "south", "tenant": "acme"}
    assert {row["_site"] for row in found} == {"site"}
    assert run("query", site.url, "--series", "*{*tenant=other*}").stdout == "no rows\n"


def test_the_quarantine_lists_what_did_not_fit(site: Site) -> None:
    assert run("quarantine", site.child.file).stdout == "nothing is in quarantine\n"
    with site.child.file.open("a") as file:
        file.write('[[mapping]]\ntopic = "strict/{m}"\nformat = "json"\nvalue = "$.v"\n')
    site.child.reload()
    eventually(lambda: any(one["state"] == "applied" for one in site.child.events("reload")))
    with Paho(port=site.child.ports["mqtt:mqtt"], name="poison", version=V5) as client:
        client.settle(client.publish("strict/x", b'{"v": \x1b[2J', 1))
    found = one_object(run("quarantine", site.child.file, "--json"))
    entries = found["entries"]
    assert isinstance(entries, list)
    assert [(one["client"], one["topic"]) for one in entries] == [("poison", "strict/x")]
    text = run("quarantine", site.child.file).stdout
    assert "strict/x" in text
    assert "\x1b" not in text


def test_a_node_that_does_not_run_is_a_clear_error_with_a_way_out(tmp_path: Path) -> None:
    directory = tmp_path / "n"
    assert headland("init", str(directory), "--http-port", str(free_port())).returncode == 0
    for command in (["status"], ["ledger"], ["queue", "list"], ["quarantine"], ["query"], ["intent", "list"]):
        result = run(*command, directory / "node.toml")
        assert result.exit_code == 1, command
        assert not result.stdout
        assert "no node listens at http://127.0.0.1:" in result.stderr
        assert f"headland run {directory / 'node.toml'}" in result.stderr
        assert ("--offline" in result.stderr) == (command[0] in ("ledger", "query"))
    assert run("status", tmp_path / "nothing.toml").exit_code == 2
    assert run("status", "http://").exit_code == 2
    assert run("ledger", directory / "node.toml", "--offline").exit_code == 2, "it has never run"


def test_a_port_that_the_file_does_not_name_is_asked_for_by_its_url(tmp_path: Path) -> None:
    directory = tmp_path / "n"
    assert headland("init", str(directory), "--http-port", "0").returncode == 0
    result = run("status", directory / "node.toml")
    assert result.exit_code == 2
    assert "give the URL" in result.stderr


def fingerprint(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(directory)): (blake2b(path.read_bytes()).digest(), path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_offline_reading_sees_what_was_acknowledged_and_changes_nothing(tmp_path: Path, end: str) -> None:
    node = RunningNode(tmp_path / "n", RULES)
    with node:
        for at in range(20):
            push(node, "/v1/readings", b'[{"series": "s", "value": %d}]' % at)
        result = run("ledger", node.file, "--offline")
        assert result.exit_code == 1
        assert "a node runs on this data directory" in result.stderr
        if end == "stop":
            assert node.stop() == 0
    before = fingerprint(node.directory)
    rows = one_object(run("query", node.file, "--offline", "--series", "s", "--json"))["rows"]
    assert isinstance(rows, list)
    if end == "stop":
        assert [row["value"] for row in rows] == list(range(20))
    books = one_object(run("ledger", node.file, "--offline", "--json"))
    assert books["balanced"] is True
    accounts = books["accounts"]
    assert isinstance(accounts, dict)
    assert accounts["offered"]["readings"] == 20
    assert fingerprint(node.directory) == before
    with node:
        assert node.books("offered") == 20


def test_a_token_opens_and_its_lack_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = (
        RULES + '[[http.token]]\nname = "ops"\ntoken = { file = "token" }\nmay = ["read", "operate"]\n'
        '[[http.token]]\nname = "eye"\ntoken = { file = "eye" }\nmay = ["read"]\n'
    )
    node = RunningNode(tmp_path / "n", more)
    text = node.file.read_text().replace("[http]\n", "[http]\nanonymous = false\n")
    node.file.write_text(text)
    write_file(node.directory / "token", TOKEN.encode())
    write_file(node.directory / "eye", TOKEN[::-1].encode())
    monkeypatch.setenv("OPS", TOKEN)
    monkeypatch.setenv("EYE", TOKEN[::-1])
    with node:
        url = f"http://127.0.0.1:{node.ports['http']}"
        assert one_object(run("status", url, "--json", "--token-env", "OPS"))["name"] == "site/n"
        result = run("status", url)
        assert result.exit_code == 1
        assert "--token-env" in result.stderr
        refused = run("queue", "demand", url, "low", "--token-env", "EYE")
        assert refused.exit_code == 1
        assert "may only read" in refused.stderr
        assert "no queue" in run("queue", "demand", url, "low", "--token-env", "OPS").stderr
        assert run("status", url, "--token-env", "NOT_SET").exit_code == 2


def test_https_is_trusted_by_the_nodes_own_authority_only(tmp_path: Path) -> None:
    node = RunningNode(tmp_path / "n", RULES)
    port = free_port()
    text = node.file.read_text().replace(
        '[http]\naddress = "127.0.0.1"\nport = 0',
        f'[http]\ntransport = "tls"\naddress = "127.0.0.1"\nport = {port}',
    )
    node.file.write_text(text)
    log = tmp_path / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen([sys.executable, "-m", "headland", "run", str(node.file)], stderr=sink)
    try:
        eventually(lambda: b'"started"' in log.read_bytes(), 30)
        assert one_object(run("status", node.file, "--json"))["name"] == "site/n"
        result = run("status", f"https://127.0.0.1:{port}")
        assert result.exit_code == 1
        assert "--ca" in result.stderr
        authority = node.directory / "certificates" / "ca.pem"
        assert run("status", f"https://localhost:{port}", "--ca", authority).exit_code == 0
        assert run("status", f"https://localhost:{port}", "--ca", node.file).exit_code == 2
    finally:
        process.kill()
        process.wait(20)


def test_a_token_does_not_travel_in_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS", TOKEN)
    result = run("status", "http://192.0.2.1:8480", "--token-env", "OPS")
    assert result.exit_code == 2
    assert "plain text" in result.stderr


def test_tables_set_numbers_right_and_show_nothing_that_moves_a_cursor() -> None:
    text = table(("name", "count"), [("a", 1), ("b\x1b[2J", 12_345)])
    assert text.splitlines() == ["name    count", "a           1", "b\N{REPLACEMENT CHARACTER}[2J  12,345"]
    assert plain("a\x00b") == "a\N{REPLACEMENT CHARACTER}b"
    assert [size(one) for one in (999, 1500, 2.5e9)] == ["999 B", "1.5 kB", "2.5 GB"]
    assert [span(one) for one in (1, 90, 7200, 172_800)] == ["1.0 s", "1.5 min", "2.0 h", "2.0 d"]
    assert moment(0) == "1970-01-01T00:00:00.000Z"
    assert moment(2**63 - 1) == str(2**63 - 1) or moment(2**63 - 1).startswith("2262")
    assert moment(None) == "-"
