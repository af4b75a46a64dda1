"""Files that a running node reads again: its configuration, the secrets it names, and its certificates.

Looked at every `LOOK_S` seconds, and at once on SIGHUP. They are read on a thread, so that deciding does not
wait for it. A file that is wrong stops nothing: what was in force stays, and the log and the status say why.
A user who is taken away loses its open connections and its sessions at once, and one whose rights shrank
loses what it may no more; open connections stay as they are otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headland.config import Loaded, NodeConfig, Secret, load
from headland.config.changes import Reload, applied, diff
from headland.config.loading import file_digest
from headland.drivers.watch import FileWatch
from headland.mqtt import Claim, Peer, Principal
from headland.node import events as ev
from headland.node.http_api import Api
from headland.node.reloading import settings_of
from headland.node.settings import Base
from headland.sources.registry import configs
from headland.trust.access import Door, Tokens, User, Users
from headland.trust.contexts import CertificateFiles, link_client, reload
from headland.trust.validity import span
from headland.vocabulary import HeadlandError

if TYPE_CHECKING:
    from headland.node.loop import Runner

LOOK_S = 2.0
RETRY_LOOKS = 5
"""A file that was refused is read again every so many looks: what it lacked may have come (a secret)."""


class CurrentUsers:
    """The broker's authenticator, which may be told other users."""

    def __init__(self, users: Users) -> None:
        self.users = users

    def authenticate(
        self, client_id: str, username: str | None, password: bytes | None, peer: Peer
    ) -> Principal | Claim | None:
        """See `headland.trust.access.Users`."""
        return self.users.authenticate(client_id, username, password, peer)

    def proven(self, claim: Claim, right: bool) -> Principal | None:
        """See `headland.trust.access.Users`."""
        return self.users.proven(claim, right)

    def may_publish(self, principal: Principal, topic: str) -> bool:
        """See `headland.trust.access.Users`."""
        return self.users.may_publish(principal, topic)

    def may_subscribe(self, principal: Principal, filter: str) -> bool:  # noqa: A002 - the protocol's word
        """See `headland.trust.access.Users`."""
        return self.users.may_subscribe(principal, filter)

    def holds(self, principal: Principal, peer: Peer | None) -> bool:
        """See `headland.trust.access.Users`."""
        return self.users.holds(principal, peer)


class _Read(msgspec.Struct, frozen=True):
    loaded: Loaded
    config: NodeConfig
    """What the process goes by: the file where that is live, what it started with elsewhere."""
    changes: Reload
    base: Base
    users: Users
    tokens: Tokens


class Watching:
    """Looks after the files of one running node."""

    def __init__(
        self,
        loaded: Loaded,
        runner: Runner,
        users: CurrentUsers,
        api: Api,
        contexts: list[ssl.SSLContext],
        log: Callable[[str, str, dict[str, Any]], None],
        use: Callable[[NodeConfig], None],
    ) -> None:
        """`use` is told a new configuration when it is in force."""
        self._loaded = loaded
        self._config = loaded.config
        self._runner = runner
        self._users = users
        self._api = api
        self._contexts = contexts
        self._log = log
        self._use = use
        self._busy = False
        self._again = False
        self._looks = 0
        self._paths = files_of(loaded)
        self._files = FileWatch(self._paths)
        own = loaded.config.certificates
        self._pem = CertificateFiles(*map(loaded.path, (own.ca, own.certificate, own.key)))
        self._certificates = FileWatch((self._pem.ca, self._pem.certificate, self._pem.key))

    def start(self) -> None:
        """Look from now on; at once if the file has changed since the process read it."""
        self._tell_certificate()
        self._look()
        self._catch_up()

    def reload(self) -> None:
        """Read everything again (SIGHUP)."""
        self._renew()
        self._read()

    def _look(self) -> None:
        if self._certificates.changed():
            self._renew()
        self._looks += 1
        again = self._looks % RETRY_LOOKS == 0 and self._runner.node.parts.reloading.refused
        if not self._busy and (self._files.changed() or again):
            self._read()
        asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _catch_up(self) -> None:
        """Read what has changed between its reading and the beginning of its watch."""
        try:
            changed = file_digest(self._loaded.file.read_bytes()) != self._loaded.digest
        except OSError:
            return
        if changed:
            self._read()

    def _read(self) -> None:
        if self._busy:
            self._again = True  # what is being read may be older than what this was asked for
            return
        self._busy = True
        self._runner.queries.call(self._load, self._loaded_again)

    def _load(self) -> _Read:
        """On a thread."""
        loaded = load(self._loaded.file, os.environ, configs())
        config = applied(self._config, loaded.config)
        return _Read(
            loaded,
            config,
            diff(self._config, loaded.config),
            base_of(loaded, config),
            users_of(loaded, config),
            tokens_of(loaded, config),
        )

    def _loaded_again(self, outcome: _Read | Exception) -> None:
        self._busy = False
        self._take(outcome)
        if self._again:
            self._again = False
            self._read()

    def _take(self, outcome: _Read | Exception) -> None:
        if isinstance(outcome, Exception):
            # Whatever it is: the node goes on as it is, and says so.
            known = isinstance(outcome, HeadlandError | OSError)
            self._runner.feed(
                ev.FileRefused(told(outcome) if known else f"{type(outcome).__name__}: {outcome}")
            )
            return
        changes = outcome.changes
        self._runner.feed(ev.Reconfigure(outcome.base, changes.live, changes.restart))
        if self._runner.node.parts.reloading.refused:
            return
        self._loaded, self._config = outcome.loaded, outcome.config
        paths = files_of(outcome.loaded)
        if paths != self._paths:
            self._paths, self._files = paths, FileWatch(paths)
            self._catch_up()
        other = outcome.users.other_passwords(self._users.users)
        self._users.users = outcome.users
        self._runner.feed(ev.UsersChanged(tuple(sorted(other))))
        self._api.tokens = outcome.tokens
        self._use(outcome.config)

    def _renew(self) -> None:
        """New connections get the renewed certificates; open ones keep theirs."""
        files = self._pem
        if not self._contexts:
            return
        try:
            link_client(files)
            for context in self._contexts:
                reload(context, files)
        except HeadlandError as error:
            self._log("error", "certificates", {"state": "refused", "detail": str(error)})
        else:
            self._log("info", "certificates", {"state": "renewed"})
            self._tell_certificate()

    def _tell_certificate(self) -> None:
        """The core judges how long the certificate is good for, if anything here shows it."""
        if self._contexts:
            with contextlib.suppress(HeadlandError):
                self._runner.feed(ev.Certified(*span(self._pem.certificate)))


def told(error: Exception) -> str:
    """An error in one line, with its hint."""
    hint = getattr(error, "hint", "")
    text = str(error)
    return f"{text} ({hint})" if hint and hint not in text else text


def base_of(loaded: Loaded, config: NodeConfig) -> Base:
    """The file as the core takes it."""
    return Base(settings=settings_of(config), digest=loaded.digest, tree=loaded.tree)


def users_of(loaded: Loaded, config: NodeConfig) -> Users:
    """Users and doors of the MQTT listeners.

    Raises:
        ConfigurationError: A secret is not there.
    """
    users = [
        User(
            one.name,
            loaded.reveal(one.password, os.environ) if one.password is not None else "",
            one.publish,
            one.subscribe,
        )
        for one in config.user
    ]
    doors = {
        one.name: Door(one.anonymous, one.client_certificates != "none", one.certificate_names)
        for one in config.listen
    }
    return Users(users, doors, time.monotonic)


def tokens_of(loaded: Loaded, config: NodeConfig) -> Tokens:
    """Bearer tokens of the HTTP listener.

    Raises:
        ConfigurationError: A secret is not there, or too short.
    """
    return Tokens(
        {loaded.reveal(one.token, os.environ): (one.name, frozenset(one.may)) for one in config.http.token}
    )


def files_of(loaded: Loaded) -> list[Path]:
    """The file itself and the secrets that it names."""
    secrets: list[Secret | None] = [one.password for one in loaded.config.user]
    secrets += [one.token for one in loaded.config.http.token]
    return [loaded.file, *(loaded.path(one.file) for one in secrets if one is not None and one.file)]
