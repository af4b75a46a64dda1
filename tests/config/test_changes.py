"""What a reload applies, what it says needs a restart, and that rules have one canonical form."""

from __future__ import annotations

from typing import Any

import pytest

from headland.config import NodeConfig
from headland.config.changes import LIVE, applied, canonical_rules, diff, rules_version
from headland.config.loading import build, file_digest


def node(**sections: Any) -> NodeConfig:
    return build({"node": {"name": "n"}, **sections})


SERIES = [{"name": "a", "match": "x/*"}, {"name": "b"}]


def test_equal_configurations_do_not_differ() -> None:
    assert diff(node(series=SERIES), node(series=SERIES)).empty


@pytest.mark.parametrize(
    ("sections", "live", "restart", "rules"),
    [
        ({"log": {"level": "debug"}}, ("log",), (), False),
        ({"series": SERIES}, ("series",), (), True),
        ({"rule": [{"name": "r", "when": {"kind": "silence"}}]}, ("rule",), (), True),
        ({"mapping": [{"topic": "a/#"}]}, ("mapping",), (), True),
        (
            {"http": {"port": 1, "token": [{"name": "t", "token": {"env": "T"}}]}},
            ("http.token",),
            ("http.port",),
            False,
        ),
        ({"listen": [{"anonymous": True}]}, (), ("listen",), False),
        ({"link": {"parent": {"host": "h", "name": "site/p"}}}, (), ("link.parent",), False),
        ({"journal": {"segment_bytes": 1 << 21}}, (), ("journal.segment_bytes",), False),
        (
            {"decide": {"budget_ms": 2.0, "real_time": False}},
            ("decide.budget_ms",),
            ("decide.real_time",),
            False,
        ),
    ],
)
def test_a_change_says_what_is_live_and_what_needs_a_restart(
    sections: dict[str, Any], live: tuple[str, ...], restart: tuple[str, ...], rules: bool
) -> None:
    change = diff(node(), node(**sections))
    assert (change.live, change.restart, change.rules) == (live, restart, rules)


def test_what_is_applied_is_new_where_it_is_live_and_old_elsewhere() -> None:
    old = node(journal={"segment_bytes": 1 << 21})
    new = node(series=SERIES, log={"level": "debug"}, http={"port": 1}, node={"name": "other"})
    result = applied(old, new)
    assert result.series == new.series
    assert result.log == new.log
    assert result.http == old.http
    assert result.identity == old.identity
    assert result.journal == old.journal
    left = diff(result, new)
    assert not left.live
    assert left.restart == diff(old, new).restart


def test_rules_written_otherwise_but_meaning_the_same_are_the_same_bytes() -> None:
    one = node(series=[{"name": "a", "labels": {"x": "1", "y": "2"}, "priority": "normal"}])
    other = node(series=[{"labels": {"y": "2", "x": "1"}, "name": "a"}], log={"level": "error"})
    assert canonical_rules(one) == canonical_rules(other)
    assert rules_version(one) == rules_version(other)
    assert rules_version(one) != rules_version(node(series=[{"name": "a"}]))


def test_a_files_digest_is_of_its_bytes() -> None:
    assert file_digest(b"a") != file_digest(b"a ")
    assert len(file_digest(b"")) == 32


def test_every_live_key_is_a_key() -> None:
    for path in LIVE:
        value: Any = node()
        for part in path.split("."):
            value = getattr(value, part)
