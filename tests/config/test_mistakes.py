"""A mistake in the configuration is one error that names file, line, key and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from headland.config import Secret, load, parse
from headland.config.checking import source_name
from headland.config.loading import MAX_FILE_BYTES
from headland.config.positions import index, line_of
from headland.sources.registry import built_in
from headland.vocabulary import ConfigurationError

KINDS = {one.kind: one.config for one in built_in()}
NODE = '[node]\nname = "n"\n'
ACT = NODE + '[[rule]]\nname = "a"\nwhen = { kind = "threshold", above = 1.0 }\nact = ['


def mistake(text: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse(text.encode(), "node.toml", environ or {}, KINDS)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # An unknown key, and the nearest name.
        (NODE + "[[listen]]\nprot = 1", "node.toml:4: listen[0].prot: unknown key (did you mean port?)"),
        (NODE + "[lnk]", "node.toml:3: lnk: unknown key (did you mean link?)"),
        (
            NODE + "colour = 1",
            "node.toml:3: node.colour: unknown key (node has data_dir, labels, name, site, tenant, tier)",
        ),
        # A wrong unit.
        (
            NODE + "[[listen]]\ntls_handshake_ms = 5",
            "node.toml:4: listen[0].tls_handshake_ms: unknown key (it is tls_handshake_s, in seconds)",
        ),
        (
            NODE + "[classes.high]\nttl_hours = 5",
            "node.toml:4: classes.high.ttl_hours: unknown key (it is ttl_s, in seconds)",
        ),
        (
            NODE + "[disk]\nbudget_gb = 5",
            "node.toml:4: disk.budget_gb: unknown key (it is budget_bytes, in bytes)",
        ),
        (
            NODE + '[classes.high]\nttl_s = "5 h"',
            "classes.high.ttl_s: expected a number, got text (write the number alone, in seconds)",
        ),
        # A wrong type, a value out of bounds, a choice that is none.
        (NODE + '[http]\nport = "x"', "node.toml:4: http.port: expected a whole number, got text"),
        (NODE + "[http]\nport = 65536", "node.toml:4: http.port: expected a whole number <= 65535"),
        (NODE + "[http]\nport = true", "node.toml:4: http.port: expected a whole number, got true or false"),
        (
            NODE + 'tier = "devise"',
            "node.toml:3: node.tier: invalid enum value 'devise' (did you mean 'device'?)",
        ),
        (
            NODE + '[[series]]\nname = "a"\nfilter = { kind = "dedband" }',
            "node.toml:5: series[0].filter.kind: invalid value 'dedband' (did you mean 'deadband'?)",
        ),
        ("[node]\nname = 5", "node.toml:2: node.name: expected text, got a whole number"),
        ('[node]\nname = "../x"', "node.toml:2: node.name: '../x' has not the right form"),
        (NODE + 'labels = { site = "x" }', "node.toml:3: node.labels.site: a key of its own"),
        (NODE + 'tenant = "A corp"', "node.toml:3: node.tenant: 'A corp' has not the right form"),
        (NODE + 'labels = { "" = "x" }', "node.toml:3: node.labels: the name of a label has 1 to 63"),
        (
            NODE + "[formats]\nmax_labels = 64",
            "formats.max_labels: with those of [node] more than the 64 labels",
        ),
        # Numbers that no node can mean.
        (
            NODE + "[decide]\nbudget_ms = inf",
            "node.toml:4: decide.budget_ms: inf is no number that can be meant",
        ),
        (NODE + '[[mapping]]\ntopic = "a"\ninterval_s = 1e300', "mapping[0].interval_s: 1e+300 is too large"),
        (
            NODE + '[[series]]\nname = "a"\nfilter = { kind = "summary", window_s = 1e300 }',
            "node.toml:5: series[0].filter.window_s: 1e+300 is too large (at most 3.2e+09)",
        ),
        (NODE + "[classes.low]\nbackoff_factor = 1e9", "classes.low.backoff_factor: 1e+09 is too large"),
        (
            NODE + '[[rule]]\nname = "a"\nwhen = { kind = "threshold", above = nan }',
            "rule[0].when.above: nan is no number that can be meant",
        ),
        (
            NODE + "[disk]\nbudget_bytes = 9223372036854775808",
            "disk.budget_bytes: a whole number beyond 64 bits",
        ),
        (NODE + '[[source]]\nkind = "host"\nevery_s = inf', "source[0].every_s: "),
        # Structure.
        ("", "node.toml: node: missing"),
        ('[node]\nsite = "x"', "node.toml:1: node.name: missing"),
        ('node = "x"', "node.toml:1: node: expected a table, got text"),
        (NODE + "[listen]\nport = 1", "node.toml:3: listen: expected a list, got a table"),
        (NODE + "x =", "node.toml: not TOML: Invalid value"),
        # A name twice.
        (
            NODE + '[[user]]\nname = "a"\n\n[[user]]\nname = "a"',
            "node.toml:7: user[1].name: the name 'a' is taken by user[0] (names are unique)",
        ),
        (
            NODE + '[[series]]\nname = "default"\n',
            "the name 'default' is taken by series[0]",
        ),
        (
            NODE + '[[source]]\nkind = "host"\n[[source]]\nkind = "host"',
            "source[1].name: the name 'host' is taken",
        ),
        # A check of a struct of its own.
        (
            NODE + '[[series]]\nname = "a"\nmatch = "{"',
            "node.toml:3: series[0]: pattern '{': a brace is not closed",
        ),
        (
            NODE + '[[series]]\nname = "a"\nfilter = { kind = "deadband", ratio = -1.0 }',
            "node.toml:5: series[0].filter.ratio: ratio must be a finite number of 0 or more",
        ),
        (
            NODE + '[[rule]]\nname = "a"\nwhen = { kind = "threshold" }',
            "node.toml:5: rule[0].when.above: a threshold without a bound",
        ),
        # What a start would build.
        (
            NODE + '[[rule]]\nname = "a"\nwhen = { kind = "cel", expression = "value >" }',
            "node.toml:5: rule[0].when.expression: rule 'a': ",
        ),
        (
            NODE + '[[rule]]\nname = "a"\nwhen = { kind = "cel", expression = "speed > 1" }',
            "node.toml:5: rule[0].when.expression: rule 'a': unknown name speed (names are age_s, ",
        ),
        (
            NODE + '[[rule]]\nname = "a"\nwhen = { kind = "cel", expression = "value + 1.0" }',
            "node.toml:5: rule[0].when.expression: the expression gives float, not true or false (compare it",
        ),
        (
            NODE + '[[series]]\nname = "a"\nfilter = { kind = "plugin", use = "no.such:Filter" }',
            "node.toml:5: series[0].filter.use: no filter 'no.such:Filter'",
        ),
        (
            NODE + '[[mapping]]\ntopic = "a/{b}"\nvalue = "$.["',
            "node.toml:5: mapping[0].value: not a JSON path",
        ),
        (NODE + '[[mapping]]\ntopic = "a/#/b"', "node.toml:4: mapping[0].topic: `#` must be the last level"),
        (ACT + '{ kind = "mqtt", target = "stop/#" }]', "node.toml:6: rule[0].act[0].target: 'stop/#' is no"),
        (ACT + '{ kind = "http", target = "bell" }]', "node.toml:6: rule[0].act[0].target: 'bell' is no URL"),
        (
            ACT + '{ kind = "mqtt", target = "stop/{nmae}" }]',
            "node.toml:6: rule[0].act[0].target: {nmae} stands for nothing (did you mean {name}? there are ",
        ),
        (
            ACT + '{ kind = "mqtt", target = "stop", payload = "{machine}" }]',
            "node.toml:6: rule[0].act[0].payload: {machine} stands for nothing (there are ",
        ),
        (
            ACT + '{ kind = "command", target = "/bin/{name}" }]',
            "node.toml:6: rule[0].act[0].target: which program is run is not for a device to say",
        ),
        (
            ACT + '{ kind = "command", target = "/bin/stop", arguments = ["-x", "{valeu}"] }]',
            "node.toml:6: rule[0].act[0].arguments[1]: {valeu} stands for nothing (did you mean {value}?",
        ),
        (
            ACT + '{ kind = "http", target = "http://{label.host}/stop" }]',
            "node.toml:6: rule[0].act[0].target: which server is called is not for a device to say",
        ),
        (
            ACT + '{ kind = "http", target = "http://me:secret@plc/stop" }]',
            "node.toml:6: rule[0].act[0].target: a user or password stands in the URL (rules travel north;",
        ),
        (
            ACT + '{ kind = "http", target = "http://plc/stop", authorization = "Bearer x" }]',
            "rule[0].act[0].authorization: a secret is never written here (write { file",
        ),
        (
            ACT + '{ kind = "mqtt", target = "stop", authorization = { env = "X" } }]',
            "rule[0].act[0].authorization: only http is authorized so",
        ),
        (
            NODE + '[[rule]]\nname = "a"\nmatch = "{key}/t"\nwhen = { kind = "silence" }',
            "rule[0].match: {key} is a word of acts (capture it by another name)",
        ),
        (
            NODE + '[[series]]\nname = "a"\nmatch = "{machine}/t"\ngroup = "{machin}"',
            "series[0].group: {machin} stands for nothing (did you mean {machine}?",
        ),
        # What would make no sense.
        (
            NODE + '[link.parent]\nhost = "h"\nname = "site/n"',
            "node.toml:5: link.parent.name: a node cannot be its own parent",
        ),
        (
            NODE + "[classes.critical]\nttl_s = 60",
            "node.toml:4: classes.critical.ttl_s: critical rows never expire (leave it out, or 0)",
        ),
        # Sources.
        (
            NODE + '[[source]]\nkind = "logs"\npaths = ["x"]\nstarts = "("',
            "node.toml:6: source[0].starts: no regular expression",
        ),
        (
            NODE + '[[source]]\nkind = "hots"',
            "source[0].kind: unknown kind of source 'hots' (did you mean 'host'?)",
        ),
        (NODE + "[[source]]\nevery_s = 1", "source[0].kind: missing"),
        (
            NODE + '[[source]]\nkind = "host"\nevery_ms = 1',
            "source[0].every_ms: unknown key (it is every_s, in seconds)",
        ),
        (
            NODE + '[[source]]\nkind = "host"\nevery_s = 0',
            "node.toml:5: source[0].every_s: expected a number > 0",
        ),
        # Doors left open.
        (
            NODE + '[[listen]]\naddress = "0.0.0.0"',
            "beyond loopback (use TLS and users, bind 127.0.0.1, or write insecure = true)",
        ),
        (
            NODE + '[[listen]]\naddress = "::"\ntransport = "tls"\nanonymous = true',
            "node.toml:6: listen[0].anonymous: anonymous clients on ::, beyond loopback",
        ),
        (NODE + '[http]\naddress = "10.0.0.1"', "http.transport: plaintext on 10.0.0.1, beyond loopback"),
        (NODE + "[[listen]]", "listen[0]: nobody may connect: there are no users"),
        (
            NODE + '[[listen]]\nanonymous = true\nclient_certificates = "required"',
            "node.toml:5: listen[0].client_certificates: client certificates need TLS",
        ),
        (
            NODE + "[[listen]]\nanonymous = true\nport = 8480",
            "node.toml: http.port: port 8480 is taken by listen[0]",
        ),
        # Secrets.
        (
            NODE + '[[user]]\nname = "a"\npassword = "geheim"',
            'password: a secret is never written here (write { file = "..." } or { env = "..." })',
        ),
        (
            NODE + '[[user]]\nname = "a"\npassword = { file = "x", env = "Y" }',
            "user[0].password: a secret is either { file = ... } or { env = ... }",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_way_out(text: str, said: str) -> None:
    heard = mistake(text)
    assert heard.startswith(said) or said in heard
    assert heard.startswith("node.toml")
    assert "\n" not in heard
    assert "geheim" not in heard


def test_insecure_by_name_opens_the_door() -> None:
    opened = '[[listen]]\naddress = "0.0.0.0"\nanonymous = true\ninsecure = true\n'
    config, _ = parse((NODE + opened).encode(), "node.toml", {})
    assert config.listen[0].insecure


def test_plaintext_and_anonymous_are_fine_on_loopback() -> None:
    for address in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        parse((NODE + f'[[listen]]\naddress = "{address}"\nanonymous = true\n').encode(), "node.toml", {})


def test_a_file_that_is_no_text_or_endless_or_absent_is_refused(tmp_path: Path) -> None:
    assert mistake_of(tmp_path / "absent.toml") == "No such file or directory"
    path = tmp_path / "node.toml"
    path.write_bytes(b"\xff\xfe")
    assert mistake_of(path) == "not UTF-8 text at byte 0"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert "larger than" in mistake_of(path)


def mistake_of(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert caught.value.file == str(path)
    return str(caught.value.args[0])


def test_a_variable_overrides_the_file_and_the_file_the_tier() -> None:
    text = NODE + "[decide]\nbudget_ms = 3.0\n[[listen]]\nanonymous = true\n"
    environ = {
        "HEADLAND__NODE__TIER": "cloud",
        "HEADLAND__LISTEN__0__PORT": "1999",
        "headland__ledger__currency": "USD",
        "HEADLAND__NODE__LABELS__HALL": "2",
        "HEADLAND__LINK__LISTEN__PORT": "9000",
        "HEADLAND__LINK__LISTEN__CHILDREN": '["site/*"]',
        "HEADLAND_PURE": "1",
    }
    config, overridden = parse(text.encode(), "node.toml", environ)
    assert config.listen[0].port == 1999
    assert config.decide.budget_ms == 3.0
    assert config.mqtt.connections_max == 20_000
    assert config.ledger.currency == "USD"
    assert config.node.labels == {"hall": "2"}
    assert config.node.series_labels == (("hall", "2"), ("site", "site"))
    assert config.link.listen is not None
    assert config.link.listen.children == ("site/*",)
    assert len(overridden) == 6


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HEADLAND__NOD__TIER", "x", "the configuration has no key 'nod' (did you mean NODE?)"),
        ("HEADLAND__NODE__TIRE", "x", "node has no key 'tire' (did you mean TIER?)"),
        ("HEADLAND__NODE__TIER", "clowd", "invalid enum value 'clowd' (did you mean 'cloud'?)"),
        ("HEADLAND__LISTEN__3__PORT", "1", "listen has 0 elements, counted from 0"),
        ("HEADLAND__HTTP__PORT", "many", "expected a whole number, got text"),
        ("HEADLAND__NODE__NAME__X", "1", "node.name is a single value"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str, said: str) -> None:
    text = NODE + "listen = []\n" if "LISTEN" in name else NODE
    text = "listen = []\n" + NODE if "LISTEN" in name else text
    heard = mistake(text, {name: value})
    assert heard.startswith(f"environment: {name}: ")
    assert said in heard


def test_a_secret_is_read_from_where_it_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("s3cret\n")
    (tmp_path / "empty").write_text("\n")
    assert Secret(file="one").reveal(tmp_path, {}) == "s3cret"
    assert Secret(env="TOKEN").reveal(tmp_path, {"TOKEN": "s3cret"}) == "s3cret"
    for secret in (Secret(file="none"), Secret(file="empty"), Secret(env="TOKEN")):
        with pytest.raises(ConfigurationError) as caught:
            secret.reveal(tmp_path, {})
        assert "s3cret" not in str(caught.value)


def test_positions_are_found_through_tables_arrays_and_dotted_keys() -> None:
    text = 'a.b = 1\n[c]\n"d e" = 1\n[[f]]\ng = 1\n[[f.h]]\ni = 1\n[[f]]\n[[f.h]]\n[[f.h]]\ni = 2\n'
    text += "[f.j]\nk = 1 # [x]\n"
    assert index(text) == {
        "a.b": 1,
        "c": 2,
        "c.d e": 3,
        "f[0]": 4,
        "f[0].g": 5,
        "f[0].h[0]": 6,
        "f[0].h[0].i": 7,
        "f[1]": 8,
        "f[1].h[0]": 9,
        "f[1].h[1]": 10,
        "f[1].h[1].i": 11,
        "f[1].j": 12,
        "f[1].j.k": 13,
    }
    assert line_of(text, "f[1].h[1].i.deeper[2]") == 11
    assert line_of(text, "z") is None


def test_the_name_of_a_source_does_not_hang_on_its_place_in_the_file() -> None:
    """Kills: positions that another source inherits when one above it is taken out."""
    assert source_name({"kind": "replay"}) == "replay"
    assert source_name({"kind": "replay", "name": "day"}) == "day"
