"""Filters, orders and pages as Postgres runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from flyteidl.admin.common_pb2 import Sort
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightlog_read import Column, Database, Entity, InvalidQuery, Page, parse_filters, parse_page, parse_sort

START = datetime(2024, 5, 1, tzinfo=UTC)
NAMES = ["a", "b", "a_b", "a%b", "back\\", "ünï", "c,d"]
PHASES = ["SUCCEEDED", "FAILED", "RUNNING"]
FUNCTIONS = ["eq", "ne", "gt", "gte", "lt", "lte", "contains", "value_in", "value_not_in", "not_like", "zz"]
RUN = Entity(
    "execution",
    [
        Column("id", "r.id", "int"),
        Column("name", "r.name"),
        Column("phase", "r.phase", "phase"),
        Column("state", "r.state", "int"),
        Column("started_at", "r.started_at", "timestamp"),
        Column("duration", "r.duration", "duration_ns"),
        Column("ratio", "r.ratio", "float"),
        Column("archived", "r.archived", "bool"),
    ],
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def runs(database: Database) -> AsyncIterator[Database]:
    await database.pool.execute(
        "CREATE TABLE runs (id int PRIMARY KEY, name text, phase text, state int, started_at timestamptz, "
        "duration bigint, ratio float8, archived bool)"
    )
    rows = [
        (n, name, PHASES[n % 3], n % 2, START + timedelta(hours=n), n * 10**9, n / 4, n % 2 == 1)
        for n, name in enumerate(NAMES)
    ]
    await database.pool.copy_records_to_table("runs", records=rows)
    yield database
    await database.pool.execute("DROP TABLE runs")


async def select(database: Database, filters: str, sort: Sort | None = None, page: Page | None = None) -> list[str]:
    where = parse_filters(filters, RUN)
    page = page or parse_page(100, "", "ListExecutions")
    async with database.reading() as connection:
        rows = await connection.fetch(
            f"SELECT r.name FROM runs r WHERE {where.clause} ORDER BY {parse_sort(sort, RUN)} {page.sql}", *where.args
        )
    return [row["name"] for row in rows]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ("", NAMES),
        ("eq(name,a)", ["a"]),
        ("eq(name,back\\)", ["back\\"]),
        ("eq(name,ünï)", ["ünï"]),
        ("contains(name,b)", ["b", "a_b", "a%b", "back\\"]),
        ("contains(name,\\)", ["back\\"]),
        ("not_like(name,a%)", ["b", "back\\", "ünï", "c,d"]),
        ("value_in(phase,SUCCEEDED;RUNNING)+eq(state,0)", ["a", "a_b", "c,d"]),
        ("value_not_in(name,a;b)+lt(ratio,1)", ["a_b", "a%b"]),
        ("gte(started_at,2024-05-01T05:00:00Z)", ["ünï", "c,d"]),
        ("gt(duration,4.5)", ["ünï", "c,d"]),
        ("lte(duration,1s)", ["a", "b"]),
        ("eq(archived,true)+ne(name,b)", ["a%b", "ünï"]),
        ("contains(state,1)", ["b", "a%b", "ünï"]),
    ],
)
async def test_a_filter_selects(runs: Database, filters: str, names: list[str]) -> None:
    assert await select(runs, filters) == names


async def test_pages_of_an_order_put_together_are_the_whole(runs: Database) -> None:
    seen: list[str] = []
    token = ""
    sort = Sort(key="phase", direction=Sort.ASCENDING)
    while True:
        page = parse_page(2, token, "ListExecutions")
        names = await select(runs, "", sort, page)
        seen += names
        token = page.next_token(len(names))
        if not token:
            break
    assert seen == await select(runs, "", sort)
    assert sorted(seen) == sorted(NAMES)


async def test_an_offset_behind_the_end_is_an_empty_page(runs: Database) -> None:
    assert await select(runs, "", None, parse_page(10, str(2**63 - 1), "ListExecutions")) == []


async def test_whatever_a_client_filters_by_is_refused_by_us_or_run_by_postgres(runs: Database) -> None:
    loop = asyncio.get_running_loop()
    functions = st.sampled_from(FUNCTIONS)
    columns = st.sampled_from([column.name for column in RUN.columns])
    likely = st.sampled_from(
        [
            "1",
            "-1",
            "1.5",
            "1e400",
            "nan",
            "inf",
            "true",
            "2024-05-01",
            "0001-01-01",
            "9999-12-31",
            "9223372036854775807",
            "\\",
            "%",
            ";",
            "a;b",
            "1;2",
            "2h",
            "\x00",
            "\ufffe",
        ]
    )
    values = likely | st.text(min_size=1, max_size=20)

    @given(functions, columns, values)
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def check(function: str, column: str, value: str) -> None:
        async def run() -> None:
            try:
                await select(runs, f"{function}({column},{value})")
            except InvalidQuery:
                return

        asyncio.run_coroutine_threadsafe(run(), loop).result(10)

    await asyncio.to_thread(check)
