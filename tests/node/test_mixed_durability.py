"""One publish is one acknowledgement: it may not mean "stored" of one reading and "received" of another."""

from __future__ import annotations

from headland.journal import Draft
from headland.line.filtering.keep import Keep
from headland.line.formats import Mapping, RejectReason
from headland.line.ingest import Senders
from headland.line.line import Line
from headland.line.rules import LineRules, SeriesRule
from headland.node import events as ev
from headland.node.intake import Intake
from headland.node.quarantine import Quarantine
from headland.node.settings import NodeSettings
from headland.node.status import Volatile, status_of
from headland.simulation.disk import SimulatedDisk
from headland.simulation.world import Host, World
from headland.vocabulary import Account, Instant, RowClass, SeriesKey, SeriesTable

NOW = Instant(1_000_000_000, 1_767_225_600_000_000_000)
RULES = LineRules(
    series=(SeriesRule(name="fast", match="*/vibration", filter=Keep(), durability="volatile"),),
    default=SeriesRule(name="all", filter=Keep()),
)


def intake(rules: LineRules = RULES) -> Intake:
    table = SeriesTable()
    return Intake(table, Mapping((), table), Line(rules, table), Quarantine())


def publish(into: Intake, *payloads: bytes) -> tuple[Draft, list[tuple[int, str]]]:
    draft = Draft(1)
    sender, marks = Senders(["c"], [len(payloads)]), [False] * len(payloads)
    taken = into.messages(sender, ["m"] * len(payloads), payloads, NOW, draft, repeats=marks)
    assert taken.needs_n == 1
    return draft, [(one.index, one.reason) for one in taken.rejected]


def test_a_publish_that_mixes_volatile_and_durable_series_is_quarantined_whole() -> None:
    """Kills: an acknowledgement that promises more than one of its readings has."""
    into = intake()
    mixed = b'{"vibration": 1.0, "temperature": 2.0}'
    draft, rejected = publish(into, b'{"temperature": 1.0}', mixed, b'{"vibration": 3.0}', b"\xff\xfe")
    assert (1, RejectReason.MIXED_DURABILITY) in rejected
    assert (RejectReason.MIXED_DURABILITY, mixed) in [
        (one.reason, one.payload) for one in into.quarantine.entries()
    ]
    assert sorted(draft.rows(RowClass.NORMAL).value) == [1.0, 3.0]  # type: ignore[type-var]
    booked = dict.fromkeys(Account, 0)
    for (account, _, cls, _), (readings, _) in draft.ledger.items():
        if cls != RowClass.QUARANTINE:
            booked[Account(account)] += readings
    assert booked[Account.OFFERED] == booked[Account.KEPT] == 2


def test_each_kind_alone_is_taken_and_rules_without_volatile_series_mix_as_they_like() -> None:
    draft, rejected = publish(intake(), b'{"vibration": 1.0}', b'{"temperature": 2.0, "pressure": 3.0}')
    assert rejected == []
    assert draft.rows(RowClass.NORMAL).value == [1.0, 2.0, 3.0]
    plain = intake(LineRules(default=SeriesRule(name="all", filter=Keep())))
    _, rejected = publish(plain, b'{"vibration": 1.0, "temperature": 2.0}')
    assert rejected == []


def test_a_push_over_http_that_mixes_them_is_answered_422_and_its_key_may_be_used_again() -> None:
    """Through a whole node in the simulated world."""
    world = World(1)
    settings = NodeSettings(name="n", has_parent=False, line=RULES)
    host = Host(world, "n", settings, None, SimulatedDisk())
    host.start()
    mixed = b'[{"series":"m/vibration","value":1},{"series":"m/temperature","value":2}]'
    apart = b'[{"series":"m/temperature","value":2}]'
    key = {"idempotency-key": "k"}
    for token, body in ((1, mixed), (2, apart)):
        host.feed(ev.Pushed(token, "p", "POST", "/v1/readings", key, body))
        world.run(token * 1_000_000_000)
    status, problem = host.answers[1]
    assert (status, b"mixed_durability" in problem) == (422, True)
    assert host.answers[2][0] in (200, 201, 202, 204)
    assert host.node is not None
    assert host.node.parts.ledger.total(Account.OFFERED)[0] == 1


def test_the_status_says_which_series_are_volatile() -> None:
    """Kills: a volatile series that looks like any other; all called volatile for the sake of one."""
    host = Host(
        World(1), "s/n", NodeSettings(name="s/n", has_parent=False, line=RULES), None, SimulatedDisk()
    )
    host.start()
    assert host.node is not None
    assert status_of(host.node, NOW).volatile == Volatile(["fast"], 0, [])
    table = host.node.parts.names.table
    for name in ("press/vibration", "press/temperature"):
        table.intern(SeriesKey(name))
    host.node.parts.intake.line.mixes([])
    assert status_of(host.node, NOW).volatile == Volatile(["fast"], 1, ["press/vibration"])
