"""Whatever a file holds, the answer is a configuration or one error for its author."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from headland.config import NodeConfig, parse, shape
from headland.config.loading import build
from headland.sources.registry import built_in
from headland.vocabulary import ConfigurationError

KINDS = {one.kind: one.config for one in built_in()}
STRUCTS: list[type[msgspec.Struct]] = [NodeConfig, *KINDS.values()]
for _struct in STRUCTS:
    STRUCTS += [
        one for key in shape.keys_of(_struct) for one in shape.structs_in(key.type) if one not in STRUCTS
    ]

WORDS = [
    "x",
    "",
    "{",
    "#",
    "real_time",
    "deadband",
    "threshold",
    "host",
    "critical",
    "0.0.0.0",
    "5 s",
    "\x00",
]
SCALARS = (
    st.sampled_from(WORDS)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.booleans()
    | st.dates()
    | st.sampled_from(["name", "kind"])
)
NAMES = st.sampled_from(
    sorted({key.name for struct in STRUCTS for key in shape.keys_of(struct)} | {"kind", "z"})
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def outcome(call: Callable[[], NodeConfig]) -> NodeConfig | ConfigurationError:
    """What comes of it; any other exception is a defect and passes through."""
    try:
        return call()
    except ConfigurationError as error:
        return error


def well_said(result: NodeConfig | ConfigurationError) -> bool:
    return bool(result.node.name) if isinstance(result, NodeConfig) else "\n" not in str(result)


ROOT_NAMES = st.sampled_from([key.name for key in shape.keys_of(NodeConfig)])


@settings(max_examples=400)
@given(st.dictionaries(ROOT_NAMES, TREES, max_size=4), st.booleans())
def test_any_tree_is_a_configuration_or_a_configuration_error(tree: dict[str, Any], named: bool) -> None:
    if named:
        tree["node"] = {"name": "n"}
    assert well_said(outcome(lambda: build(tree, KINDS)))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_configuration_or_a_configuration_error(data: bytes) -> None:
    assert well_said(outcome(lambda: parse(data, "node.toml", {}, KINDS)[0]))


@given(
    st.lists(NAMES | st.sampled_from(["0", "1", "", "listen", "http"]), min_size=1, max_size=4),
    st.text(max_size=20),
)
def test_any_variable_is_an_override_or_a_configuration_error(parts: list[str], value: str) -> None:
    environ = {"HEADLAND__" + "__".join(parts).upper(): value}
    text = b'[node]\nname = "n"\n[[listen]]\nanonymous = true\n'
    assert well_said(outcome(lambda: parse(text, "node.toml", environ, KINDS)[0]))
