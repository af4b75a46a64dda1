"""The comparison's own arithmetic; the servers themselves run in `./dev bench peers` only."""

from __future__ import annotations

from typing import Any

from benches.peers import page, trials
from benches.peers.mosquitto import number_of


def test_what_comes_behind_a_later_reading_of_its_topic_is_disordered_once() -> None:
    assert trials.disordered([("a", 1), ("b", 1), ("a", 2), ("b", 2)]) == 0
    assert trials.disordered([("a", 1), ("a", 3), ("a", 2), ("a", 2), ("b", 1)]) == 1
    assert trials.disordered([("a", 3), ("a", 1), ("a", 2)]) == 2


def test_what_comes_twice_is_not_disordered_by_that() -> None:
    assert trials.disordered([("a", 1), ("a", 2), ("a", 1), ("a", 3)]) == 0


def test_only_payloads_of_the_trial_of_losses_have_a_number() -> None:
    assert number_of(b'{"t":1700000000000,"v":17}') == 17
    assert number_of(b'{"t":1700000000000,"s":3,"v":20.21}') is None
    assert number_of(b"") is None


def test_what_was_not_measured_is_a_dash_and_said_never_a_nought() -> None:
    system: dict[str, Any] = {
        "key": "x",
        "name": "system x",
        "how": "as it comes",
        "durable": False,
        "figures": {"losing.acked": 10.0, "losing.lost": 0.0},
        "repeats": {"losing.acked": [10.0], "losing.lost": [0.0]},
        "trouble": ["carrying: not installed"],
    }
    text = page.written({"systems": [system], "machine": {"cores": 2}})
    assert "| system x | no | 10 | 0 | - |" in text
    assert "*Not measured*: carrying: not installed." in text
    assert "| system x | no | - | - | - | - |" in text
