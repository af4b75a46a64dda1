"""MQTT 5.0 and 3.1.1, sans-I/O: codec, sessions, topics, retained messages and the broker as a machine.

Source: OASIS MQTT Version 5.0 and Version 3.1.1. The room opens no socket and reads no clock; `surface` says
what the driver owes it. Limits stand in `config.MqttConfig`.
"""

from headland.mqtt.broker import Broker
from headland.mqtt.config import MqttConfig
from headland.mqtt.counters import Counters
from headland.mqtt.packets import Properties
from headland.mqtt.reasons import ProtocolError, Reason
from headland.mqtt.surface import (
    Accept,
    Action,
    Authenticator,
    Claim,
    Close,
    Continue,
    Draft,
    Pause,
    Peer,
    Principal,
    PublishRun,
    Send,
    Verify,
)

__all__ = [
    "Accept",
    "Action",
    "Authenticator",
    "Broker",
    "Claim",
    "Close",
    "Continue",
    "Counters",
    "Draft",
    "MqttConfig",
    "Pause",
    "Peer",
    "Principal",
    "Properties",
    "ProtocolError",
    "PublishRun",
    "Reason",
    "Send",
    "Verify",
]
