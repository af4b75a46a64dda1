"""The second stranger: gmqtt on an event loop in a thread of its own, its callbacks as queues."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Coroutine
from typing import Any, Self

import gmqtt

V311, V5 = 4, 5
WAIT_S = 15.0

logging.getLogger("gmqtt").setLevel(logging.ERROR)


class Message:
    """What gmqtt says of a message that came.

    Attributes:
        properties: As gmqtt names them, each a list; `dup`, `retain` among them.
    """

    def __init__(self, topic: str, payload: bytes, qos: int, properties: dict[str, Any]) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.properties = properties


class Gmqtt:
    """A client that does not come back by itself.

    Attributes:
        messages: What came.
        present: Whether its last CONNACK said that there was a session.
        told: The properties of its last CONNACK.
    """

    def __init__(
        self,
        port: int,
        name: str,
        version: int = V5,
        *,
        lasting: bool = False,
        will: tuple[str, bytes] | None = None,
        user: tuple[str, str] | None = None,
        **properties: Any,
    ) -> None:
        self.port, self.version = port, version
        self.messages: queue.Queue[Message] = queue.Queue()
        self.ended: queue.Queue[bytes] = queue.Queue()
        self.present = False
        self.told: dict[str, Any] = {}
        self._subscribed: queue.Queue[tuple[int, ...]] = queue.Queue()
        self._unsubscribed: queue.Queue[int] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        if version == V5 and lasting:
            properties["session_expiry_interval"] = 600
        self._call(self._make(name, not lasting, will, user, properties))

    async def _make(
        self,
        name: str,
        clean: bool,
        will: tuple[str, bytes] | None,
        user: tuple[str, str] | None,
        properties: dict[str, Any],
    ) -> None:
        last = gmqtt.Message(*will, qos=1) if will is not None else None
        self.mqtt = gmqtt.Client(name, clean_session=clean, will_message=last, **properties)
        self.mqtt.set_config({"reconnect_retries": 0, "reconnect_delay": 0})
        if user is not None:
            self.mqtt.set_auth_credentials(*user)
        self.mqtt.on_connect = self._connected
        self.mqtt.on_message = self._came
        self.mqtt.on_disconnect = lambda _client, packet, **_rest: self.ended.put(packet)
        self.mqtt.on_subscribe = lambda _client, _mid, granted, _properties: self._subscribed.put(granted)
        self.mqtt.on_unsubscribe = lambda _client, mid, *_rest: self._unsubscribed.put(mid)

    def _connected(self, _client: Any, flags: int, _reason: int, properties: dict[str, Any]) -> None:
        self.present, self.told = bool(flags), properties

    def _came(self, _client: Any, topic: str, payload: bytes, qos: int, properties: dict[str, Any]) -> int:
        self.messages.put(Message(topic, bytes(payload), qos, properties))
        return 0

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _do(self, name: str, *arguments: Any, **options: Any) -> Any:
        return getattr(self.mqtt, name)(*arguments, **options)

    def connect(self) -> Self:
        """Connect.

        Raises:
            gmqtt.MQTTConnectError: The server refuses.
        """
        self._call(self.mqtt.connect("127.0.0.1", self.port, keepalive=60, version=self.version))
        return self

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Say goodbye, and end the thread."""
        if self.mqtt._connection is not None:
            self._call(self.mqtt.disconnect())
        self._halt()

    def vanish(self) -> None:
        """The network is gone, without a word."""
        self.mqtt._is_active = False
        self._loop.call_soon_threadsafe(self.mqtt._connection._transport.abort)
        self._call(asyncio.sleep(0.01))
        self._halt()

    def _halt(self) -> None:
        self._call(self._cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    async def _cancel(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def subscribe(self, *wanted: gmqtt.Subscription, **properties: Any) -> list[int]:
        """Granted levels, or reasons."""
        self._call(self._do("subscribe", list(wanted), **properties))
        return list(self._subscribed.get(timeout=WAIT_S))

    def unsubscribe(self, *filters: str) -> None:
        """End subscriptions, and wait for the answer."""
        self._call(self._do("unsubscribe", list(filters)))
        self._unsubscribed.get(timeout=WAIT_S)

    def publish(self, topic: str, payload: bytes, qos: int = 1, **rest: Any) -> None:
        """Send, without waiting."""
        self._call(self._do("publish", topic, payload, qos=qos, **rest))

    def settle(self) -> None:
        """Wait until everything of QoS 1 and 2 has been acknowledged."""
        self._call(self.mqtt._persistent_storage.wait_empty())

    def take(self, count: int) -> list[Message]:
        """The next messages."""
        return [self.messages.get(timeout=WAIT_S) for _ in range(count)]
