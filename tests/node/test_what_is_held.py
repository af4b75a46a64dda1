"""A device node has little memory: it holds no library that its configuration does not need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.node.running import RunningNode, eventually

FOR_OTHERS = {
    "click": "for command lines",
    "cryptography": "for those who make certificates",
    "email": "for HTTP clients, and the search for packages",
    "http.client": "for rules that post",
    "importlib.metadata": "for sources of other packages",
    "psutil": "for the host as a source",
    "headland.sources.recordings": "for recorded data",
}
"""What costs a megabyte or so, and whom it is for."""
IMPORTED = re.compile(r"^import time:[\d |]+?(\S+)$", re.MULTILINE)
REPORTED = {"PYTHONPROFILEIMPORTTIME": "1"}
POSTS = """
[[rule]]
name = "hot"
when = { kind = "threshold", above = 80.0 }
act = [{ kind = "http", target = "http://127.0.0.1:9/alarm" }]
"""


def held(node: RunningNode) -> set[str]:
    """Modules that the process has imported so far."""
    return set(IMPORTED.findall(node.said))


def test_a_device_node_of_the_starting_file_imports_nothing_that_is_for_others(tmp_path: Path) -> None:
    """Kills: a certificate that is shown and makes a library for certificates come, 8 MB."""
    parent = ("--parent", "127.0.0.1:1", "--parent-name", "cloud")
    with RunningNode(tmp_path / "n", "", "device", REPORTED, arguments=parent) as node:
        modules = held(node)
    assert {"headland.node.core", "headland.link.uplink", "headland.trust.validity"} <= modules
    assert not modules & FOR_OTHERS.keys()


@pytest.mark.parametrize(
    ("more", "module"),
    [(POSTS, "headland.sinks.posting"), ('[[source]]\nkind = "host"\n', "psutil")],
    ids=["a rule that posts", "the host as a source"],
)
def test_what_a_configuration_needs_is_there_before_it_is_needed(
    more: str, module: str, tmp_path: Path
) -> None:
    """Kills: the first alarm that waits for an import."""
    with RunningNode(tmp_path / "n", more, "device", REPORTED) as node:
        eventually(lambda: module in held(node))
