"""Columns of readings as bytes: what journal, link and storage all speak."""
