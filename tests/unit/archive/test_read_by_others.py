"""The archive read without a word of ours: the very SQL of docs/operations.md, by DuckDB."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from flightlog_archive import Archive
from flightlog_archive.schema import SCHEMA
from flightlog_archive.writing import StreamWriter
from flightlog_protos.execution.v1.facts_pb2 import ExecutionStarted, ExecutionSucceeded, NodeSucceeded

from .conftest import BEGUN

DOCS = Path(__file__).parents[3] / "docs" / "operations.md"
FILES = "read_parquet('{folder}/**/EXECUTION/*.parquet')"


async def alone() -> None:
    """Nobody else writes."""


def rows_of(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """By way of Arrow: DuckDB's own times need a library that nothing else does."""
    table = connection.sql(query).to_arrow_table()
    assert table is not None
    return [tuple(row.values()) for row in table.to_pylist()]


async def test_duckdb_runs_the_query_of_the_documentation(
    archive: Archive, stream: Callable[[str], Any], tmp_path: Path
) -> None:
    source = stream("EXECUTION")
    writer = await StreamWriter.open(archive, "EXECUTION", alone)
    ended = ExecutionSucceeded()
    ended.outputs.uri = "s3://b/o"
    messages = [source.say("a", ExecutionStarted()), source.say("a", NodeSucceeded(node_id="n0"), ended)]
    await writer.append(messages)

    files = FILES.format(folder=tmp_path)
    (query,) = re.findall(r"### The archive's columns.*?```sql\n(.*?)```", DOCS.read_text(), re.DOTALL)
    told, count = re.subn(r"read_parquet\('[^']*'\)", files, query)
    assert count == 1
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        hour = BEGUN.replace(minute=0, second=0, microsecond=0)
        types = ("ExecutionStarted", "ExecutionSucceeded", "NodeSucceeded")
        assert sorted(rows_of(connection, told)) == [(hour, name, 1) for name in types]
        described = connection.execute(f"DESCRIBE SELECT * FROM {files}").fetchall()
        assert [column[0] for column in described] == SCHEMA.names
        rows = rows_of(
            connection,
            f"SELECT sequence, recorded_at, hash = unhex(sha256(message)), facts[-1].json ->> '$.outputs.uri'"
            f" FROM {files} ORDER BY sequence",
        )
    assert rows == [
        (1, BEGUN + timedelta(seconds=1), True, None),
        (2, BEGUN + timedelta(seconds=2), True, "s3://b/o"),
    ]
