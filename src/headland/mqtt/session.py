"""What the broker keeps for a client beyond one packet."""

from __future__ import annotations

from headland.mqtt.surface import Principal


class Session:
    """A client's session."""

    def __init__(self, client: str, principal: Principal) -> None:
        self.client = client
        self.principal = principal
