"""The protocol between a child and its parent, without sockets."""
