"""Could a node run from this file, here and now? Looks with the node's own code and changes nothing.

Each finding is one of ok, advice (it runs, but look), broken (it would not run, or not as meant) and skipped
(could not be looked at, and why). A parent that does not answer is a normal day: advice.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from headland.config.apportioning import RESERVE_SHARE, apportion
from headland.config.loading import Loaded
from headland.drivers.clock import disciplined
from headland.drivers.disk import InUse, RealDisk, check_owner, holder_of, owner_of
from headland.drivers.keys import is_private
from headland.journal import JournalConfig, recover
from headland.line.deciding.actuation import PROGRAMS
from headland.line.deciding.rules import Reference
from headland.trust import authority, contexts
from headland.trust.access import Tokens
from headland.trust.identity import expect, parse_uri
from headland.trust.passwords import check_form, is_hash
from headland.vocabulary import ConfigurationError, HeadlandError, StorageDamage

DIAL_S = 3.0
ALERT_S = 1.0
EXPIRES_SOON_DAYS = 30
LITTLE_DISK_BYTES = 512 * 1024 * 1024

Outcome = Literal["ok", "advice", "broken", "skipped"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "advice", "broken", "skipped")


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: what it is, how it stands, in words, and what to do."""

    about: str
    outcome: Outcome
    text: str
    hint: str = ""


def examine(loaded: Loaded, environ: Mapping[str, str], now: float) -> list[Finding]:
    """Everything there is to say; `now` is UTC in seconds since 1970."""
    findings = [Finding("configuration", "ok", f"{loaded.file} ({loaded.digest[:12]})")]
    running = _data_directory(loaded, findings)
    _certificates(loaded, findings, now)
    _durability(loaded, findings)
    _programs(loaded, findings)
    _secrets(loaded, environ, findings)
    _ports(loaded, findings, running=running)
    _parent(loaded, findings)
    _disk(loaded, findings)
    _machine(findings)
    return findings


def _data_directory(loaded: Loaded, findings: list[Finding]) -> bool:
    """Adds findings; True when this node is running from the directory."""
    path, identity = loaded.data_dir, str(loaded.config.identity)
    about = "data directory"
    refused = _unusable(path)
    if refused:
        findings.append(Finding(about, "broken", refused, "the node needs to own it and to write in it"))
        return False
    if not (path / "format").exists():
        text = f"{path}, nothing in it yet" if path.exists() else f"{path} will be made"
        findings.append(Finding(about, "ok", text))
        return False
    try:
        disk = RealDisk(path)
    except InUse as error:
        if owner_of(path) == identity:
            text = f"{path} is in use by this node, process {holder_of(path)}"
            findings.append(Finding(about, "advice", text, "what a running node holds is not looked into"))
            return True
        findings.append(Finding(about, "broken", str(error.args[0]), error.hint))
        return False
    except ConfigurationError as error:
        findings.append(Finding(about, "broken", f"{path}: {error.args[0]}", error.hint))
        return False
    try:
        check_owner(path, identity)
        findings.append(Finding(about, "ok", str(path)))
        _log(disk, loaded.config.journal_sizes, findings)
    except ConfigurationError as error:
        findings.append(Finding(about, "broken", f"{path}: {error.args[0]}", error.hint))
    finally:
        disk.close()
    return False


def _unusable(path: Path) -> str:
    """Why a node cannot have its data directory here, or "". What it tries is taken back."""
    place = next(one for one in (path, *path.parents) if os.path.lexists(one))
    if not place.is_dir():
        return f"{place} is no directory"
    try:
        Path(tempfile.mkdtemp(prefix=".headland-", dir=place)).rmdir()
    except OSError as error:
        return f"{place} cannot be written: {error.strerror}"
    return ""


def _log(disk: RealDisk, sizes: JournalConfig, findings: list[Finding]) -> None:
    """Reads the log as a start would, and executes nothing of what the start would do."""
    try:
        found = recover(disk, sizes)
        commits = sum(1 for _ in found.frames())
    except (OSError, StorageDamage) as error:
        hint = error.hint if isinstance(error, StorageDamage) else ""
        findings.append(Finding("log", "broken", f"cannot be read: {error}", hint))
        return
    snapshot = len(found.checkpoint or b"")
    worst_bytes = snapshot + max(sizes.checkpoint_log_bytes, sizes.checkpoint_ratio * snapshot)
    findings.append(
        Finding(
            "log",
            "ok",
            f"{commits} commits after a checkpoint of {snapshot / 1e6:.1f} MB; "
            f"a restart reads at most {worst_bytes / 1e6:.0f} MB",
        )
    )
    findings += [
        Finding(
            "log", "broken", f"damaged {one.what}: {one.detail}", "what is missing has a tombstone `corrupt`"
        )
        for one in found.damage
    ]


def _certificates(loaded: Loaded, findings: list[Finding], now: float) -> None:
    config = loaded.config
    wanted = (
        config.link.listen is not None
        or config.link.parent is not None
        or any(one.transport in ("tls", "wss") for one in config.listen)
        or (config.http.enabled and config.http.transport == "tls")
    )
    if not wanted:
        findings.append(Finding("certificates", "skipped", "nothing in this file uses them"))
        return
    files = loaded.certificates
    try:
        contexts.link_server(files)
        identity, not_after = authority.judge(files.certificate, now)
        authority.judge_signature(files.certificate, files.ca)
    except HeadlandError as error:
        findings.append(Finding("certificates", "broken", str(error), error.hint))
        return
    if identity != config.identity:
        findings.append(
            Finding(
                "certificates",
                "broken",
                f"{files.certificate} names {identity or 'no node'}, this file {config.identity}",
            )
        )
        return
    days = int((not_after - now) / 86_400)
    outcome: Outcome = "advice" if days < EXPIRES_SOON_DAYS else "ok"
    findings.append(Finding("certificates", outcome, f"{identity}, for another {days} days"))
    if not is_private(files.key):
        findings.append(
            Finding("private key", "advice", f"others can read {files.key}", f"chmod 600 {files.key}")
        )


def _durability(loaded: Loaded, findings: list[Finding]) -> None:
    """Which series are volatile, by name: of them an acknowledgement does not mean "on disk"."""
    rules = loaded.config.rules
    if not rules.volatile:
        findings.append(Finding("durability", "ok", "every acknowledgement means on disk"))
    findings += [
        Finding(
            "durability",
            "advice",
            f"rule {rule.name!r}: series that fit {rule.match!r} are volatile",
            "acknowledged is received, not stored: what is held is lost in a crash, derived rows are not",
        )
        for rule in rules.volatile
    ]
    findings += [Finding("durability", "advice", warning) for warning in rules.warnings()]


def _programs(loaded: Loaded, findings: list[Finding]) -> None:
    """Whether the programs that rules run are there; looked for where the node would."""
    findings += [
        Finding(
            f"program of rule {rule.name}",
            "broken",
            f"{act.target} is not there, or cannot be run",
            "write its whole path" if "/" not in act.target else "",
        )
        for rule in loaded.config.rule
        for act in rule.act
        if act.kind == "command" and shutil.which(act.target, path=PROGRAMS) is None
    ]


def _secrets(loaded: Loaded, environ: Mapping[str, str], findings: list[Finding]) -> None:
    secrets: list[tuple[str, Reference, Callable[[str], object]]] = [
        (f"password of {user.name}", user.password, _check_password)
        for user in loaded.config.user
        if user.password is not None
    ]
    secrets += [
        (f"token of {token.name}", token.token, lambda text: Tokens({text: ("it", frozenset())}))
        for token in loaded.config.http.token
    ]
    secrets += [
        (f"authorization of rule {rule.name}", act.authorization, str)
        for rule in loaded.config.rule
        for act in rule.act
        if act.authorization is not None
    ]
    for about, secret, check in secrets:
        try:
            check(loaded.reveal(secret, environ))
        except ConfigurationError as error:
            findings.append(Finding(about, "broken", str(error), error.hint))
            continue
        exposed = secret.file and not is_private(loaded.path(secret.file))
        findings.append(
            Finding(about, "advice", f"others can read {loaded.path(secret.file)}", "chmod 600")
            if exposed
            else Finding(about, "ok", "there")
        )


def _check_password(text: str) -> None:
    if is_hash(text):
        check_form(text)


def _ports(loaded: Loaded, findings: list[Finding], *, running: bool) -> None:
    config = loaded.config
    places = [(f"listener {one.name}", one.address, one.port) for one in config.listen]
    if config.http.enabled:
        places.append(("http", config.http.address, config.http.port))
    if config.link.listen is not None:
        places.append(("link", config.link.listen.address, config.link.listen.port))
    for about, address, port in places:
        if running:
            findings.append(Finding(about, "skipped", f"{address}:{port}, a node seems to be running"))
            continue
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            findings.append(Finding(about, "broken", f"{address}:{port}: {error.strerror or error}"))
        else:
            findings.append(Finding(about, "ok", f"{address}:{port}"))


def _parent(loaded: Loaded, findings: list[Finding]) -> None:
    parent = loaded.config.link.parent
    if parent is None:
        findings.append(Finding("parent", "skipped", "none: this node is the root"))
        return
    place = f"{parent.name} at {parent.host}:{parent.port}"
    wanted = expect(parse_uri(f"spiffe://headland/{parent.name}"))
    try:
        context = contexts.link_client(loaded.certificates)
        with (
            socket.create_connection((parent.host, parent.port), DIAL_S) as plain,
            context.wrap_socket(plain) as encrypted,
        ):
            wanted(encrypted.getpeercert() or {})
            refused = _refused_after_all(encrypted)
    except (ssl.SSLError, HeadlandError) as error:
        findings.append(Finding("parent", "broken", f"{place}: {error}"))
    except OSError as error:
        findings.append(
            Finding(
                "parent",
                "advice",
                f"{place} does not answer: {error.strerror or error}",
                "it is dialled again",
            )
        )
    else:
        if refused:
            hint = "its log says why: this node's certificate, or its name in link.listen.children"
            findings.append(Finding("parent", "broken", f"{place}: {refused}", hint))
        else:
            findings.append(Finding("parent", "ok", place))


def _refused_after_all(parent: ssl.SSLSocket) -> str:
    """What a parent says against our certificate, under TLS 1.3 after the handshake only; "" for nothing.

    It waits for our first word, so silence is consent.
    """
    parent.settimeout(ALERT_S)
    try:
        return "" if parent.recv(1) else "it ends the connection without a word"
    except TimeoutError:
        return ""
    except ssl.SSLError as error:
        return f"it refuses this node: {(error.reason or str(error)).replace('_', ' ').lower()}"
    except OSError as error:
        return f"it ends the connection: {error.strerror or error}"


def _disk(loaded: Loaded, findings: list[Finding]) -> None:
    """How the disk budget is divided, and whether the file system has room for it."""
    config = loaded.config
    place = next(one for one in (loaded.data_dir, *loaded.data_dir.parents) if one.is_dir())
    free = shutil.disk_usage(place).free
    ours = (
        sum(one.stat().st_blocks * 512 for one in loaded.data_dir.rglob("*"))
        if place == loaded.data_dir
        else 0
    )
    budget = config.disk.budget_bytes or (free + ours) // 2
    try:
        shares = apportion(budget, config.wishes)
    except ConfigurationError as error:
        text = f"{_mb(free)} free: half of it is a budget that no node can work with"
        findings.append(Finding("disk", "broken", text, f"make room: {error.hint}"))
        return
    text = (
        f"{_mb(free)} free; budget {_mb(budget)}: journal {_mb(shares.journal_bytes)} in segments of "
        f"{_mb(shares.segment_bytes)}, files of {_mb(shares.file_bytes)}, "
        f"held back {_mb(shares.held_back_bytes)}"
    )
    if config.disk.budget_bytes > free + ours:
        hint = "the budget is larger than what is free: input is refused before the budget is used up"
        findings.append(Finding("disk", "advice", text, hint))
    elif _given(loaded, "reserve_bytes") and config.disk.reserve_bytes > budget // RESERVE_SHARE:
        hint = f"of disk.reserve_bytes an eighth of the budget counts, {_mb(budget // RESERVE_SHARE)}"
        findings.append(Finding("disk", "advice", text, hint))
    else:
        findings.append(Finding("disk", "advice" if free < LITTLE_DISK_BYTES else "ok", text))


def _given(loaded: Loaded, key: str) -> bool:
    disk = loaded.tree.get("disk")
    return isinstance(disk, dict) and key in disk


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 10_000_000 else f"{size / 1e6:.0f} MB"


def _machine(findings: list[Finding]) -> None:
    if disciplined():
        findings.append(Finding("clock", "ok", "kept by NTP"))
        return
    hint = "run chrony, or let the parent say the time"
    findings.append(Finding("clock", "advice", "nothing keeps the clock", hint))


def worst(findings: list[Finding]) -> int:
    """The exit code: 1 if anything is broken, else 0."""
    return int(any(one.outcome == "broken" for one in findings))
