"""What is wrong with a tree of TOML values, said so that the next step is plain."""

from __future__ import annotations

import difflib
import re
from typing import Any

import msgspec
from msgspec import inspect as mi

from headland.config import shape
from headland.line.deciding.rules import Reference
from headland.vocabulary import ConfigurationError, HeadlandError

UNITS = {
    "_s": "seconds",
    "_ms": "milliseconds",
    "_bytes": "bytes",
    "_ratio": "a number from 0 to 1",
    "_share": "a number from 0 to 1",
    "_per_gb": "a price per 10^9 bytes",
    "_hz": "hertz",
}
_UNIT_TAIL = re.compile(
    r"_(s|sec|secs|seconds|ms|us|ns|m|min|minutes|h|hours|d|days|b|bytes|kb|kib|mb|mib|gb|gib"
    r"|ratio|share|percent|pct|hz|khz)$"
)
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "datetime": "a date",
}
"""msgspec's words for types, in the words of the reference."""
_TEXT_WITH_UNIT = re.compile(r"\s*[\d.]+\s*[A-Za-z%]+\s*")


def first_unknown_key(struct: type[msgspec.Struct], tree: dict[str, Any]) -> ConfigurationError | None:
    """The first key in `tree` that `struct` does not have, as an error with its path and the nearest name."""
    return _unknown(shape.info_of(struct), tree, "")


def _unknown(kind: mi.Type, value: Any, path: str) -> ConfigurationError | None:
    if isinstance(value, list):
        for i, item in enumerate(value):
            found = _unknown(_item(kind), item, f"{path}[{i}]")
            if found:
                return found
        return None
    if not isinstance(value, dict):
        return None
    struct = _chosen(kind, value)
    if struct is None:
        return None
    keys = {key.name: key for key in shape.keys_of(struct)}
    tag = shape.tag_of(struct)
    for name, inner in value.items():
        here = f"{path}.{name}" if path else name
        if name in keys:
            found = _unknown(keys[name].type, inner, here)
            if found:
                return found
        elif tag is None or name != tag[0]:
            return ConfigurationError("unknown key", path=here, hint=_nearest(name, list(keys), path))
    return None


def _nearest(name: str, names: list[str], path: str) -> str:
    stem = _UNIT_TAIL.sub("", name)
    same = [one for one in names if _UNIT_TAIL.sub("", one) == stem and one != name]
    if same:
        unit = next((words for tail, words in UNITS.items() if same[0].endswith(tail)), "")
        return f"it is {same[0]}" + (f", in {unit}" if unit else "")
    near = difflib.get_close_matches(name, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"{path or 'the file'} has {', '.join(sorted(names))}"


def explain(
    error: msgspec.ValidationError | HeadlandError, struct: type[msgspec.Struct], tree: dict[str, Any]
) -> ConfigurationError:
    """A conversion's failure as an error with its path in the file, and a hint."""
    if isinstance(error, HeadlandError):
        inner = getattr(error, "path", "")
        outer = _blame(shape.info_of(struct), tree, "")
        path = outer if outer.endswith(inner) else ".".join(part for part in (outer, inner) if part)
        return ConfigurationError(str(error.args[0]), path=path, hint=error.hint)
    message, _, place = str(error).partition(" - at `")
    path = place.rstrip("`").removeprefix("$").removeprefix(".")
    path = path.replace("[...]", "")
    kind, value = _look(shape.info_of(struct), tree, path)
    missing = re.fullmatch(r"Object missing required field `(\w+)`", message)
    if missing:
        key = f"{path}.{missing[1]}" if path else missing[1]
        return ConfigurationError("missing", path=key, hint=_wanted(struct, key))
    structs = shape.structs_in(kind) if kind is not None else []
    if any(issubclass(one, Reference) for one in structs) and not isinstance(value, dict):
        return ConfigurationError(
            "a secret is never written here", path=path, hint='write { file = "..." } or { env = "..." }'
        )
    if "matching regex" in message:
        return ConfigurationError(f"{value!r} has not the right form", path=path, hint=_wanted(struct, path))
    if kind is None:
        return ConfigurationError(_plain(message), path=path, hint=_kinds(struct, tree, path))
    return ConfigurationError(_plain(message), path=path, hint=_hint(path, kind, value))


def _kinds(struct: type[msgspec.Struct], tree: dict[str, Any], path: str) -> str:
    """The tags that may stand at `path`, nearest first, where it is the tag of a union."""
    outer, _, name = path.rpartition(".")
    kind, value = _look(shape.info_of(struct), tree, outer)
    tags = [shape.tag_of(one) for one in shape.structs_in(kind)] if kind is not None else []
    options = [str(tag[1]) for tag in tags if tag is not None and tag[0] == name]
    given = value.get(name, "") if isinstance(value, dict) else ""
    near = difflib.get_close_matches(str(given), options, 1)
    return f"did you mean {near[0]!r}?" if near else f"one of {', '.join(options)}" if options else ""


def _plain(message: str) -> str:
    message = re.sub(r"`(\w+)( \| null)?`", lambda found: _WORDS.get(found[1], found[1]), message)
    return message[:1].lower() + message[1:]


def _hint(path: str, kind: mi.Type, value: Any) -> str:
    unit = next((words for tail, words in UNITS.items() if path.endswith(tail)), "")
    if isinstance(value, str) and unit and _TEXT_WITH_UNIT.fullmatch(value):
        return f"write the number alone, in {unit}"
    options = _options(kind)
    if options:
        near = difflib.get_close_matches(str(value), options, 1)
        return f"did you mean {near[0]!r}?" if near else f"one of {', '.join(options)}"
    return f"in {unit}" if unit else ""


def _options(kind: mi.Type) -> list[str]:
    match kind:
        case mi.Metadata():
            return _options(kind.type)
        case mi.EnumType():
            return [str(one.value) for one in kind.cls]
        case mi.LiteralType():
            return [str(one) for one in kind.values]
        case mi.UnionType():
            return [one for inner in kind.types for one in _options(inner)]
        case _:
            return []


def _wanted(struct: type[msgspec.Struct], key: str) -> str:
    outer, _, name = key.rpartition(".")
    kind, _ = _look(shape.info_of(struct), {}, re.sub(r"\[\d+\]", "", outer))
    for one in shape.structs_in(kind) if kind is not None else []:
        for known in shape.keys_of(one):
            if known.name == name:
                return known.description
    return ""


def _look(kind: mi.Type, value: Any, path: str) -> tuple[mi.Type | None, Any]:
    """The type and the value at a path, as far as they exist."""
    here: mi.Type | None = kind
    for part in re.findall(r"[^.\[\]]+", path):
        if here is None:
            return None, None
        if part.isdigit() and isinstance(value, list):
            here = _item(here)
            value = value[int(part)] if int(part) < len(value) else None
            continue
        if shape.is_list(here):
            here = _item(here)
        struct = _chosen(here, value if isinstance(value, dict) else {})
        keys = {key.name: key.type for key in shape.keys_of(struct)} if struct is not None else {}
        here = keys.get(part)
        value = value.get(part) if isinstance(value, dict) else None
    return here, value


def _blame(kind: mi.Type, value: Any, path: str) -> str:
    """The innermost path whose conversion alone fails: a struct's own check does not know where it stands."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            if _fails(_item(kind), item):
                return _blame(_item(kind), item, f"{path}[{i}]")
        return path
    struct = _chosen(kind, value) if isinstance(value, dict) else None
    if struct is None:
        return path
    for key in shape.keys_of(struct):
        if key.name in value and _fails(key.type, value[key.name]):
            return _blame(key.type, value[key.name], f"{path}.{key.name}" if path else key.name)
    return path


def _fails(kind: mi.Type, value: Any) -> bool:
    for struct in shape.structs_in(kind):
        values = value if isinstance(value, list) else [value]
        for one in values:
            if isinstance(one, dict) and _chosen(kind, one) is struct:
                try:
                    msgspec.convert(one, struct, strict=True)
                except (msgspec.ValidationError, HeadlandError):
                    return True
    return False


def _item(kind: mi.Type) -> mi.Type:
    match kind:
        case mi.Metadata():
            return _item(kind.type)
        case mi.ListType() | mi.VarTupleType() | mi.SetType():
            return kind.item_type
        case mi.UnionType():
            return next((_item(one) for one in kind.types if _item(one) is not one), kind)
        case _:
            return kind


def _chosen(kind: mi.Type, value: dict[str, Any]) -> type[msgspec.Struct] | None:
    """The struct that a table is meant to be: the only one, or the one whose tag it carries."""
    structs = shape.structs_in(kind)
    for struct in structs:
        tag = shape.tag_of(struct)
        if tag is not None and value.get(tag[0]) == tag[1]:
            return struct
    return structs[0] if len(structs) == 1 else None
