"""MQTT 5 and 3.1.1 without sockets: codec, session and broker."""
