"""The reference, the schema and the example say what the structs say, all of it."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import msgspec
import pytest

from headland.config import reference, shape
from headland.config.loading import build, parse
from headland.config.mistakes import UNITS
from headland.config.node import NodeConfig
from headland.config.starting_file import Start, starting_file
from headland.config.tiers import DEFAULTS, TABLE
from headland.line.deciding import Reference
from headland.sources.registry import built_in
from headland.vocabulary import Tier

KINDS = {one.kind: (one.summary, one.config) for one in built_in()}
STRUCTS = {kind: struct for kind, (_, struct) in KINDS.items()}
EXAMPLE = reference.example(KINDS)


def uncommented(text: str) -> str:
    """The file with every commented key in force; prose is what has no " = " after one word."""
    lines = []
    for line in text.splitlines():
        inner = line[2:]
        is_key = line.startswith("# ") and (
            inner.startswith("[") or inner.split(" = ")[0].replace("_", "").isalnum()
        )
        lines.append(inner if is_key and (inner.startswith("[") or " = " in inner) else line)
    return "\n".join(lines)


def paths(tree: Any, prefix: str = "") -> set[str]:
    """Paths of every key in a tree, lists without numbers."""
    if isinstance(tree, list):
        return set().union(*(paths(one, prefix) for one in tree)) if tree else set()
    if not isinstance(tree, dict):
        return set()
    found: set[str] = set()
    for name, inner in tree.items():
        path = f"{prefix}.{name}" if prefix else name
        found |= {path} | paths(inner, path)
    return found


def test_every_key_is_described() -> None:
    assert reference.undescribed(KINDS) == []


def test_the_example_parses_as_it_stands_and_with_every_key_in_force() -> None:
    parse(EXAMPLE.encode(), "example", {}, STRUCTS)
    full = uncommented(EXAMPLE)
    config, _ = parse(full.encode(), "example", {}, STRUCTS)
    assert config.listen
    assert config.rule
    assert len(config.source) == len(KINDS)


def test_every_key_of_every_struct_stands_in_the_example() -> None:
    shown = paths(tomllib.loads(uncommented(EXAMPLE)))

    def wanted(struct: type[msgspec.Struct], prefix: str) -> None:
        for key in shape.keys_of(struct):
            path = f"{prefix}.{key.name}" if prefix else key.name
            assert path in shown, path
            inner = shape.structs_in(key.type)
            if inner and not issubclass(inner[0], Reference) and shape.tag_of(inner[0]) is None:
                wanted(inner[0], path)

    wanted(NodeConfig, "")
    for struct in STRUCTS.values():
        wanted(struct, "source")


def test_every_key_of_every_struct_stands_in_the_reference_with_its_description() -> None:
    text = reference.reference(KINDS)
    structs = [NodeConfig, *STRUCTS.values()]
    while structs:
        struct = structs.pop()
        for key in shape.keys_of(struct):
            if struct is not NodeConfig:
                assert f"| `{key.name}` |" in text
            assert key.description.replace("|", "\\|").replace("\n", " ") in text
            structs += [one for one in shape.structs_in(key.type) if not issubclass(one, Reference)]
    assert all(f"`{key}`" in text for key in TABLE)


def test_every_struct_of_the_file_refuses_unknown_keys_and_cannot_be_changed() -> None:
    structs = [NodeConfig, *STRUCTS.values()]
    while structs:
        struct = structs.pop()
        assert struct.__struct_config__.forbid_unknown_fields, struct
        assert struct.__struct_config__.frozen, struct
        for key in shape.keys_of(struct):
            structs += shape.structs_in(key.type)


def test_times_and_sizes_carry_their_unit_in_the_name() -> None:
    tails = tuple(UNITS)
    for struct in (NodeConfig, *STRUCTS.values()):
        stack = [struct]
        while stack:
            for key in shape.keys_of(stack.pop()):
                stack += shape.structs_in(key.type)
                words = key.description.lower()
                if any(f"{unit}s" in words.split() or f", {unit}s." in words for unit in ("second", "byte")):
                    in_words = shape.in_words(key.type)
                    if in_words in ("integer", "number"):
                        assert any(tail in key.name for tail in tails), (key.name, key.description)


def test_the_schema_describes_and_closes_every_table() -> None:
    schema = json.loads(reference.schema(KINDS))
    assert schema["$schema"].startswith("https://json-schema.org/")
    for name, table in schema["$defs"].items():
        if "properties" in table and name not in {struct.__name__ for struct in STRUCTS.values()}:
            assert table["additionalProperties"] is False, name
            for key, inner in table["properties"].items():
                described = "description" in inner or "const" in inner or "enum" in inner
                assert described, f"{name}.{key}"


@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize("parent", ["", "cloud.example.com"])
def test_the_starting_file_parses_as_it_stands_and_with_every_key_in_force(tier: Tier, parent: str) -> None:
    text = starting_file(
        Start(name="n1", tier=tier, parent_host=parent, parent_name="site/cloud" if parent else "")
    )
    config, _ = parse(text.encode(), "node.toml", {}, STRUCTS)
    assert config.node.tier is tier
    assert (config.link.parent is not None) == bool(parent)
    assert (config.link.listen is None) == (tier is Tier.DEVICE)
    full, _ = parse(uncommented(text).encode(), "node.toml", {}, STRUCTS)
    assert full.user
    assert full.mapping
    kinds = [type(rule.filter).__name__ for rule in full.series]
    assert kinds == ["DeadBand", "Severity", "Summary", "Vibration"]
    assert full.classes.normal.sync == "every"
    assert full.link.parent is not None


@pytest.mark.parametrize("tier", list(Tier))
def test_a_tier_is_a_row_of_defaults_that_the_file_overrides(tier: Tier) -> None:
    bare = build({"node": {"name": "n", "tier": tier.value}})
    for path, value in DEFAULTS[tier].items():
        section, key = path.split(".")
        assert getattr(getattr(bare, section), key) == value
        told = build(
            {"node": {"name": "n", "tier": tier.value}, section: {key: 1 << 20 if value > 1 << 20 else 7}}
        )
        assert getattr(getattr(told, section), key) != value or value == 7


def test_toml_values_are_read_back_as_they_were() -> None:
    for value in (True, 5, 0.5, 1e9, 1e-9, 'a"b\\c\nd', ["x", "y"], {"a": 1, "b": "c"}, {}):
        assert tomllib.loads(f"x = {reference.toml(value)}")["x"] == value
