"""Topic names and filters: their rules, and the trie that finds the subscriptions of a topic.

Rules (MQTT 5.0 section 4.7, the same in 3.1.1): a name has at least one character and no wildcard; in a
filter `+` fills a whole level and `#` the last one; neither matches a first level that begins with `$`. A
shared filter is `$share/GROUP/FILTER` (section 4.8.2), GROUP without `/`, `+`, `#`.
"""

from __future__ import annotations

from headland.mqtt.reasons import ProtocolError, Reason


def check_topic(topic: str, levels_max: int) -> None:
    """Refuse what is not a topic name.

    Raises:
        ProtocolError: Empty, with a wildcard or U+0000, or deeper than `levels_max`.
    """
    if not topic:
        raise ProtocolError("empty topic name", Reason.TOPIC_NAME_INVALID, "MQTT-4.7.3-1")
    if "+" in topic or "#" in topic:
        raise ProtocolError("wildcard in a topic name", Reason.TOPIC_NAME_INVALID, "MQTT-3.3.2-2")
    if "\0" in topic:
        raise ProtocolError("U+0000 in a topic name", Reason.MALFORMED_PACKET, "MQTT-4.7.3-2")
    if topic.count("/") >= levels_max:
        raise ProtocolError(f"topic name of more than {levels_max} levels", Reason.TOPIC_NAME_INVALID)
