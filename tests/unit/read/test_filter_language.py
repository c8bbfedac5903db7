"""The filter, sort and page language: exact messages, exact SQL, and nothing a client writes becomes SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from flyteidl.admin.common_pb2 import Sort
from hypothesis import given
from hypothesis import strategies as st

from flightlog_read import (
    Column,
    Entity,
    InvalidQuery,
    SqlWhere,
    equals,
    parse_filters,
    parse_go_duration,
    parse_page,
    parse_sort,
)

WORKFLOW = Entity("workflow", [Column("name", "e.workflow_name")])
EXECUTION = Entity(
    "execution",
    [
        Column("id", "e.id", "int"),
        Column("execution_name", "e.name"),
        Column("phase", "e.phase", "phase"),
        Column("state", "e.state", "int"),
        Column("started_at", "e.started_at", "timestamp"),
        Column("duration", "e.duration", "duration_ns"),
        Column("ratio", "e.ratio", "float"),
        Column("archived", "e.archived", "bool"),
        Column("tag", "g.key", within="EXISTS (SELECT FROM tags g WHERE g.execution = e.id AND {})"),
    ],
    {"workflow": WORKFLOW},
)


@pytest.mark.parametrize(
    ("text", "clause", "args"),
    [
        ("", "TRUE", ()),
        ("eq(execution_name,x)", "e.name = $1::text", ("x",)),
        ("eq(execution_name, x)", "e.name = $1::text", ("x",)),
        ("eq(execution.execution_name,x)", "e.name = $1::text", ("x",)),
        ("ne(state,1)", "e.state <> $1::bigint", (1,)),
        ("gt(state,-1)", "e.state > $1::bigint", (-1,)),
        ("gte(ratio,0.5)", "e.ratio >= $1::float8", (0.5,)),
        ("lt(duration,1.5)", "e.duration < $1::bigint", (1_500_000_000,)),
        ("lte(duration,1m30s)", "e.duration <= $1::bigint", (90_000_000_000,)),
        ("eq(archived,true)", "e.archived = $1::boolean", (True,)),
        ("contains(execution_name,a_b%)", "e.name LIKE $1::text ESCAPE ''", ("%a_b%%",)),
        ("contains(state,1)", "(e.state)::text LIKE $1::text ESCAPE ''", ("%1%",)),
        ("not_like(execution_name,a%)", "e.name NOT LIKE $1::text ESCAPE ''", ("a%",)),
        ("value_in(phase,ABORTED;SUCCEEDED)", "e.phase = ANY($1::text[])", (["ABORTED", "SUCCEEDED"],)),
        ("value_in(phase,ABORTED)", "e.phase = ANY($1::text[])", (["ABORTED"],)),
        ("value_not_in(state,0;1)", "NOT (e.state = ANY($1::bigint[]))", ([0, 1],)),
        ("eq(workflow.name,w)", "e.workflow_name = $1::text", ("w",)),
        ("eq(execution_name,x)+eq(state,0)", "e.name = $1::text AND e.state = $2::bigint", ("x", 0)),
        (
            "ne(tag,t)+eq(state,1)+contains(tag,u)",
            "EXISTS (SELECT FROM tags g WHERE g.execution = e.id "
            "AND g.key <> $1::text AND g.key LIKE $2::text ESCAPE '') AND e.state = $3::bigint",
            ("t", "%u%", 1),
        ),
        ("eq(tag,t)", "EXISTS (SELECT FROM tags g WHERE g.execution = e.id AND g.key = $1::text)", ("t",)),
        ("eq(execution_name,a)b)", "e.name = $1::text", ("a)b",)),
    ],
)
def test_a_filter_becomes_sql(text: str, clause: str, args: tuple[object, ...]) -> None:
    where = parse_filters(text, EXECUTION)
    assert (where.clause, where.args) == (clause, args)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "invalid value for filters"),
        ("eq(execution_name)", "invalid value for filters"),
        ("eq(execution_name,)", "invalid value for filters"),
        ("eq(execution_name,x", "invalid value for filters"),
        ("eq(execution_name,x)+", "invalid value for filters"),
        ("+", "invalid value for filters"),
        ("eq(zz,x)", "'e.zz' is invalid filter"),
        ("zz(name,x)", "'e.name' is invalid filter"),
        ("zz(execution_name,x)", "unrecognized filter function: zz"),
        ("eq(launch_plan.name,x)", "'l' entity is not allowed in filters"),
        ("eq(nothing.name,x)", "'e.nothing.name' is invalid filter"),
        ("eq(workflow.zz,x)", "'w.zz' is invalid filter"),
        ("value_in(phase,a,b)", "'e.phase,a' is invalid filter"),
        ("eq(state,x)", "invalid value for state"),
        ("eq(state,99999999999999999999)", "invalid value for state"),
        ("eq(state,1_0)", "invalid value for state"),
        ("gt(started_at,yesterday)", "invalid value for started_at"),
        ("gt(duration,soon)", "invalid value for duration"),
        ("gt(duration,1e300)", "invalid value for duration"),
        ("gt(duration,nan)", "invalid value for duration"),
        ("eq(archived,maybe)", "invalid value for archived"),
        ("eq(ratio,x)", "invalid value for ratio"),
        ("eq(execution_name,a\x00b)", "invalid value for execution_name"),
    ],
)
def test_a_wrong_filter_is_refused_in_flytes_words(text: str, message: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parse_filters(text, EXECUTION)
    assert caught.value.message == message
    assert caught.value.grpc_code == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-01T10:00:00Z", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01T10:00:00.123456789Z", datetime(2024, 5, 1, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2024-05-01 08:00:00-02:00", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01T10:00:00", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
    ],
)
def test_timestamps_are_read_as_people_write_them(text: str, moment: datetime) -> None:
    assert parse_filters(f"gte(started_at,{text})", EXECUTION).args == (moment,)


def test_what_the_client_filters_by_is_known() -> None:
    where = parse_filters("eq(state,1)+eq(workflow.name,w)", EXECUTION)
    assert where.fields == {"execution.state", "workflow.name"}


@given(st.lists(st.sampled_from(["a = $1", "b = $1 OR c = $2", "TRUE"]), max_size=6))
def test_joined_conditions_number_their_arguments_from_left_to_right(clauses: list[str]) -> None:
    where = SqlWhere()
    for clause in clauses:
        where = where & SqlWhere(clause, tuple("v" * clause.count("$")))
    numbers = [int(part.split()[0]) for part in where.clause.split("$")[1:]]
    assert numbers == list(range(1, len(where.args) + 1))


@given(st.text(max_size=60))
def test_any_text_is_sql_with_arguments_or_refused(text: str) -> None:
    try:
        where = parse_filters(text, EXECUTION)
    except InvalidQuery:
        return
    assert where.clause.count("$") == len(where.args)


@given(st.text(alphabet=st.characters(exclude_characters="+\x00", exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_a_value_never_becomes_sql(value: str) -> None:
    where = parse_filters(f"eq(execution_name,{value})", EXECUTION) if "," not in value else None
    if where is not None:
        assert where.clause == "e.name = $1::text"
        assert where.args == (value.removeprefix(" ") or value,)


def test_an_empty_part_of_an_id_filters_nothing() -> None:
    assert equals(EXECUTION, "execution_name", "") == SqlWhere()
    assert equals(EXECUTION, "execution_name", "x").args == ("x",)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        (None, "e.id"),
        (Sort(key="execution_name"), "e.name DESC, e.id DESC"),
        (Sort(key="execution_name", direction=Sort.ASCENDING), "e.name ASC, e.id ASC"),
        (Sort(key="id"), "e.id DESC"),
    ],
)
def test_every_order_is_total(sort: Sort | None, order: str) -> None:
    assert parse_sort(sort, EXECUTION) == order


@pytest.mark.parametrize("key", ["", "zz", "e.id; DROP TABLE", "workflow.name", "tag"])
def test_an_unknown_sort_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parse_sort(Sort(key=key), EXECUTION)
    assert caught.value.message == f"invalid sort key '{key}'"


def test_an_entity_without_id_sorts_by_its_default_order() -> None:
    named = Entity("entities", [Column("name", "n.name")], default_order="n.name")
    assert parse_sort(None, named) == "n.name"
    assert parse_sort(Sort(key="name"), named) == "n.name DESC, n.name"


def test_a_page_without_limit_is_refused_but_where_it_means_all() -> None:
    with pytest.raises(InvalidQuery, match="invalid value for limit"):
        parse_page(0, "", "ListTasks")
    assert parse_page(0, "", "ListProjects", unlimited=True).sql == "LIMIT ALL OFFSET 0"


@pytest.mark.parametrize("token", ["x", "-1", "1.5", " 1", "1_0", "٣", "99999999999999999999", "9" * 40])
def test_a_token_is_a_row_offset_or_refused(token: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parse_page(10, token, "ListTasks")
    assert caught.value.message == f"invalid pagination token {token} for ListTasks"


@given(st.integers(1, 50), st.integers(0, 200))
def test_following_tokens_visits_every_row_once(limit: int, total: int) -> None:
    seen: list[int] = []
    token = ""
    while True:
        page = parse_page(limit, token, "ListTasks")
        rows = list(range(total))[page.offset : page.offset + limit]
        seen += rows
        token = page.next_token(len(rows))
        if not token:
            break
    assert seen == list(range(total))


def test_an_exactly_full_last_page_has_a_token() -> None:
    assert parse_page(10, "10", "ListTasks").next_token(10) == "20"
    assert parse_page(10, "20", "ListTasks").next_token(0) == ""


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("300ms", 300_000_000),
        ("1.5h", 5_400_000_000_000),
        ("1h2m3.5s", 3_723_500_000_000),
        ("-2us", -2_000),
        ("2µs", 2_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("", None),
        ("5", None),
        (".s", None),
        ("1d", None),
    ],
)
def test_go_durations(text: str, nanoseconds: int | None) -> None:
    assert parse_go_duration(text) == nanoseconds


def test_timestamps_with_a_zone_are_compared_in_utc() -> None:
    text = datetime(2024, 5, 1, 3, tzinfo=timezone(timedelta(hours=-7))).isoformat()
    assert parse_filters(f"eq(started_at,{text})", EXECUTION).args == (datetime(2024, 5, 1, 10, tzinfo=UTC),)
