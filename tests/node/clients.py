"""Clients that are not ours (paho-mqtt), and bytes by hand, over TCP, TLS and WebSocket."""

from __future__ import annotations

import queue
import socket
import ssl
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Request

V311, V5 = 4, 5
WAIT_S = 15.0
PASSWORD = "a password of the tests"


class Tls:
    """What a client needs for TLS: whom it trusts, and what it shows."""

    def __init__(self, ca: Path, certificate: Path | None = None, key: Path | None = None) -> None:
        self.ca, self.certificate, self.key = ca, certificate, key

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


class Paho:
    """paho in a thread of its own, its callbacks as queues."""

    def __init__(
        self,
        port: int,
        name: str,
        version: int = V5,
        *,
        web: bool = False,
        tls: Tls | None = None,
        user: tuple[str, str] | None = None,
        lasting: bool = False,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        clean = {"clean_session": not lasting} if version == V311 else {}
        self.mqtt = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=paho.MQTTv5 if version == V5 else paho.MQTTv311,
            transport="websockets" if web else "tcp",
            reconnect_on_failure=False,
            **clean,
        )
        if tls is not None:
            self.mqtt.tls_set_context(tls.context())
        if user is not None:
            self.mqtt.username_pw_set(*user)
        if will is not None:
            self.mqtt.will_set(*will, qos=1)
        self._options: dict[str, Any] = {}
        if version == V5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 600 if lasting else 0
            self._options = {"clean_start": not lasting, "properties": properties}
        self.port = port
        self.messages: queue.Queue[Any] = queue.Queue()
        self.connected: queue.Queue[Any] = queue.Queue()
        self.ended: queue.Queue[Any] = queue.Queue()
        self.subscribed: queue.Queue[Any] = queue.Queue()
        self.mqtt.on_message = lambda _c, _u, message: self.messages.put(message)
        self.mqtt.on_connect = lambda _c, _u, flags, reason, _p: self.connected.put((flags, reason))
        self.mqtt.on_disconnect = lambda _c, _u, _f, reason, _p: self.ended.put(reason)
        self.mqtt.on_subscribe = lambda _c, _u, _m, reasons, _p: self.subscribed.put(reasons)

    def __enter__(self) -> Self:
        _, reason = self.connect()
        assert reason == 0, reason
        return self

    def __exit__(self, *_: object) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()

    def connect(self) -> Any:
        """(flags, reason) of CONNACK."""
        self.mqtt.connect("127.0.0.1", self.port, keepalive=60, **self._options)
        self.mqtt.loop_start()
        return self.connected.get(timeout=WAIT_S)

    def vanish(self) -> None:
        """The network is gone, without a word."""
        self.mqtt.loop_stop()
        sock = self.mqtt.socket()
        if sock is not None:
            sock.close()

    def subscribe(self, filter_: str, qos: int = 1) -> list[int]:
        """Granted levels, or reasons."""
        self.mqtt.subscribe(filter_, qos)
        return [reason.value for reason in self.subscribed.get(timeout=WAIT_S)]

    def publish(
        self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False
    ) -> paho.MQTTMessageInfo:
        """Send, without waiting."""
        return self.mqtt.publish(topic, payload, qos, retain=retain)

    def settle(self, *infos: paho.MQTTMessageInfo) -> None:
        """Wait until the node has acknowledged them."""
        for info in infos:
            info.wait_for_publish(WAIT_S)
            assert info.is_published()

    def take(self, count: int) -> list[Any]:
        """The next messages."""
        return [self.messages.get(timeout=WAIT_S) for _ in range(count)]


class Raw:
    """Bytes on a TCP connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self.socket.settimeout(WAIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, count: int) -> bytes:
        """So many bytes, or fewer where the connection ends before."""
        data = b""
        while len(data) < count and (part := self._some(count - len(data))):
            data += part
        return data

    def rest(self) -> bytes:
        """Everything until the node closes. A node that does not makes this fail."""
        data = b""
        while part := self._some(65_536):
            data += part
        return data

    def _some(self, count: int) -> bytes:
        try:
            return self.socket.recv(count)
        except ConnectionResetError:
            return b""


class RawWeb(Raw):
    """Bytes in binary frames of a WebSocket; `read` and `rest` are of the payload."""

    def __init__(self, port: int, path: str = "/mqtt") -> None:
        super().__init__(port)
        self.wire = WSConnection(ConnectionType.CLIENT)
        self.code: int | None = None
        """Of the closing frame that came."""
        self._data = b""
        self._ended = False
        self.socket.sendall(self.wire.send(Request(host="127.0.0.1", target=path, subprotocols=["mqtt"])))
        self.accepted = False
        while not self.accepted and not self._ended:
            self._pull()

    def send(self, data: bytes) -> None:
        self.socket.sendall(self.wire.send(BytesMessage(data=data)))

    def _pull(self) -> None:
        part = super()._some(65_536)
        if not part:
            self._ended = True
            return
        self.wire.receive_data(part)
        for event in self.wire.events():
            if isinstance(event, AcceptConnection):
                self.accepted = True
            elif isinstance(event, BytesMessage):
                self._data += bytes(event.data)
            elif isinstance(event, CloseConnection):
                self.code = event.code

    def _some(self, count: int) -> bytes:
        while not self._data and not self._ended:
            self._pull()
        part, self._data = self._data[:count], self._data[count:]
        return part
