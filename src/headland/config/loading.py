"""From a TOML file to a `NodeConfig`, or to an error that names the file, the line, the key and the way out.

The order: the file, then `HEADLAND__SECTION__KEY` variables over it, then the tier's row of defaults under
it.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from headland.config.checking import check
from headland.config.mistakes import explain, first_unknown_key
from headland.config.node import NodeConfig
from headland.config.numbers import first_impossible_number
from headland.config.overrides import PREFIX, apply_overrides
from headland.config.positions import line_of
from headland.config.secrets import Secret
from headland.config.tiers import DEFAULTS
from headland.line.deciding.rules import Reference
from headland.trust.contexts import CertificateFiles
from headland.vocabulary import ConfigurationError, HeadlandError, Tier

MAX_FILE_BYTES = 16 * 1024 * 1024


class Loaded(msgspec.Struct, frozen=True):
    """A configuration and where it came from.

    Attributes:
        config: The value.
        file: The file, absolute.
        digest: BLAKE2b-128 of the file's bytes, hex: whether the file itself has changed.
        overridden: Keys that environment variables have set.
        tree: The file's tables with those variables over them, before any default.
    """

    config: NodeConfig
    file: Path
    digest: str
    overridden: tuple[str, ...] = ()
    tree: dict[str, Any] = {}

    def path(self, relative: str) -> Path:
        """A path of the configuration: relative ones start from the file's directory."""
        return self.file.parent / relative

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return self.path(self.config.node.data_dir)

    @property
    def certificates(self) -> CertificateFiles:
        """Paths of authority, certificate and key."""
        files = self.config.certificates
        return CertificateFiles(self.path(files.ca), self.path(files.certificate), self.path(files.key))

    def reveal(self, secret: Reference, environ: Mapping[str, str]) -> str:
        """A secret's value. Raises ConfigurationError when it is not there."""
        try:
            return Secret(file=secret.file, env=secret.env).reveal(self.file.parent, environ)
        except ConfigurationError as error:
            raise ConfigurationError(error.args[0], file=str(self.file), hint=error.hint) from None


SourceKinds = Mapping[str, type[msgspec.Struct]]
"""Kinds of `[[source]]` and the struct of each; None leaves those tables to whoever makes the sources."""


def load(path: Path, environ: Mapping[str, str], kinds: SourceKinds | None = None) -> Loaded:
    """Read, override, complete and check a node's file.

    Args:
        path: The file.
        environ: The environment.
        kinds: Kinds of sources that are installed here.

    Raises:
        ConfigurationError: anything about it is wrong; nothing has been touched.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        hint = "headland init DIR makes one" if isinstance(error, FileNotFoundError) else ""
        raise ConfigurationError(str(error.strerror), file=str(path), hint=hint) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError(f"larger than {MAX_FILE_BYTES} bytes", file=str(path))
    config, overridden = parse(data, str(path), environ, kinds)
    tree = read_toml(data, str(path))
    apply_overrides(tree, NodeConfig, environ)
    return Loaded(config, path.resolve(), file_digest(data), overridden, tree)


def file_digest(data: bytes) -> str:
    """BLAKE2b-128 of a file's bytes, hex."""
    return blake2b(data, digest_size=16).hexdigest()


def parse(
    data: bytes, file: str, environ: Mapping[str, str], kinds: SourceKinds | None = None
) -> tuple[NodeConfig, tuple[str, ...]]:
    """The configuration in a file's bytes, and the keys that the environment has set.

    Raises:
        ConfigurationError: anything about it is wrong.
    """
    tree = read_toml(data, file)
    overridden = apply_overrides(tree, NodeConfig, environ)
    try:
        return build(tree, kinds), overridden
    except ConfigurationError as error:
        raise _placed(error, file, data.decode(), overridden) from None


def read_toml(data: bytes, file: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"not UTF-8 text at byte {error.start}", file=file) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"not TOML: {error}", file=file) from None
    except RecursionError:
        raise ConfigurationError("nested too deeply", file=file) from None


def build(tree: dict[str, Any], kinds: SourceKinds | None = None) -> NodeConfig:
    """The configuration in a tree of TOML values.

    Raises:
        ConfigurationError: with the path of the mistake, without a file.
    """
    mistake = first_unknown_key(NodeConfig, tree) or first_impossible_number(tree)
    if mistake is not None:
        raise mistake
    completed = _with_defaults(tree)
    try:
        config = msgspec.convert(completed, NodeConfig, strict=True)
    except (msgspec.ValidationError, HeadlandError) as error:
        raise explain(error, NodeConfig, completed) from None
    check(config)
    if kinds is not None:
        for i, table in enumerate(config.source):
            check_source(f"source[{i}]", table, kinds)
    return config


def check_source(path: str, table: dict[str, Any], kinds: SourceKinds) -> None:
    """Raise ConfigurationError unless a `[[source]]` table fits the struct of its kind."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        near = difflib.get_close_matches(str(kind), list(kinds), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(sorted(kinds))}"
        said = "missing" if kind is None else f"unknown kind of source {kind!r}"
        raise ConfigurationError(said, path=f"{path}.kind", hint=hint)
    settings = {key: value for key, value in table.items() if key not in ("kind", "name")}
    struct = kinds[kind]
    mistake = first_unknown_key(struct, settings)
    if mistake is None:
        try:
            msgspec.convert(settings, struct, strict=True)
        except (msgspec.ValidationError, HeadlandError) as error:
            mistake = explain(error, struct, settings)
    if mistake is not None:
        inner = f"{path}.{mistake.path}" if mistake.path else path
        raise ConfigurationError(mistake.args[0], path=inner, hint=mistake.hint)


def _with_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree over its tier's row of defaults; the tree itself is not changed."""
    section = tree.get("node")
    named = section.get("tier", Tier.LOCAL) if isinstance(section, dict) else Tier.LOCAL
    if named not in set(Tier):
        return tree
    completed = dict(tree)
    for path, value in DEFAULTS[Tier(named)].items():
        outer, key = path.split(".")
        inner = completed.get(outer, {})
        if isinstance(inner, dict):
            completed[outer] = {key: value, **inner}
    return completed


def _placed(
    error: ConfigurationError, file: str, text: str, overridden: tuple[str, ...]
) -> ConfigurationError:
    """The same error with its file, and the line where the key stands there."""
    if error.path in overridden:
        variable = PREFIX + error.path.upper().replace(".", "__").replace("[", "__").replace("]", "")
        return ConfigurationError(error.args[0], file="environment", path=variable, hint=error.hint)
    line = line_of(text, error.path) if error.path else None
    return ConfigurationError(
        error.args[0], file=f"{file}:{line}" if line else file, path=error.path, hint=error.hint
    )
