"""The shape of the configuration as its structs declare it: sections, keys, types, defaults, descriptions.

A key's description is its `Meta(description=...)`, or else its entry under "Attributes:" in the docstring of
its struct. Loading looks for unknown keys with this, and the reference is written from it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect as mi


class Key(msgspec.Struct, frozen=True):
    """One key of a struct.

    Attributes:
        name: As written in the file.
        type: What msgspec knows of its type, without annotations.
        required: Whether it has no default.
        default: The default, when it has one.
        description: What it is for; "" when nobody said.
        examples: Values to show where there is no default.
        bounds: Constraints in words, "" for none.
    """

    name: str
    type: mi.Type
    required: bool
    default: Any
    description: str
    examples: tuple[Any, ...]
    bounds: str


@cache
def info_of(struct: type[msgspec.Struct]) -> mi.Type:
    """What msgspec knows of a struct; found once, because it walks everything below."""
    return mi.type_info(struct)


@cache
def keys_of(struct: type[msgspec.Struct]) -> tuple[Key, ...]:
    """Keys of a struct in order."""
    info = info_of(struct)
    assert isinstance(info, mi.StructType)
    documented = attributes_of(struct)
    keys = []
    for field in info.fields:
        bare, schema = _bare(field.type)
        if field.default is not msgspec.NODEFAULT:
            default = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        else:
            default = None
        keys.append(
            Key(
                field.encode_name,
                bare,
                field.required,
                default,
                str(schema.get("description", "")) or documented.get(field.name, ""),
                tuple(schema.get("examples", ())),
                _bounds(bare),
            )
        )
    return tuple(keys)


def attributes_of(struct: type) -> dict[str, str]:
    """Entries under "Attributes:" in a struct's docstring and its bases', by name, each on one line."""
    found: dict[str, str] = {}
    for cls in reversed(struct.__mro__):
        doc = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
        _, _, section = doc.partition("\nAttributes:\n")
        name = ""
        for line in section.splitlines():
            entry = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
            if entry:
                name = entry[1]
                for one in name.split(", "):
                    found[one] = entry[2].strip()
            elif name and line.startswith("     "):
                for one in name.split(", "):
                    found[one] += " " + line.strip()
            elif line and not line.startswith(" "):
                break
    return found


def structs_in(kind: mi.Type) -> list[type[msgspec.Struct]]:
    """Structs that a value of this type may be (through unions, lists and annotations), in order."""
    return list(dict.fromkeys(_structs(kind)))


def _structs(kind: mi.Type) -> Iterator[type[msgspec.Struct]]:
    match kind:
        case mi.StructType():
            yield kind.cls
        case mi.Metadata():
            yield from _structs(kind.type)
        case mi.UnionType():
            for one in kind.types:
                yield from _structs(one)
        case mi.ListType() | mi.VarTupleType() | mi.SetType():
            yield from _structs(kind.item_type)
        case mi.DictType():
            yield from _structs(kind.value_type)
        case _:
            return


def is_list(kind: mi.Type) -> bool:
    """Whether values of this type are arrays of structs, `[[name]]` in the file."""
    match kind:
        case mi.ListType() | mi.VarTupleType():
            return bool(structs_in(kind.item_type))
        case mi.UnionType():
            return any(is_list(one) for one in kind.types)
        case _:
            return False


@cache
def tag_of(struct: type[msgspec.Struct]) -> tuple[str, Any] | None:
    """(key, value) that tells this struct from the others of its union, if it has such a tag."""
    info = info_of(struct)
    assert isinstance(info, mi.StructType)
    return (str(info.tag_field), info.tag) if info.tag_field else None


def in_words(kind: mi.Type) -> str:
    """A type as the reference writes it."""
    match kind:
        case mi.Metadata():
            return in_words(kind.type)
        case mi.IntType():
            return "integer"
        case mi.FloatType():
            return "number"
        case mi.StrType():
            return "text"
        case mi.BoolType():
            return "true or false"
        case mi.NoneType():
            return "absent"
        case mi.EnumType():
            return " | ".join(f'"{one.value}"' for one in kind.cls)
        case mi.LiteralType():
            return " | ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in kind.values)
        case mi.ListType() | mi.VarTupleType() | mi.SetType():
            return f"list of {in_words(kind.item_type)}"
        case mi.DictType():
            return f"table of {in_words(kind.value_type)}"
        case mi.UnionType():
            return " or ".join(in_words(one) for one in kind.types if not isinstance(one, mi.NoneType))
        case mi.StructType():
            tag = tag_of(kind.cls)
            return f'table {tag[0]} = "{tag[1]}"' if tag else "table"
        case _:
            return "any value"


def _bare(kind: mi.Type) -> tuple[mi.Type, dict[str, Any]]:
    schema: dict[str, Any] = {}
    while isinstance(kind, mi.Metadata):
        schema = {**schema, **(kind.extra_json_schema or {})}
        kind = kind.type
    return kind, schema


def _bounds(kind: mi.Type) -> str:
    match kind:
        case mi.UnionType():
            return next((words for words in map(_bounds, kind.types) if words), "")
        case mi.IntType() | mi.FloatType():
            parts = [(kind.ge, ">="), (kind.gt, ">"), (kind.le, "<="), (kind.lt, "<")]
            return ", ".join(f"{sign} {value:.15g}" for value, sign in parts if value is not None)
        case _:
            return ""
