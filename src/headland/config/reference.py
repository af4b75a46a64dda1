"""The configuration reference, the JSON Schema and the complete example file, all made from the structs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import msgspec
from msgspec import inspect as mi

from headland.config import shape
from headland.config.mistakes import UNITS
from headland.config.node import NodeConfig
from headland.config.tiers import DEFAULTS
from headland.line.deciding.rules import Reference
from headland.line.outbox.settings import DEFAULTS as PUBLISHED
from headland.line.outbox.settings import ClassSettings
from headland.vocabulary import Tier

Kinds = Mapping[str, tuple[str, type[msgspec.Struct]]]
"""Kinds of sources: one sentence and the struct of each."""

SHOWN = {
    "classes.critical.ttl_s": "0",
    "mapping.topic": '"plant/{machine}/{metric}"',
    "series.name": '"temperatures"',
    "rule.name": '"overheated"',
    "rule.when": '{ kind = "threshold", above = 90.0, hysteresis = 5.0 }',
    "rule.act.kind": '"http"',
    "rule.act.target": '"http://127.0.0.1:9000/stop"',
}
"""What the example file shows where a default would be too little to learn from, or is missing."""

_HEAD = """\
# Configuration

A node reads one TOML file: `headland run node.toml`. `headland init DIR` writes a commented one to start
from, `headland check node.toml` says what is wrong with it and whether the node could run.

* A key that is not listed here is an error, with its line and the nearest name.
* Units are in the names: `_s` seconds, `_ms` milliseconds, `_bytes` bytes, `_share` and `_ratio` 0 to 1.
* Numbers are finite, whole ones have 64 bits, and nothing lasts longer than a hundred years.
* `HEADLAND__SECTION__KEY=value` in the environment counts more than the file; a number chooses an element of
  a list (`HEADLAND__LISTEN__0__PORT=1884`). A value is read as TOML; text needs no quotes.
* A secret is never written here: `{ file = "..." }` or `{ env = "..." }` says where it is.
* Relative paths start from the file's directory.
* `[name]` is written once; `[[name]]` any number of times.
"""


def reference(kinds: Kinds) -> str:
    """docs/configuration.md."""
    parts = [_HEAD, _tiers(), _classes()]
    seen: dict[type, str] = {}
    parts += [
        _source_section(key, kinds) if key.name == "source" else "\n".join(_section(key, key.name, seen))
        for key in shape.keys_of(NodeConfig)
    ]
    return "\n".join(parts)


def schema(kinds: Kinds) -> str:
    """JSON Schema (2020-12) of the file, for editors; sources are the given kinds."""
    made = msgspec.json.schema(NodeConfig)
    components = made.setdefault("$defs", {})
    options = []
    for kind, (summary, struct) in kinds.items():
        inner = msgspec.json.schema(struct, ref_template="#/$defs/{name}")
        components.update(inner.get("$defs", {}))
        options.append(_source_schema(kind, summary, components[struct.__name__]))
    components["NodeConfig"]["properties"]["source"]["items"] = {"anyOf": options}
    for key, owner in _described_only_in_docstrings(NodeConfig):
        components.get(owner, {}).get("properties", {}).get(key.name, {}).setdefault(
            "description", key.description
        )
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Headland node", **made}
    return json.dumps(made, indent=1, sort_keys=True) + "\n"


def example(kinds: Kinds) -> str:
    """A file in which every key stands, with its description, as a comment showing the default."""
    lines = ["## Every key of a node's file. What is commented out shows its default.", ""]
    for key in shape.keys_of(NodeConfig):
        lines += _example_source(kinds) if key.name == "source" else _example_section(key.name, key)
    return "\n".join(lines).rstrip() + "\n"


def undescribed(kinds: Kinds) -> list[str]:
    """Keys without a description; a test wants none."""
    missing = [f"{path}.{key.name}" for path, key in _walk(NodeConfig, "") if not key.description]
    for kind, (_, struct) in kinds.items():
        missing += [f"source({kind}).{key.name}" for key in shape.keys_of(struct) if not key.description]
    return missing


def toml(value: Any) -> str:
    """A value as TOML on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return toml(value.value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            return str(value)
        case float():
            return repr(value) if value % 1 else f"{value:.1f}"
        case list() | tuple():
            return "[" + ", ".join(map(toml, value)) + "]"
        case dict():
            return "{ " + ", ".join(f"{k} = {toml(v)}" for k, v in value.items()) + " }" if value else "{}"
        case msgspec.Struct():
            return toml(_given(value))
        case _:
            raise TypeError(f"{value!r} has no TOML form")


def _given(value: msgspec.Struct) -> dict[str, Any]:
    """What has to be written of a struct: its tag and what differs from the defaults."""
    built = msgspec.to_builtins(value)
    tag = shape.tag_of(type(value))
    defaults = {
        key.name: msgspec.to_builtins(key.default) for key in shape.keys_of(type(value)) if not key.required
    }
    return {
        name: inner
        for name, inner in built.items()
        if (tag is not None and name == tag[0]) or name not in defaults or inner != defaults[name]
    }


def _walk(struct: type[msgspec.Struct], path: str) -> Iterator[tuple[str, shape.Key]]:
    for key in shape.keys_of(struct):
        yield path, key
        inner = f"{path}.{key.name}" if path else key.name
        for one in shape.structs_in(key.type):
            yield from _walk(one, inner)


def _described_only_in_docstrings(struct: type[msgspec.Struct]) -> Iterator[tuple[shape.Key, str]]:
    for key in shape.keys_of(struct):
        yield key, struct.__name__
        for one in shape.structs_in(key.type):
            yield from _described_only_in_docstrings(one)


def _tiers() -> str:
    names = sorted({path for row in DEFAULTS.values() for path in row})
    head = "| key | " + " | ".join(tier.value for tier in Tier) + " |"
    rows = [
        f"| `{path}` | " + " | ".join(toml(DEFAULTS[tier][path]) for tier in Tier) + " |" for path in names
    ]
    return "\n".join(
        [
            "## Tiers",
            "",
            "`node.tier` chooses a row of defaults and nothing else; what the file says itself counts more.",
            "",
            head,
            "|---" * (len(Tier) + 1) + "|",
            *rows,
            "",
        ]
    )


def _classes() -> str:
    fields = ClassSettings.__struct_fields__
    rows = [
        f"| {priority.name.lower()} | " + " | ".join(_published(settings, name) for name in fields) + " |"
        for priority, settings in PUBLISHED.items()
    ]
    return "\n".join(
        [
            "## Classes",
            "",
            "What the four classes of store-and-forward do where `[classes.*]` says nothing.",
            "",
            "| class | " + " | ".join(f"`{name}`" for name in fields) + " |",
            "|---" * (len(fields) + 1) + "|",
            *rows,
            "",
        ]
    )


def _published(settings: ClassSettings, name: str) -> str:
    value = getattr(settings, name)
    return "no limit" if value is None else toml(value).strip('"')


def _section(key: shape.Key, path: str, seen: dict[type, str], depth: int = 2) -> list[str]:
    """The structs that stand under a key, each with those under its own keys; a struct is described once."""
    parts: list[str] = []
    mark = f"[[{path}]]" if shape.is_list(key.type) else f"[{path}]"
    for struct in shape.structs_in(key.type):
        if issubclass(struct, Reference):
            continue
        tag = shape.tag_of(struct)
        about = _first_sentence(struct) if tag is not None or depth > 2 else key.description
        first = seen.setdefault(struct, mark)
        if first != mark and tag is not None:
            continue
        parts += [f"{'#' * depth} `{mark}`{f', {tag[0]} = {toml(tag[1])}' if tag else ''}", "", about, ""]
        if first != mark:
            parts += [f"Keys as under `{first}`.", ""]
            continue
        parts += _table(struct)
        for inner in shape.keys_of(struct):
            parts += _section(inner, f"{path}.{inner.name}", seen, min(depth + 1, 3))
    return parts


def _table(struct: type[msgspec.Struct]) -> list[str]:
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key in shape.keys_of(struct):
        value = shape.in_words(key.type) + (f", {key.bounds}" if key.bounds else "")
        if key.required:
            default = "*required*"
        elif key.default is None:
            default = ""
        elif _is_table(key):
            default = "see below"
        else:
            default = f"`{toml(key.default)}`"
        rows.append(f"| `{key.name}` | {_cell(value)} | {_cell(default)} | {_cell(key.description)} |")
    return [*rows, ""]


def _source_section(key: shape.Key, kinds: Kinds) -> str:
    parts = [
        "## `[[source]]`",
        "",
        key.description,
        "",
        "| key | value | default | meaning |",
        "|---|---|---|---|",
        "| `kind` | text | *required* | What is read: one of the kinds below, or of an installed package. |",
        "| `name` | text | the kind | Name in logs, metrics and the ledger, unique. |",
        "",
    ]
    for kind, (summary, struct) in kinds.items():
        parts += [f"### `[[source]]`, kind = {toml(kind)}", "", summary, "", *_table(struct)]
        for inner in shape.keys_of(struct):
            parts += _section(inner, f"source.{inner.name}", {}, 3)
    return "\n".join(parts)


def _source_schema(kind: str, summary: str, inner: dict[str, Any]) -> dict[str, Any]:
    properties = {
        **inner.get("properties", {}),
        "kind": {"const": kind, "description": summary},
        "name": {"type": "string", "description": "Name in logs, metrics and the ledger, unique."},
    }
    return {**inner, "properties": properties, "required": ["kind", *inner.get("required", [])]}


def _example_section(path: str, key: shape.Key) -> list[str]:
    structs = shape.structs_in(key.type)
    required = path == "node"
    lines: list[str] = []
    for struct in structs:
        tag = shape.tag_of(struct)
        mark = f"[[{path}]]" if shape.is_list(key.type) else f"[{path}]"
        lines += [f"## {key.description or _first_sentence(struct)}", mark if required else f"# {mark}"]
        if tag is not None:
            lines.append(f"# {tag[0]} = {toml(tag[1])}")
        later: list[str] = []
        for inner in shape.keys_of(struct):
            if _is_table(inner):
                later += _example_section(f"{path}.{inner.name}", inner)
            else:
                lines += _example_key(path, inner, commented=not (required and inner.required))
        lines += ["", *later]
    return lines


def _is_table(key: shape.Key) -> bool:
    structs = shape.structs_in(key.type)
    return bool(structs) and not issubclass(structs[0], Reference) and shape.tag_of(structs[0]) is None


def _example_key(path: str, key: shape.Key, *, commented: bool) -> list[str]:
    unit = next((words for tail, words in UNITS.items() if key.name.endswith(tail)), "")
    if f"{path}.{key.name}" in SHOWN:
        value = SHOWN[f"{path}.{key.name}"]
    elif key.examples:
        value = toml(key.examples[0])
    elif key.default is not None and not key.required:
        value = toml(key.default)
    elif shape.structs_in(key.type) and issubclass(shape.structs_in(key.type)[0], Reference):
        value = '{ file = "secrets/one" }'
    else:
        value = _any(key.type)
    said = f"## {key.description}" + (f" ({unit})" if unit and unit not in key.description.lower() else "")
    return [said, f"{'# ' if commented else ''}{key.name} = {value}"]


def _any(kind: mi.Type) -> str:
    """Some value of a type, where there is neither default nor example."""
    match kind:
        case mi.UnionType():
            tagged = [one for one in kind.types if not isinstance(one, mi.NoneType)]
            return _any(tagged[0])
        case mi.IntType() | mi.FloatType():
            return "1"
        case mi.BoolType():
            return "true"
        case mi.LiteralType():
            return toml(kind.values[0])
        case mi.EnumType():
            return toml(next(iter(kind.cls)))
        case mi.ListType() | mi.VarTupleType() | mi.SetType():
            return f"[{_any(kind.item_type)}]"
        case mi.Metadata():
            return _any(kind.type)
        case mi.StructType():
            tag = shape.tag_of(kind.cls)
            return f"{{ {tag[0]} = {toml(tag[1])} }}" if tag else "{}"
        case _:
            return '"x"'


def _example_source(kinds: Kinds) -> list[str]:
    lines: list[str] = []
    for kind, (summary, struct) in kinds.items():
        lines += [f"## {summary}", "# [[source]]", f"# kind = {toml(kind)}", f"# name = {toml(kind)}"]
        keys = shape.keys_of(struct)
        lines += [
            line for key in keys if not _is_table(key) for line in _example_key("source", key, commented=True)
        ]
        lines.append("")
        lines += [
            line for key in keys if _is_table(key) for line in _example_section(f"source.{key.name}", key)
        ]
    return lines


def _first_sentence(struct: type) -> str:
    return (struct.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
