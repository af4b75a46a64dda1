"""All kinds of sources: the built-in ones, and those of installed packages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Final

import msgspec

from headland.sources.contract import Source, SourceContext, SourceDeclaration
from headland.sources.host import HOST
from headland.sources.logs import LOGS
from headland.sources.model import MODEL
from headland.sources.replay import REPLAY
from headland.vocabulary import ConfigurationError

GROUP: Final = "headland.sources"
BUILT_IN: Final[tuple[SourceDeclaration, ...]] = (HOST, LOGS, MODEL, REPLAY)


def kinds() -> dict[str, SourceDeclaration]:
    """Declarations by kind. A built-in kind cannot be replaced.

    Raises:
        ConfigurationError: An installed package declares something else, or a kind twice.
    """
    found = {declaration.kind: declaration for declaration in BUILT_IN}
    for point in entry_points(group=GROUP):
        declaration = point.load()
        if not isinstance(declaration, SourceDeclaration):
            raise ConfigurationError(
                f"entry point {point.name!r} in {GROUP!r} is not a SourceDeclaration", file=point.value
            )
        if declaration.kind in found:
            raise ConfigurationError(f"source kind {declaration.kind!r} is declared twice", file=point.value)
        found[declaration.kind] = declaration
    return found


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
