"""`headland password`: a secret for a device or a person, and the hash to keep."""

from __future__ import annotations

import secrets

import click
import msgspec

from headland.trust.access import quick_hash
from headland.trust.passwords import hash_password


class Made(msgspec.Struct, frozen=True):
    """What `headland password --json` prints. `password` is empty for one that was typed."""

    password: str
    hash: str


@click.command(name="password")
@click.option("--typed", is_flag=True, help="Ask for a password (for a person) and hash it slowly.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(typed: bool, as_json: bool) -> None:
    """Make a password for a device or a token for HTTP, and the hash that the node keeps of it.

    Put the hash into the file that `password = { file = ... }` names. The password itself is shown once.
    """
    if typed:
        text = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        made = Made("", hash_password(text))
    else:
        token = secrets.token_urlsafe(32)
        made = Made(token, quick_hash(token))
    if as_json:
        click.echo(msgspec.json.encode(made).decode())
    else:
        if made.password:
            click.echo(f"password: {made.password}")
        click.echo(f"hash:     {made.hash}")
