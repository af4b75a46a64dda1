"""Configuration: a node's TOML file as one frozen value, and everything that can be said about it."""

from headland.config.loading import Loaded, load, parse
from headland.config.node import NodeConfig
from headland.config.secrets import Secret

__all__ = ["Loaded", "NodeConfig", "Secret", "load", "parse"]
