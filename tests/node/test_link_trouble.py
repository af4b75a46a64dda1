"""Laws of a parent that is not reached, and of a certificate that ends: said once, with the reason."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import msgspec
from tests.node.chain import Chain
from tests.node.running import RunningNode, eventually, headland

from headland.drivers.keys import write_file
from headland.link.uplink import Phase
from headland.node import events as ev
from headland.node.certificate import DAY_S, LOOK_NS
from headland.node.core import Node
from headland.node.link_trouble import AGAIN_NS, PATIENCE, Trouble
from headland.trust.authority import Authority
from headland.trust.identity import Identity
from headland.vocabulary import Instant

NOW = 1_700_000_000
REFUSED = "the parent closed before its welcome: certificate refused: tlsv1 alert certificate expired"


def core() -> Node:
    node = Chain(1, devices=0).cloud.node
    assert node is not None
    return node


def at(days: float) -> Instant:
    return Instant(10**12 + int(days * DAY_S * 1e9), NOW * 10**9 + int(days * DAY_S * 1e9), True)


def alarms(node: Node, kind: str) -> list[str]:
    return [detail for _, one, detail in node.alarms if one == kind]


def live(node: Node, first_day: float, last_day: float) -> None:
    """Let every look come that is due."""
    day = first_day
    while day <= last_day:
        node.handle(ev.Tick(), at(day))
        day += LOOK_NS / 1e9 / DAY_S


def test_a_certificate_is_an_alarm_each_day_of_its_last_thirty_and_when_it_has_ended() -> None:
    node = core()
    node.handle(ev.Certified(NOW - 300 * DAY_S, NOW + 32 * DAY_S), at(0))
    live(node, 0, 1.9)
    assert alarms(node, "certificate") == []
    live(node, 1.9, 6.9)
    assert len(alarms(node, "certificate")) == 5
    live(node, 6.9, 32.1)
    assert "expired 0.0 days ago" in alarms(node, "certificate")[-1], "at once, not a day later"
    assert node.certificate.seconds_left(at(33)) == -DAY_S


def test_a_short_life_is_not_warned_of_from_its_first_moment_and_another_certificate_ends_the_alarm() -> None:
    node = core()
    node.handle(ev.Certified(NOW, NOW + 3 * DAY_S), at(0))
    live(node, 0, 1.9)
    assert alarms(node, "certificate") == []
    live(node, 1.9, 2.2)
    assert len(alarms(node, "certificate")) == 1
    node.handle(ev.Certified(NOW, NOW + 300 * DAY_S), at(2.2))
    live(node, 2.2, 100)
    assert len(alarms(node, "certificate")) == 1


def test_one_reason_is_told_once_and_again_only_after_a_while() -> None:
    node, trouble = core(), Trouble()
    said = []
    for second in range(700):
        node.handle(ev.Tick(), at(second / DAY_S))
        before = len(node._out)
        trouble.failed(node, "connection refused", at(second / DAY_S))
        said += [one for one in node._out[before:] if isinstance(one, ev.Say)]
    assert len(said) == 2
    assert said[1].fields["dials"] == AGAIN_NS // 10**9 + 1
    assert trouble.reason == "connection refused"
    assert alarms(node, "parent_unreached") == []


def test_a_refused_certificate_is_one_alarm_and_silence_is_one_after_some_patience() -> None:
    node, trouble = core(), Trouble()
    for _ in range(10):
        trouble.failed(node, "certificate refused: self-signed certificate", at(0))
    assert len(alarms(node, "parent_unreached")) == 1
    node, trouble = core(), Trouble()
    for number in range(10):
        trouble.ended = "peer closed"
        for phase in (Phase.WAITING, Phase.DIALLING, Phase.GREETING, Phase.WAITING):
            trouble.watch(node, phase, at(0))
        assert len(alarms(node, "parent_unreached")) == (number + 1 >= PATIENCE)


def test_a_child_whose_certificate_has_expired_says_so_in_log_and_status_and_to_check(
    tmp_path: Path,
) -> None:
    """Kills: link waiting, healthy, and nothing more, for ever."""
    with RunningNode(tmp_path / "root") as root:
        child = RunningNode(
            tmp_path / "child",
            tier="local",
            arguments=(
                "--ca", str(root.directory / "ca"),
                "--parent", f"127.0.0.1:{root.ports['link']}", "--parent-name", "root",
            ),
        )  # fmt: skip
        authority = Authority.load(root.directory / "ca")
        long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=400)
        issued = authority.issue(Identity("site", "child"), long_ago, hosts=("127.0.0.1",))
        write_file(child.directory / "certificates" / "node.key", issued.key_pem)
        write_file(child.directory / "certificates" / "node.pem", issued.certificate_pem)
        with child:
            eventually(lambda: "certificate expired" in str(child.ask("/v1/status")["link_trouble"]))
            status = child.ask("/v1/status")
            assert status["certificate_s_left"] < 0
            kinds = {kind for _, kind, _ in status["alarms"]}
            assert {"certificate", "parent_unreached"} <= kinds
            shown = headland("status", f"http://127.0.0.1:{child.ports['http']}")
            assert "expired" in shown.stdout
        checked = json.loads(headland("check", str(child.file), "--json").stdout)
        assert "expired" in msgspec.json.encode(checked).decode()


def test_check_hears_what_a_parent_says_of_our_certificate_after_the_handshake(tmp_path: Path) -> None:
    strange = Authority.create(dt.datetime.now(dt.UTC))
    with RunningNode(tmp_path / "root") as root:
        child = RunningNode(
            tmp_path / "child",
            tier="local",
            arguments=(
                "--ca", str(root.directory / "ca"),
                "--parent", f"127.0.0.1:{root.ports['link']}", "--parent-name", "root",
            ),
        )  # fmt: skip
        issued = strange.issue(Identity("site", "child"), dt.datetime.now(dt.UTC), hosts=("127.0.0.1",))
        good = headland("check", str(child.file), "--json")
        write_file(child.directory / "certificates" / "node.key", issued.key_pem)
        write_file(child.directory / "certificates" / "node.pem", issued.certificate_pem)
        bad = headland("check", str(child.file), "--json")
    (parent,) = [one for one in json.loads(good.stdout)["findings"] if one["about"] == "parent"]
    assert parent["outcome"] == "ok"
    (parent,) = [one for one in json.loads(bad.stdout)["findings"] if one["about"] == "parent"]
    assert parent["outcome"] == "broken"
    assert "it refuses this node" in parent["text"]
