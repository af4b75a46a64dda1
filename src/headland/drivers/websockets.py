"""MQTT over WebSocket at the rim: the layer between the network and whoever takes a connection's bytes.

    network ─► `received` ─► bytes for the core          core ─► `send`, `close` ─► network

The core sees an MQTT listener like any other. Handshakes, pings and closing frames are answered here; what
breaks RFC 6455 closes its own connection. The protocol is in `headland.mqtt.websocket`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headland.drivers.network import Network

if TYPE_CHECKING:
    from headland.mqtt.websocket import WebSocket


class WebSockets:
    """Every connection that came by a WebSocket listener; `send` and `close` are those of a `Network`."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._doors: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._open: dict[int, WebSocket] = {}

    def __contains__(self, connection: int) -> bool:
        return connection in self._open

    def serve(self, endpoint: str, path: str, origins: tuple[str, ...]) -> None:
        """Take the connections of a listener from now on; open ones keep what they were told."""
        self._doors[endpoint] = (path,), origins

    def opened(self, connection: int, endpoint: str) -> None:
        """A connection of a listener that is served begins with its handshake."""
        # Here and not above: a megabyte and 14 ms that a node without such a listener does not pay.
        from headland.mqtt.websocket import WebSocket

        self._open[connection] = WebSocket(*self._doors[endpoint])

    def closed(self, connection: int) -> None:
        """It is gone."""
        self._open.pop(connection, None)

    def received(self, connection: int, data: bytes) -> bytes:
        """Take bytes of the network; what is in them for the core."""
        taken = self._open[connection].received(data)
        if taken.reply:
            self._network.send(connection, taken.reply)
        if taken.ended:
            self._network.close(connection)
        return taken.data

    def send(self, connection: int, data: bytes) -> None:
        """Write bytes of the core; before the handshake and after the end there is nobody to take them."""
        socket = self._open[connection]
        if socket.opened:
            self._network.send(connection, socket.wrap(data))

    def close(self, connection: int) -> None:
        """Say goodbye, and end a connection after what was sent before."""
        socket = self._open[connection]
        if socket.opened:
            self._network.send(connection, socket.close())
        self._network.close(connection)
