"""MQTT over WebSocket (MQTT 5.0 section 6, RFC 6455): the server's layer between a transport and the broker.

Bytes of the transport go in, bytes for the broker and bytes for the transport come out. The broker sees a
stream: frames and packets need not coincide (MQTT-6.0.0-2). Nothing is buffered beyond the opening handshake
(16 KiB) and one frame's header; extensions (compression) are declined. The wire itself is wsproto's, which is
imported by whoever serves WebSocket and by nobody else.
"""

from __future__ import annotations

import msgspec
from wsproto import ConnectionType, WSConnection  # type: ignore[import-not-found,unused-ignore]
from wsproto.connection import ConnectionState  # type: ignore[import-not-found,unused-ignore]
from wsproto.events import (  # type: ignore[import-not-found,unused-ignore]
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import (  # type: ignore[import-not-found,unused-ignore]
    LocalProtocolError,
    RemoteProtocolError,
)

SUBPROTOCOL = "mqtt"
"""The name of the subprotocol, for 3.1.1 and 5.0 alike (MQTT-6.0.0-3, MQTT-6.0.0-4)."""

NORMAL, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED_DATA = 1000, 1001, 1002, 1003


class Taken(msgspec.Struct, frozen=True):
    """What came of some bytes.

    Attributes:
        data: Bytes for the broker.
        reply: Bytes to write to the transport now.
        ended: Whether the transport shall be closed when the reply has left.
    """

    data: bytes = b""
    reply: bytes = b""
    ended: bool = False


class WebSocket:
    """One connection.

    Attributes:
        opened: Whether the handshake is done: only then may bytes be wrapped.
    """

    def __init__(
        self, paths: tuple[str, ...] = ("/mqtt", "/"), origins: tuple[str, ...] | None = None
    ) -> None:
        """Begin to wait for the handshake.

        Args:
            paths: Request paths that are served.
            origins: Values of the Origin header that are accepted, None for any. A page of any site can make
                a browser connect: where the browser's own certificate is the credential, name the origins.
        """
        self.opened = False
        self._paths = paths
        self._origins = origins
        self._wire = WSConnection(ConnectionType.SERVER)

    def received(self, data: bytes) -> Taken:
        """Take bytes of the transport. What breaks RFC 6455 or MQTT section 6 ends the connection."""
        payload: list[bytes] = []
        reply = b""
        ended = False
        try:
            self._wire.receive_data(data)
            for event in self._wire.events():
                if isinstance(event, BytesMessage):
                    payload.append(bytes(event.data))
                elif isinstance(event, Request):
                    reply += self._open(event)
                    ended = not self.opened
                elif isinstance(event, Ping):
                    reply += self._wire.send(event.response())
                elif isinstance(event, CloseConnection):
                    if self._wire.state is ConnectionState.REMOTE_CLOSING:
                        reply += self._wire.send(event.response())
                    ended = True
                elif isinstance(event, TextMessage):
                    # MQTT-6.0.0-1: control packets travel in binary frames.
                    return Taken(b"".join(payload), reply + self.close(UNSUPPORTED_DATA), True)
        except RemoteProtocolError:
            farewell = self.close(PROTOCOL_ERROR) if self.opened else _BAD_REQUEST
            return Taken(b"".join(payload), reply + farewell, True)
        except LocalProtocolError:
            # Bytes after the closing frame.
            return Taken(b"".join(payload), reply, True)
        return Taken(b"".join(payload), reply, ended)

    def _open(self, request: Request) -> bytes:
        path = request.target.partition("?")[0]
        origins = [value.decode("latin-1") for name, value in request.extra_headers if name == b"origin"]
        status = 0
        if path not in self._paths:
            status = 404
        elif SUBPROTOCOL not in request.subprotocols:
            status = 400
        elif self._origins is not None and any(origin not in self._origins for origin in origins):
            status = 403
        if status:
            return bytes(self._wire.send(RejectConnection(status_code=status)))
        self.opened = True
        return bytes(self._wire.send(AcceptConnection(subprotocol=SUBPROTOCOL)))

    def wrap(self, data: bytes) -> bytes:
        """Bytes of the broker as one binary frame."""
        return bytes(self._wire.send(BytesMessage(data=data)))

    def close(self, code: int = NORMAL) -> bytes:
        """The closing frame; empty when there is no one to say it to any more."""
        try:
            return bytes(self._wire.send(CloseConnection(code=code)))
        except LocalProtocolError:
            return b""


_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
