"""All kinds of sources: the built-in ones, and those of installed packages.

A kind is imported when it is asked for: a node without sources holds none of them in memory, and looks for no
packages (the search alone takes 3 MB).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from headland.sources.contract import Source, SourceContext, SourceDeclaration
from headland.vocabulary import ConfigurationError

GROUP: Final = "headland.sources"
BUILT_IN: Final = ("host", "logs", "model", "replay")


def built_in() -> tuple[SourceDeclaration, ...]:
    """Declarations of the kinds that come with the product."""
    return tuple(map(_built_in, BUILT_IN))


def _built_in(kind: str) -> SourceDeclaration:
    """One of them. Raises KeyError where there is none of this kind."""
    match kind:
        case "host":
            from headland.sources.host import HOST

            return HOST
        case "logs":
            from headland.sources.logs import LOGS

            return LOGS
        case "model":
            from headland.sources.model import MODEL

            return MODEL
        case "replay":
            from headland.sources.replay import REPLAY

            return REPLAY
        case _:
            raise KeyError(kind)


class Kinds(Mapping[str, SourceDeclaration]):
    """Declarations by kind. A built-in kind cannot be replaced.

    Packages are looked for at the first look at a kind that is not built in, and by `len` and iteration:
    those raise `ConfigurationError` where an installed package declares something else, or a kind twice.
    """

    def __init__(self) -> None:
        self._installed: dict[str, SourceDeclaration] | None = None

    def __getitem__(self, kind: str) -> SourceDeclaration:
        return _built_in(kind) if kind in BUILT_IN else self._plugins()[kind]

    def __iter__(self) -> Iterator[str]:
        return iter((*BUILT_IN, *self._plugins()))

    def __len__(self) -> int:
        return len(BUILT_IN) + len(self._plugins())

    def _plugins(self) -> dict[str, SourceDeclaration]:
        if self._installed is None:
            self._installed = _installed()
        return self._installed


def _installed() -> dict[str, SourceDeclaration]:
    from importlib.metadata import entry_points

    found: dict[str, SourceDeclaration] = {}
    for point in entry_points(group=GROUP):
        declaration = point.load()
        if not isinstance(declaration, SourceDeclaration):
            raise ConfigurationError(
                f"entry point {point.name!r} in {GROUP!r} is not a SourceDeclaration", file=point.value
            )
        if declaration.kind in found or declaration.kind in BUILT_IN:
            raise ConfigurationError(f"source kind {declaration.kind!r} is declared twice", file=point.value)
        found[declaration.kind] = declaration
    return found


def kinds() -> Kinds:
    """What is installed here and now."""
    return Kinds()


class Configs(Mapping[str, type[msgspec.Struct]]):
    """The configuration of each kind."""

    def __init__(self, known: Mapping[str, SourceDeclaration]) -> None:
        self._known = known

    def __getitem__(self, kind: str) -> type[msgspec.Struct]:
        return self._known[kind].config

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def configs() -> Configs:
    """Configurations of what is installed here and now."""
    return Configs(kinds())


def make_source(
    table: Mapping[str, Any],
    context: SourceContext,
    known: Mapping[str, SourceDeclaration] | None = None,
) -> Source:
    """Make a source from its configuration table.

    Args:
        table: The table ``[[source]]``: `kind`, and the keys of that kind. `name` is not for the source.
        context: What it is made with.
        known: Declarations, when they are at hand already.

    Raises:
        ConfigurationError: The kind is unknown, or a key does not fit.
    """
    declarations = known if known is not None else kinds()
    kind = table.get("kind")
    declaration = declarations.get(kind) if isinstance(kind, str) else None
    if declaration is None:
        raise ConfigurationError(
            f"unknown kind of source {kind!r}", path="kind", hint="known: " + ", ".join(sorted(declarations))
        )
    settings = {key: value for key, value in table.items() if key not in ("kind", "name")}
    try:
        config = msgspec.convert(settings, declaration.config)
    except msgspec.ValidationError as error:
        raise ConfigurationError(str(error), path=f"source {context.name!r}") from error
    return declaration.make(config, context)
