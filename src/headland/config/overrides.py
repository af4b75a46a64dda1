"""`HEADLAND__SECTION__KEY=value` over the file: for containers, where one value differs from node to node.

Parts are joined by two underscores and may be upper or lower case; a number chooses an element of a list
(`HEADLAND__LISTEN__0__PORT=1884`). A value is read as TOML; where the key wants text, it is taken as it is.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect as mi

from headland.config import shape
from headland.vocabulary import ConfigurationError

PREFIX = "HEADLAND__"


def apply_overrides(
    tree: dict[str, Any], root: type[msgspec.Struct], environ: Mapping[str, str]
) -> tuple[str, ...]:
    """Write every override into `tree`; returns the paths that were set, in order of the variables' names.

    Raises:
        ConfigurationError: a variable names no key, or an element that is not in the file.
    """
    done = []
    for variable in sorted(environ):
        if variable.upper().startswith(PREFIX):
            parts = variable[len(PREFIX) :].lower().split("__")
            done.append(_apply(tree, root, variable, parts, environ[variable]))
    return tuple(done)


def _apply(
    tree: dict[str, Any], root: type[msgspec.Struct], variable: str, parts: list[str], text: str
) -> str:
    node: Any = tree
    kind: mi.Type = shape.info_of(root)
    path = ""
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(node, list):
            if not part.isdigit() or int(part) >= len(node):
                raise _wrong(variable, f"{path} has {len(node)} elements, counted from 0")
            path = f"{path}[{part}]"
            if last:
                node[int(part)] = _value(kind, text)
            else:
                node = node[int(part)]
            continue
        inner = _step(kind, part)
        if inner is None:
            names = [key.name for struct in shape.structs_in(kind) for key in shape.keys_of(struct)]
            near = difflib.get_close_matches(part, names, 1)
            hint = f"did you mean {near[0].upper()}?" if near else f"it has {', '.join(names)}"
            raise _wrong(variable, f"{path or 'the configuration'} has no key {part!r}", hint)
        path = f"{path}.{part}" if path else part
        kind = inner
        if last:
            node[part] = _value(kind, text)
        else:
            node = node.setdefault(part, {})
            if not isinstance(node, dict | list):
                raise _wrong(variable, f"{path} is a single value")
    return path


def _step(kind: mi.Type, part: str) -> mi.Type | None:
    for struct in shape.structs_in(kind):
        for key in shape.keys_of(struct):
            if key.name == part:
                return key.type
    free = kind.types if isinstance(kind, mi.UnionType) else (kind,)
    return next((one.value_type for one in free if isinstance(one, mi.DictType)), None)


def _value(kind: mi.Type, text: str) -> Any:
    if _wants_text(kind) and text[:1] not in ('"', "'"):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _wants_text(kind: mi.Type) -> bool:
    match kind:
        case mi.Metadata():
            return _wants_text(kind.type)
        case mi.StrType() | mi.EnumType():
            return True
        case mi.LiteralType():
            return all(isinstance(one, str) for one in kind.values)
        case mi.UnionType():
            return any(_wants_text(one) for one in kind.types)
        case _:
            return False


def _wrong(variable: str, message: str, hint: str = "") -> ConfigurationError:
    return ConfigurationError(message, file="environment", path=variable, hint=hint)
