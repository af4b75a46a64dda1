"""The nouns: classes, time, columns, series, errors. Imports nothing of ours."""

from headland.vocabulary.classes import Account, Lane, Priority, Reason, RowClass, RowFlag, RowKind, Tier
from headland.vocabulary.columns import NO_SEQUENCE, NO_TIME, Batch, Columns, Value
from headland.vocabulary.errors import (
    CapacityError,
    ConfigurationError,
    DefectError,
    HeadlandError,
    PeerError,
    StorageDamage,
    TrustError,
)
from headland.vocabulary.instant import Instant
from headland.vocabulary.series import SERIES_CAP, SeriesKey, SeriesTable

__all__ = [
    "NO_SEQUENCE",
    "NO_TIME",
    "SERIES_CAP",
    "Account",
    "Batch",
    "CapacityError",
    "Columns",
    "ConfigurationError",
    "DefectError",
    "HeadlandError",
    "Instant",
    "Lane",
    "PeerError",
    "Priority",
    "Reason",
    "RowClass",
    "RowFlag",
    "RowKind",
    "SeriesKey",
    "SeriesTable",
    "StorageDamage",
    "Tier",
    "TrustError",
    "Value",
]
