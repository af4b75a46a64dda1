"""Laws of configuration: what is in force, who may change it, and that a mistake changes nothing.

In the simulator where a crash matters, with real processes where files, signals and sockets do.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import ssl
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from tests.node.clients import WAIT_S, Paho
from tests.node.running import RunningNode, eventually, headland

from headland.config.loading import build, file_digest, load
from headland.drivers.keys import write_file
from headland.journal import JournalConfig
from headland.line.filtering import Filter, Keep
from headland.line.filtering.keep import KeepFilter
from headland.node import events as ev
from headland.node.http_api import Api
from headland.node.loop import Runner
from headland.node.reloading import laid_over, settings_of
from headland.node.settings import Base
from headland.node.status import Status
from headland.node.watching import CurrentUsers, Watching, users_of
from headland.simulation.device import Device, Habits
from headland.simulation.device_port import DevicePort
from headland.simulation.disk import SimulatedDisk
from headland.simulation.world import Host, World
from headland.trust.authority import Authority
from headland.trust.identity import Identity
from headland.vocabulary import Account, ConfigurationError, Priority, RowClass

SECOND = 10**9
SEGMENT = 1 << 16
FILE = """
[node]
name = "child"
[default]
name = "changes"
filter = { kind = "deadband", ratio = 0.0, floor = 0.5 }
"""
WIDER = b"""
[default]
name = "changes"
filter = { kind = "deadband", ratio = 0.0, floor = 40.0 }
"""


class Unwilling(Keep, frozen=True, tag="unwilling"):
    """A filter of another package that takes no series."""

    def build(self, rule: str, version: str, cls: RowClass) -> Filter:
        return UnwillingFilter(rule, version, cls)


class UnwillingFilter(KeepFilter):
    def admit(self, sid: int) -> None:
        raise ZeroDivisionError


def base_of(text: str, *, parent: bool = True) -> Base:
    """What a file says, with small segments."""
    tree = tomllib.loads(text)
    settings = msgspec.structs.replace(
        settings_of(build(tree)), journal=JournalConfig(segment_bytes=SEGMENT), has_parent=parent
    )
    return Base(settings=settings, digest=file_digest(text.encode()), tree=tree)


class Pair:
    """A root and its child in one simulated world; the child was made from a file."""

    def __init__(self, seed: int = 1, text: str = FILE) -> None:
        self.world = World(seed)
        root = base_of('[node]\nname = "root"\n', parent=False)
        self.root = Host(self.world, "root", root.settings, None, SimulatedDisk())
        self.root.base = root
        self.child = Host(self.world, "child", root.settings, "root", SimulatedDisk())
        self.write(text)
        self.root.start()
        self.child.start()
        self.run_s(2)

    def write(self, text: str) -> Base:
        """The child's file has another text; the process has not read it yet."""
        base = base_of(text)
        self.child.base, self.child.settings = base, base.settings
        return base

    def run_s(self, seconds: float) -> None:
        self.world.run(self.world.now_ns + int(seconds * SECOND))

    def status(self) -> Status:
        """The child's own words."""
        token = self.child.ask("status")
        return msgspec.json.decode(self.child.answers[token][1], type=Status)

    def floor(self) -> float:
        """The dead band in force at the child."""
        assert self.child.node is not None
        return self.child.node.parts.intake.line.rules.default.filter.floor  # type: ignore[union-attr]

    def push(self, body: bytes) -> int:
        """Want this at the child; the version that it was given."""
        token = self.root.ask("desire", child="site/child", body=body.decode())
        self.run_s(1)
        status, answer = self.root.answers[token]
        assert status == 200, answer
        return int(json.loads(answer)["version"])

    def said(self) -> tuple[int, str]:
        """Version and state that the root knows of the child."""
        token = self.root.ask("children")
        (child,) = json.loads(self.root.answers[token][1])["children"]
        (intent,) = child["intents"]
        return intent["reported"], intent["state"]

    def crash(self) -> None:
        self.child.crash()
        self.child.restart()
        self.run_s(4)


@pytest.mark.parametrize("seed", range(1, 6))
def test_what_came_down_as_an_intent_is_in_force_after_a_crash(seed: int) -> None:
    pair = Pair(seed)
    assert pair.floor() == 0.5
    assert pair.push(WIDER) == 1
    assert (pair.floor(), pair.said()) == (40.0, (1, "applied"))
    pair.crash()
    assert (pair.floor(), pair.said()) == (40.0, (1, "applied"))
    config = pair.status().config
    assert (config.intent_version, config.intent) == (1, "applied")
    assert config.rules_version == laid_over(base_of(FILE), WIDER).line.version


@pytest.mark.parametrize("seed", range(1, 6))
def test_an_intent_is_reported_as_applied_only_when_it_is_durable(seed: int) -> None:
    pair = Pair(seed)
    pair.child.sync_slow_ns = 3 * SECOND
    pair.push(WIDER)
    assert pair.said() == (0, "")
    pair.child.crash()
    pair.child.sync_slow_ns = 0
    pair.child.restart()
    pair.run_s(4)
    assert (pair.floor(), pair.said()) == (40.0, (1, "applied"))


def test_a_parent_that_crashes_after_its_answer_still_wants_it() -> None:
    pair = Pair()
    pair.child.crash()
    pair.push(WIDER)
    pair.root.crash()
    pair.root.restart()
    pair.child.restart()
    pair.run_s(5)
    assert (pair.floor(), pair.said()) == (40.0, (1, "applied"))


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'[default]\nname = "changes"\nfilter = { kind = "deadband", ratio = -1.0 }', "ratio"),
        (b'[default]\nname = "changes"\nfilter = { kind = "deadbind" }', "filter"),
        (b'[node]\nname = "other"', "not by an intent"),
        (b'[[user]]\nname = "me"', "not by an intent"),
        (b'[http]\naddress = "0.0.0.0"', "not by an intent"),
        (b"[decide]\nreal_time = false", "not by an intent"),
        (b"[flavour]\nsweet = true", "flavour"),
        ((b'[[rule]]\nname = "r"\nwhen = { kind = "threshold", above = 1.0 }\n'
         b'act = [{ kind = "command", target = "/bin/sh" }]'), "program"),
        (b'[[rule]]\nname = "r"\nwhen = { kind = "cel", expression = "value >" }', "rule"),
        (b'[[series]]\nname = "changes"', "changes"),
        (b'[[mapping]]\ntopic = "a"\ninterval_s = 1e300', "too large"),
        (b'[[mapping]]\ntopic = "a"\ninterval_s = inf', "no number"),
        (b'[[series]]\nname = "s"\nfilter = { kind = "summary", window_s = 1e300 }', "too large"),
        (b"[decide]\nbudget_ms = inf", "no number"),
        (b"[classes.high]\nbackoff_factor = 1e200", "too large"),
        ((b'[[series]]\nname = "s"\n'
          b'filter = { kind = "plugin", use = "tests.node.test_reload:Unwilling" }'), "ZeroDivisionError"),
        ((b'[[rule]]\nname = "r"\nwhen = { kind = "threshold", above = 1.0 }\n'
          b'act = [{ kind = "http", target = "http://x/", authorization = { file = "node.key" } }]'),
         "secret"),
    ],
)  # fmt: skip
def test_a_wrong_intent_is_refused_with_its_reason_and_changes_nothing(body: bytes, word: str) -> None:
    pair = Pair()
    assert pair.push(WIDER) == 1
    assert pair.child.node is not None
    before = pair.child.node.settings
    assert pair.push(body) == 2
    assert pair.said() == (2, "refused")
    config = pair.status().config
    assert word in config.intent_detail
    assert (pair.floor(), config.intent_version) == (40.0, 1)
    assert pair.child.node.settings is before
    pair.crash()
    assert pair.floor() == 40.0


def test_a_file_that_has_changed_since_ends_the_intent() -> None:
    pair = Pair()
    pair.push(WIDER)
    pair.write(FILE.replace("0.5", "2.0"))
    pair.crash()
    assert (pair.floor(), pair.said()) == (2.0, (1, "superseded"))
    pair.crash()
    assert (pair.floor(), pair.said()) == (2.0, (1, "superseded"))
    assert pair.push(WIDER) == 2
    assert (pair.floor(), pair.said()) == (40.0, (2, "applied"))


def test_a_file_that_was_read_again_unchanged_leaves_the_intent() -> None:
    pair = Pair()
    pair.push(WIDER)
    pair.child.feed(ev.Reconfigure(base_of(FILE)))
    assert pair.floor() == 40.0
    pair.child.feed(ev.Reconfigure(pair.write(FILE.replace("0.5", "2.0"))))
    pair.run_s(1)
    assert (pair.floor(), pair.said()) == (2.0, (1, "superseded"))


def test_an_empty_intent_goes_back_to_the_childs_own_file() -> None:
    pair = Pair()
    pair.push(WIDER)
    assert pair.push(b"") == 2
    assert (pair.floor(), pair.said()) == (0.5, (2, "applied"))
    pair.crash()
    assert (pair.floor(), pair.said()) == (0.5, (2, "applied"))


def test_the_newest_intent_counts_whatever_the_parent_has_forgotten() -> None:
    pair = Pair()
    pair.push(WIDER)
    pair.root.crash()
    pair.root.disk = SimulatedDisk()
    pair.root.restart()
    pair.run_s(5)
    assert pair.push(WIDER.replace(b"40.0", b"50.0")) == 2
    assert pair.floor() == 50.0


@pytest.mark.parametrize("seed", range(1, 9))
def test_the_log_is_replayed_under_the_rules_that_it_was_written_under(seed: int) -> None:
    """A file changed while the node was down is an ordinary change after the recovery, not before it."""
    text = FILE.replace(
        'kind = "deadband", ratio = 0.0, floor = 0.5',
        'kind = "summary", window_s = 5.0, lateness_s = 1.0, hold_s = 5.0',
    )
    pair = Pair(seed, text)
    port = DevicePort(pair.world, pair.child)
    device = Device("d", port, Habits(series=2, interval_ns=SECOND // 50, window=20), 400)
    device.start()
    pair.run_s(3)
    pair.child.crash()
    pair.write(FILE)
    pair.child.restart()
    pair.run_s(30)
    node = pair.child.node
    assert node is not None
    assert device.done
    assert pair.floor() == 0.5
    total = node.parts.ledger.total
    assert node.healthy
    assert not node.parts.ledger.check()
    assert total(Account.HELD) == (0, 0), "windows of the old rules end with the change"
    assert total(Account.FOLDED)[0] > 0
    assert total(Account.OFFERED)[0] >= 400


BODIES = (
    WIDER,
    b"",
    b'[default]\nname = "sums"\nfilter = { kind = "summary", window_s = 2.0, lateness_s = 1.0 }',
    b'[[series]]\nname = "zero"\nmatch = "*/s0"\npriority = "high"\nfilter = { kind = "keep" }',
    b'[[rule]]\nname = "hot"\nwhen = { kind = "threshold", above = 0.0, hysteresis = 0.1 }',
    b'[classes.normal]\nsync = "every"\nsync_every_s = 0.5',
    b'[default]\nname = "changes"\nfilter = { kind = "deadband", ratio = -1.0 }',
)


@pytest.mark.parametrize("seed", range(1, 13))
def test_whatever_is_changed_between_crashes_the_books_balance_and_a_restart_is_alike(seed: int) -> None:
    pair = Pair(seed)
    rng = random.Random(seed)
    habits = Habits(series=3, interval_ns=SECOND // 100, window=20)
    device = Device("d", DevicePort(pair.world, pair.child), habits, 1500)
    device.start()
    floors = 0
    for _ in range(12):
        pair.run_s(rng.uniform(0.01, 1.5))
        match rng.randrange(5):
            case 0 | 1 if pair.child.up:
                pair.root.ask("desire", child="site/child", body=rng.choice(BODIES).decode())
            case 2 if pair.child.up:
                floors += 1
                pair.child.feed(ev.Reconfigure(pair.write(FILE.replace("0.5", f"0.{floors + 5}"))))
            case 3:
                pair.child.crash()
                pair.child.restart()
            case _:
                pair.root.crash()
                pair.root.restart()
    pair.run_s(40)
    assert device.done
    before = pair.status().config
    for host in (pair.root, pair.child):
        assert host.node is not None
        assert host.node.healthy
        assert not host.node.parts.ledger.check()
    assert pair.child.node is not None
    rules, settings = pair.child.node.parts.intake.line.rules, pair.child.node.settings
    assert pair.child.node.parts.ledger.total(Account.PENDING) == (0, 0)
    pair.crash()
    assert pair.child.node.parts.intake.line.rules == rules
    assert pair.child.node.settings == settings
    after = pair.status().config
    assert (after.digest, after.rules_version, after.intent_version) == (
        before.digest,
        before.rules_version,
        before.intent_version,
    )


def test_a_changed_class_counts_for_what_is_open_already() -> None:
    text = FILE + '[classes.normal]\nsync = "on_demand"\n'
    pair = Pair(1, text)
    port = DevicePort(pair.world, pair.child)
    device = Device("d", port, Habits(series=1, interval_ns=SECOND // 50, window=20), 50)
    device.start()
    pair.run_s(5)
    node = pair.child.node
    assert node is not None
    waiting = len(node.parts.sealing.open[Priority.NORMAL])
    assert waiting > 0
    assert node.parts.ledger.total(Account.COMMITTED, int(Priority.NORMAL))[0] == 0
    pair.child.feed(ev.Reconfigure(pair.write(FILE)))
    pair.run_s(3)
    assert len(node.parts.sealing.open[Priority.NORMAL]) == 0
    assert node.parts.ledger.total(Account.PENDING)[0] == 0
    assert node.parts.ledger.total(Account.COMMITTED, int(Priority.NORMAL))[0] >= waiting


@pytest.mark.parametrize(
    "body",
    [b"a = " + b"[" * 5000, b"[default]\nx = " + b"{ a = " * 3000, b"#" * 200_000, b"\xff\xfe", b"[default"],
)
def test_an_intent_that_is_no_configuration_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"^intent"):
        laid_over(base_of(FILE), body)


def test_a_node_without_a_file_takes_no_intent() -> None:
    with pytest.raises(ConfigurationError, match="no file"):
        laid_over(Base(settings=base_of(FILE).settings), WIDER)


# ── real processes ──────────────────────────────────────────────────────────────────────────────────────────


def config_of(node: RunningNode) -> dict[str, object]:
    """What a running node says of its configuration."""
    found: dict[str, object] = node.ask("/v1/status")["config"]
    return found


def change(node: RunningNode, old: str, new: str) -> None:
    text = node.file.read_text()
    assert old in text
    beside = node.file.with_suffix(".new")
    beside.write_text(text.replace(old, new))
    beside.replace(node.file)  # whole at every moment: half a file would be refused for another reason


PLAIN = '[default]\nname = "changes"\nfilter = { kind = "deadband", ratio = 0.0, floor = 0.5 }\n'


def test_a_changed_file_is_noticed_and_a_wrong_one_stops_nothing(tmp_path: Path) -> None:
    with RunningNode(tmp_path / "n", PLAIN) as node:
        before = config_of(node)
        change(node, "floor = 0.5", "floor = 4.0")
        eventually(lambda: config_of(node)["rules_version"] != before["rules_version"])
        good = config_of(node)
        change(node, "floor = 4.0", "flour = 4.0")
        eventually(lambda: "flour" in str(config_of(node)["refused"]))
        refused = str(config_of(node)["refused"])
        assert "default.filter.flour" in refused
        assert "floor" in refused
        assert config_of(node)["rules_version"] == good["rules_version"]
        assert node.ask("/v1/status")["healthy"]
        change(node, "flour = 4.0", "floor = 0.5")
        node.reload()
        eventually(lambda: not config_of(node)["refused"])
        assert config_of(node)["rules_version"] == before["rules_version"]
        versions = [before["rules_version"], good["rules_version"], before["rules_version"]]
        eventually(lambda: [told["version"] for told in node.values("headland/rules")] == versions)


class Held:
    """Of a runner what `Watching` uses; readings of the files wait until they are let go."""

    def __init__(self) -> None:
        self.queries = self
        self.readings: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []
        self.fed: list[object] = []

    def call(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.readings.append((work, done))

    def feed(self, event: object) -> None:
        self.fed.append(event)


def test_a_reload_that_is_asked_for_during_another_is_done_after_it(tmp_path: Path) -> None:
    """Kills: a signal forgotten because older bytes are just being read."""
    assert headland("init", str(tmp_path / "n")).returncode == 0
    loaded = load(tmp_path / "n" / "node.toml", {})
    runner = Held()
    watching = Watching(
        loaded, cast(Runner, runner), CurrentUsers(users_of(loaded, loaded.config)),
        cast(Api, None), [], lambda *_: None, lambda _: None,
    )  # fmt: skip
    watching.reload()
    watching.reload()
    watching.reload()
    assert len(runner.readings) == 1
    runner.readings[0][1](OSError("read half way"))
    assert len(runner.readings) == 2
    runner.readings[1][1](OSError("read half way"))
    assert len(runner.readings) == 2
    assert [type(event) for event in runner.fed] == [ev.FileRefused, ev.FileRefused]


def test_a_reload_says_what_needs_a_restart_and_lets_others_in(tmp_path: Path) -> None:
    token = "a-token-of-sixteen-and-more"
    with RunningNode(tmp_path / "n", PLAIN) as node:
        write_file(node.directory / "token", token.encode())
        with node.file.open("a") as file:
            file.write(
                '\n[mqtt]\nkeep_alive_max_s = 77\n[[http.token]]\nname = "ops"\ntoken = { file = "token" }\n'
            )
        node.reload()
        eventually(lambda: config_of(node)["restart"])
        assert config_of(node)["restart"] == ["mqtt.keep_alive_max_s"]
        assert any("http.token" in line.get("live", "") for line in node.events("reload"))


def test_new_connections_are_shown_the_renewed_certificate(tmp_path: Path) -> None:
    with RunningNode(tmp_path / "n", PLAIN + '\n[[listen]]\nname = "tls"\nport = 0\ntransport = "tls"\n'
                     "anonymous = true\n") as node:  # fmt: skip
        address = ("127.0.0.1", node.ports["mqtt:tls"])
        before = ssl.get_server_certificate(address)
        authority = Authority.load(node.directory / "ca")
        issued = authority.issue(Identity("site", "n"), dt.datetime.now(dt.UTC), hosts=("127.0.0.1",))
        write_file(node.directory / "certificates" / "node.key", issued.key_pem)
        write_file(node.directory / "certificates" / "node.pem", issued.certificate_pem)
        eventually(lambda: ssl.get_server_certificate(address) != before)
        write_file(node.directory / "certificates" / "node.pem", b"nonsense")
        eventually(lambda: any(one["state"] == "refused" for one in node.events("certificates")))
        assert ssl.get_server_certificate(address) != before


def test_a_dead_band_is_changed_from_above_and_a_wrong_intent_changes_nothing(tmp_path: Path) -> None:
    with RunningNode(tmp_path / "root", PLAIN) as root:
        child = RunningNode(
            tmp_path / "child",
            PLAIN,
            tier="local",
            arguments=(
                "--ca", str(root.directory / "ca"),
                "--parent", f"127.0.0.1:{root.ports['link']}",
                "--parent-name", "root",
            ),
        )  # fmt: skip
        with child:
            url = f"http://127.0.0.1:{root.ports['http']}"
            eventually(lambda: child.ask("/v1/status")["link"] == "up")
            before = config_of(child)
            (tmp_path / "wider.toml").write_bytes(WIDER)
            done = headland("intent", "push", url, "site/child", str(tmp_path / "wider.toml"), "--json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["state"] == "applied"
            wider = config_of(child)
            assert wider["rules_version"] != before["rules_version"]
            (tmp_path / "wrong.toml").write_bytes(WIDER.replace(b"floor = 40.0", b"flour = 40.0"))
            done = headland("intent", "push", url, "site/child", str(tmp_path / "wrong.toml"))
            assert done.returncode == 1
            assert "default.filter.flour" in done.stdout
            assert "floor" in done.stdout
            assert config_of(child)["rules_version"] == wider["rules_version"]
            child.kill()
            child.start()
            assert config_of(child)["rules_version"] == wider["rules_version"]
            eventually(lambda: child.ask("/v1/status")["link"] == "up")
            listed = headland("intent", "list", url)
            assert listed.returncode == 0
            assert "site/child" in listed.stdout
            change(child, "floor = 0.5", "floor = 0.25")
            eventually(lambda: config_of(child)["intent"] == "superseded")
            assert config_of(child)["rules_version"] not in (wider["rules_version"], before["rules_version"])


def test_a_user_who_is_taken_away_loses_its_connection_and_the_others_keep_theirs(
    tmp_path: Path,
) -> None:
    """Kills: who is not in the list of users may everything."""
    users = "".join(
        f'\n[[user]]\nname = "{name}"\npassword = {{ file = "password" }}\npublish = ["{name}/#"]\n'
        for name in ("dev1", "dev2")
    )
    made = RunningNode(tmp_path / "n", '\n[[listen]]\nname = "known"\nport = 0\n' + users)
    write_file(made.directory / "password", b"a long enough password")
    with made as node:
        port = node.ports["mqtt:known"]
        with (
            Paho(port, "one", user=("dev1", "a long enough password"), lasting=True) as one,
            Paho(port, "two", user=("dev2", "a long enough password")) as two,
        ):
            text = node.file.read_text()
            start = text.index('\n[[user]]\nname = "dev1"')
            node.file.write_text(text[:start] + text[text.index('\n[[user]]\nname = "dev2"') :])
            node.reload()
            assert "authorized" in str(one.ended.get(timeout=WAIT_S)).lower()
            assert two.ended.empty()
            assert two.mqtt.is_connected()
