"""A segment is read by those who know nothing of us: plain pyarrow, by the columns that docs/operations.md names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flightlog_archive import Archive
from flightlog_archive.writing import StreamWriter
from flightlog_protos.execution.v1.facts_pb2 import ExecutionStarted, ExecutionSucceeded
from tests.unit.archive.conftest import BEGUN

DOCS = Path(__file__).parents[3] / "docs" / "operations.md"


async def alone() -> None:
    """Nobody else writes."""


async def test_plain_pyarrow_reads_a_folder_of_segments(
    archive: Archive, stream: Callable[[str], Any], tmp_path: Path
) -> None:
    source = stream("EXECUTION")
    writer = await StreamWriter.open(archive, "EXECUTION", alone)
    await writer.append([source.say("a", ExecutionStarted(addresses=["s3://b/ä"]))])
    await writer.append([source.say("a", ExecutionSucceeded())])

    folder = tmp_path / "b" / "flightlog" / "archive" / "EXECUTION"
    tables = [pq.read_table(file) for file in sorted(folder.glob("*.parquet"))]
    table = pa.concat_tables(tables)
    assert table.column("sequence").to_pylist() == [1, 2]
    assert table.schema.field("recorded_at").type == pa.timestamp("us", tz="UTC")
    first, second = table.to_pylist()
    assert (first["stream"], first["project"], first["domain"], first["name"]) == (
        *("EXECUTION", "flytesnacks", "development", "a"),
    )
    assert first["recorded_at"] == BEGUN + timedelta(seconds=1)
    assert first["fact_types"] == ["ExecutionStarted"]
    assert [fact["type"] for fact in first["facts"]] == ["ExecutionStarted"]
    assert json.loads(first["facts"][0]["json"]) == {"addresses": ["s3://b/ä"]}
    assert second["previous_hash"] == first["hash"]
    assert first["actor_subject"] == "somebody"


def test_every_column_is_documented() -> None:
    from flightlog_archive.schema import SCHEMA

    _, _, section = DOCS.read_text().partition("### The archive's columns")
    assert section, "docs/operations.md has the columns"
    documented = set(re.findall(r"^\| `([a-z_`, ]+)` \|", section.partition("\n### ")[0], re.MULTILINE))
    names = {name for cell in documented for name in cell.replace("`", "").split(", ")}
    assert names == set(SCHEMA.names)
