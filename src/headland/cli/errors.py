"""How a command tells that something expected went wrong."""

from __future__ import annotations

from headland.vocabulary import ConfigurationError, HeadlandError


def said(error: HeadlandError) -> tuple[str, int]:
    """The line on stderr, and the exit code (2 for configuration, else 1)."""
    if isinstance(error, ConfigurationError):
        return f"headland: {error}", 2  # says its hint itself
    hint = f" ({error.hint})" if error.hint else ""
    return f"headland: {error}{hint}", 1
