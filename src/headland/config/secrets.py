"""Secrets, given by reference only: the configuration file can be shown to anybody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from headland.line.deciding.rules import Reference
from headland.vocabulary import ConfigurationError

_MAX_BYTES = 64 * 1024


class Secret(Reference, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a secret is: exactly one of `file` and `env`. Read when needed, never logged."""

    file: Annotated[
        str, Meta(description="A file that holds the secret; a newline at its end does not belong to it.")
    ] = ""
    env: Annotated[str, Meta(description="An environment variable that holds the secret.")] = ""

    def __post_init__(self) -> None:
        if bool(self.file) == bool(self.env):
            raise ValueError("a secret is either { file = ... } or { env = ... }")

    def reveal(self, base: Path, environ: Mapping[str, str]) -> str:
        """The secret itself.

        Args:
            base: Directory that a relative `file` starts from.
            environ: The environment.

        Raises:
            ConfigurationError: it is not there, empty, or not text.
        """
        if self.env:
            value = environ.get(self.env, "")
            if not value:
                raise ConfigurationError(f"environment variable {self.env} is not set")
            return value
        path = base / self.file
        try:
            with path.open("rb") as file:
                value = file.read(_MAX_BYTES).decode().rstrip("\r\n")
        except OSError as error:
            raise ConfigurationError(f"secret {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"secret {path}: not UTF-8 text") from None
        if not value:
            raise ConfigurationError(f"secret {path}: empty")
        return value
