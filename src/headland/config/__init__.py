"""Configuration: the structs, their defaults and the loader."""
