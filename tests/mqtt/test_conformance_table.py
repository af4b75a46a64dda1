"""The table of normative statements finds what tests say of themselves (`tools/mqtt_conformance.py`)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "mqtt_conformance.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mqtt_conformance", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mqtt_conformance"] = module
    spec.loader.exec_module(module)
    return module


def order(number: str) -> list[int]:
    return [int(part) for part in number.replace("-", ".").split(".")]


def test_a_statement_is_listed_once(tool: ModuleType) -> None:
    for found in tool.statements().values():
        numbers = [one.number for one in found]
        assert len(set(numbers)) == len(numbers)
        assert numbers == sorted(numbers, key=order)


def test_lists_of_both_versions_are_told_apart(tool: ModuleType) -> None:
    text = "MQTT-3.3.1-5, -6,\n    MQTT-4.7.1-1: so; MQTT-3.3.1-7, -8 of 3.1.1. MQTT-6.0.0-1 of 3.1.1: x"
    assert list(tool.named(text)) == [
        ("5.0", "3.3.1-5"),
        ("5.0", "3.3.1-6"),
        ("5.0", "4.7.1-1"),
        ("3.1.1", "3.3.1-7"),
        ("3.1.1", "3.3.1-8"),
        ("3.1.1", "6.0.0-1"),
    ]


def test_every_statement_that_concerns_a_server_has_a_test(tool: ModuleType) -> None:
    assert "no test yet**" not in tool.document()
