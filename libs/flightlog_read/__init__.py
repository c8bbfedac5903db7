"""Read models: projections of the log in Postgres, their rebuild, and the filter, sort and page language of list calls.

Knows Postgres and the log, no domain.
"""

from flightlog_read.comparing import TableComparison, TableDigest
from flightlog_read.database import Connection, Database, DatabaseSettings
from flightlog_read.errors import DatabaseUnavailable, InvalidQuery, ReadError, StaleRead
from flightlog_read.loading import LoadFailed, Loading
from flightlog_read.projection import Aggregate, BulkProjection, Projection
from flightlog_read.projector import Projector
from flightlog_read.query import (
    Column,
    Entity,
    Page,
    SqlWhere,
    equals,
    parse_filters,
    parse_go_duration,
    parse_page,
    parse_sort,
)
from flightlog_read.rebuilding import (
    RebuildProgress,
    RebuildResult,
    RebuildRunning,
    rebuild,
    rebuild_together,
    roll_back,
)
from flightlog_read.verification import ProjectionVerification, RowDifference, TableVerification, verify_tables

__all__ = [
    "Aggregate",
    "BulkProjection",
    "Column",
    "Connection",
    "Database",
    "DatabaseSettings",
    "DatabaseUnavailable",
    "Entity",
    "InvalidQuery",
    "LoadFailed",
    "Loading",
    "Page",
    "Projection",
    "ProjectionVerification",
    "Projector",
    "ReadError",
    "RebuildProgress",
    "RebuildResult",
    "RebuildRunning",
    "RowDifference",
    "SqlWhere",
    "StaleRead",
    "TableComparison",
    "TableDigest",
    "TableVerification",
    "equals",
    "parse_filters",
    "parse_go_duration",
    "parse_page",
    "parse_sort",
    "rebuild",
    "rebuild_together",
    "roll_back",
    "verify_tables",
]
