"""When schedules tick: tables of times, other implementations, and every day on which a clock is changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from flyteidl.admin.schedule_pb2 import DAY, HOUR, MINUTE, CronSchedule, FixedRate, FixedRateUnit, Schedule
from hypothesis import given, settings
from hypothesis import strategies as st

from flightlog_types.cron import Cron, parse
from services.scheduler.schedules.expressions import Expression, Unusable, read

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")


def cron(expression: str, zone: str = "", offset: str = "") -> Expression:
    return read(Schedule(cron_schedule=CronSchedule(schedule=expression, offset=offset)), zone, SINCE)


def rate(value: int, unit: FixedRateUnit, since: datetime = SINCE, *, always: bool = False) -> Expression:
    return read(Schedule(rate=FixedRate(value=value, unit=unit)), "", since, always=always)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(ticks: Iterator[datetime], zone: str) -> list[str]:
    """As a clock in the zone shows them, with the offset."""
    return [tick.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z") for tick in ticks]


@pytest.mark.parametrize(
    ("expression", "after", "ticks"),
    [
        ("*/15 * * * *", "2026-07-09T14:45", ["2026-07-09T15:00", "2026-07-09T15:15"]),
        ("0/20 * * * *", "2026-07-09T14:45", ["2026-07-09T15:00", "2026-07-09T15:20"]),
        ("20-35/15 * * * *", "2026-07-09T23:36", ["2026-07-10T00:20", "2026-07-10T00:35"]),
        ("0 0 1 * *", "2026-11-30T23:59", ["2026-12-01T00:00", "2027-01-01T00:00"]),
        ("30 8 * * mon-fri", "2026-11-20T09:00", ["2026-11-23T08:30", "2026-11-24T08:30"]),
        ("0 0 29 2 *", "2026-01-01T00:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 29 2 *", "2096-03-01T00:00", ["2104-02-29T00:00"]),
        ("0 12 31 * *", "2026-03-31T12:00", ["2026-05-31T12:00", "2026-07-31T12:00"]),
        ("0 0 13 * fri", "2026-11-06T00:00", ["2026-11-13T00:00", "2026-11-20T00:00"]),
        ("59 23 31 12 *", "2026-12-31T23:58", ["2026-12-31T23:59", "2027-12-31T23:59"]),
        ("@weekly", "2026-11-21T00:00", ["2026-11-22T00:00", "2026-11-29T00:00"]),
        ("@hourly", "2026-11-21T00:00", ["2026-11-21T01:00", "2026-11-21T02:00"]),
        ("@midnight", "2026-11-21T00:00", ["2026-11-22T00:00"]),
        ("daily", "2026-11-21T00:00", ["2026-11-22T00:00"]),
        ("@yearly", "2026-01-01T00:00", ["2027-01-01T00:00"]),
        ("CRON_TZ=Asia/Kolkata 0 6 * * *", "2026-11-21T00:00", ["2026-11-21T00:30", "2026-11-22T00:30"]),
        ("@every 90m", "2026-01-01T00:00", ["2026-01-01T01:30", "2026-01-01T03:00"]),
    ],
)
def test_ticks_of_expressions(expression: str, after: str, ticks: list[str]) -> None:
    assert list(islice(cron(expression).ticks(utc(after)), len(ticks))) == [utc(tick) for tick in ticks]


def test_the_expression_s_zone_goes_before_the_policy_s_and_that_before_utc() -> None:
    assert cron("0 6 * * *").next_after(SINCE) == utc("2026-01-01T06:00")
    assert cron("0 6 * * *", "Asia/Tokyo").next_after(SINCE) == utc("2026-01-01T21:00")
    assert cron("TZ=Asia/Kolkata 0 6 * * *", "Asia/Tokyo").next_after(SINCE) == utc("2026-01-01T00:30")


def test_a_tick_is_later_than_the_moment_and_parts_of_a_second_count() -> None:
    every_minute = cron("* * * * *")
    at = utc("2026-05-05T05:05")
    assert every_minute.next_after(at) == at + timedelta(minutes=1)
    assert every_minute.next_after(at - timedelta(microseconds=1)) == at
    assert every_minute.next_after(at + timedelta(microseconds=1)) == at + timedelta(minutes=1)
    assert list(every_minute.ticks_between(at - timedelta(microseconds=1), at)) == [at]


@pytest.mark.parametrize(("expression", "step", "number"), [
    ("* * * * *", timedelta(minutes=1), 525_600),
    ("0 * * * *", timedelta(hours=1), 8_760),
    ("0 0 * * *", timedelta(days=1), 365),
])  # fmt: skip
def test_a_year_has_each_tick_exactly_once(expression: str, step: timedelta, number: int) -> None:
    end = utc("2027-01-01T00:00")
    ticks = list(cron(expression).ticks_between(SINCE, end))
    assert ticks == [SINCE + count * step for count in range(1, number + 1)]
    run = cron(expression).run(SINCE, end)
    assert run == (ticks[0], ticks[-1], number)


@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_a_changing_clock_has_each_minute_once(zone: str) -> None:
    ticks = cron("* * * * *", zone).ticks_between(SINCE, utc("2027-01-01T00:00"))
    assert all(later - earlier == timedelta(minutes=1) for earlier, later in pairwise(ticks))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("time", ["30 2 * * *", "15 2 * * *", "0 2 * * *", "30 1 * * *", "59 1 * * *", "0 0 * * *"])
def test_a_year_of_a_changing_clock_has_a_tick_each_day(zone: str, time: str) -> None:
    begin = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)) - timedelta(seconds=1)
    ticks = list(
        cron(time, zone).ticks_between(begin, datetime(2027, 1, 1, tzinfo=ZoneInfo(zone)) - timedelta(seconds=1))
    )
    days = [tick.astimezone(ZoneInfo(zone)).date() for tick in ticks]
    assert days == [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]


@pytest.mark.parametrize(
    ("zone", "expression", "after", "ticks"),
    [
        # Put forward from 02:00 to 03:00.
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00", ["29 03:30 +0200", "30 02:30 +0200"]),
        ("America/New_York", "0 2 * * *", "2026-03-07T12:00", ["08 03:00 -0400", "09 02:00 -0400"]),
        # Two that fall together are one.
        ("Europe/Berlin", "0 2,3 * * *", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:00 +0200"]),
        ("Europe/Berlin", "*/30 2,3 * * *", "2026-03-28T12:00", ["29 03:00 +0200", "29 03:30 +0200"]),
        # Put forward by half an hour, from 02:00 to 02:30.
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00", ["04 02:45 +1100", "05 02:15 +1100"]),
        ("Australia/Lord_Howe", "45 2 * * *", "2026-10-03T12:00", ["04 02:45 +1100", "05 02:45 +1100"]),
        # Put back from 03:00 to 02:00, from 02:00 to 01:00, from 02:00 to 01:30.
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00", ["25 02:30 +0200", "26 02:30 +0100"]),
        ("America/New_York", "30 1 * * *", "2026-10-31T12:00", ["01 01:30 -0400", "02 01:30 -0500"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00", ["05 01:45 +1100", "06 01:45 +1030"]),
        # All hours: by the clock as it is.
        (
            "Europe/Berlin",
            "0 * * * *",
            "2026-03-28T23:30",
            ["29 01:00 +0100", "29 03:00 +0200", "29 04:00 +0200"],
        ),
        (
            "Europe/Berlin",
            "0 * * * *",
            "2026-10-24T23:30",
            ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"],
        ),
        (
            "Australia/Lord_Howe",
            "*/30 * * * *",
            "2026-04-04T14:15",
            ["05 01:30 +1100", "05 01:30 +1030", "05 02:00 +1030"],
        ),
        # A whole day that Samoa left out.
        ("Pacific/Apia", "0 12 * * *", "2011-12-29T00:00", ["29 12:00 -1000", "31 12:00 +1400", "01 12:00 +1400"]),
        # Clocks that are changed at midnight.
        ("America/Havana", "30 0 * * *", "2026-03-07T12:00", ["08 01:30 -0400", "09 00:30 -0400"]),
        ("America/Havana", "30 0 * * *", "2026-10-31T12:00", ["01 00:30 -0400", "02 00:30 -0500"]),
    ],
)
def test_ticks_where_the_clock_is_changed(zone: str, expression: str, after: str, ticks: list[str]) -> None:
    assert wall(islice(cron(expression, zone).ticks(utc(after)), len(ticks)), zone) == ticks


def numbers(lowest: int, highest: int) -> st.SearchStrategy[str]:
    """One field: a star, steps, lists and ranges."""
    number = st.integers(lowest, highest)
    # A range of one value means all values to croniter.
    spread = st.lists(number, min_size=2, max_size=2, unique=True).map(lambda both: f"{min(both)}-{max(both)}")
    item = st.one_of(
        number.map(str), spread, st.tuples(spread, st.integers(1, 9)).map(lambda both: f"{both[0]}/{both[1]}")
    )
    return st.one_of(
        st.just("*"),
        st.integers(2, 30).map(lambda step: f"*/{step}"),
        st.lists(item, min_size=1, max_size=3).map(",".join),
    )


MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))


@settings(deadline=None)
@given(
    numbers(0, 59),
    numbers(0, 23),
    st.sampled_from([("*", "*"), ("*", "1-5"), ("13", "*"), ("1,15,28", "*"), ("13", "5"), ("1-7", "0,6")]),
    numbers(1, 12),
    MOMENTS,
)
def test_in_utc_ticks_are_those_of_croniter(
    minute: str, hour: str, days: tuple[str, str], month: str, after: datetime
) -> None:
    expression = f"{minute} {hour} {days[0]} {month} {days[1]}"
    other = croniter(expression, after)
    expected = [other.get_next(datetime) for _ in range(10)]
    assert list(islice(cron(expression).ticks(after), 10)) == expected


@settings(deadline=None)
@given(numbers(0, 59), numbers(0, 23), st.sampled_from(ZONES), MOMENTS, st.integers(0, 60 * 60 * 24 * 40))
def test_beginning_later_shows_the_same_ticks(minute: str, hour: str, zone: str, after: datetime, later: int) -> None:
    expression = cron(f"{minute} {hour} * * *", zone)
    middle, end = after + timedelta(seconds=later), after + timedelta(days=45)
    ticks = list(expression.ticks_between(after, end))
    assert all(earlier < following for earlier, following in pairwise(ticks))
    assert [tick for tick in ticks if tick > middle] == list(expression.ticks_between(middle, end))
    run = expression.run(after, middle)
    before = [tick for tick in ticks if tick <= middle]
    assert run == ((before[0], before[-1], len(before)) if before else None)


@settings(deadline=None, max_examples=30)
@given(
    numbers(0, 59),
    numbers(0, 23),
    st.sampled_from([("Europe/Berlin", 3, 29), ("Europe/Berlin", 10, 25), ("America/New_York", 3, 8),
                     ("America/New_York", 11, 1), ("Australia/Lord_Howe", 4, 5), ("Australia/Lord_Howe", 10, 4),
                     ("America/Havana", 3, 8), ("America/Havana", 11, 1)]),
)  # fmt: skip
def test_what_is_shown_once_on_a_wall_clock_ticks_once(minute: str, hour: str, change: tuple[str, int, int]) -> None:
    """Walks the real minutes around a change and compares with what the clock shows."""
    zone = ZoneInfo(change[0])
    fields = parse(f"{minute} {hour} * * *")
    assert isinstance(fields, Cron)
    begin = datetime(2026, change[1], change[2], tzinfo=zone).astimezone(UTC) - timedelta(hours=12)
    end = begin + timedelta(hours=48)
    expected: set[datetime] = set()
    shown: set[datetime] = set()
    latest: datetime | None = None
    moment = begin
    while moment < end:
        moment += timedelta(minutes=1)
        local = moment.astimezone(zone)
        known = local.replace(tzinfo=None, fold=0)
        if local.hour in fields.hours and local.minute in fields.minutes and (known not in shown or fields.every_hour):
            expected.add(moment)
        # What the clock leaves out between this minute and the one before.
        skipped = known - timedelta(minutes=1)
        while not fields.every_hour and latest is not None and skipped > latest:
            if skipped.hour in fields.hours and skipped.minute in fields.minutes:
                jump = local.utcoffset() - (moment - timedelta(minutes=1)).astimezone(zone).utcoffset()  # type: ignore[operator]
                expected.add((skipped + jump).replace(tzinfo=zone).astimezone(UTC))
            skipped -= timedelta(minutes=1)
        shown.add(known)
        latest = known if latest is None else max(latest, known)
    assert list(cron(f"{minute} {hour} * * *", change[0]).ticks_between(begin, end)) == sorted(expected)


def test_fixed_rates_count_from_the_activation() -> None:
    since = utc("2026-01-01T00:00:17.250000")
    expression = rate(10, MINUTE, since)
    first = utc("2026-01-01T00:10:17")
    assert list(islice(expression.ticks(since), 2)) == [first, first + timedelta(minutes=10)]
    # Whenever somebody looks, the grid is the same.
    assert expression.next_after(utc("2027-06-01T12:00")) == utc("2027-06-01T12:00:17")
    assert expression.next_after(utc("2020-01-01T00:00")) == first
    assert rate(2, HOUR).next_after(SINCE) == utc("2026-01-01T02:00")
    assert rate(1, DAY).next_after(SINCE) == utc("2026-01-02T00:00")
    assert rate(1, HOUR, always=True).next_after(utc("2025-12-31T22:30")) == utc("2025-12-31T23:00")


def test_a_year_of_a_rate_has_each_tick_once() -> None:
    end = utc("2027-01-01T00:00")
    assert rate(1, MINUTE).run(SINCE, end) == (SINCE + timedelta(minutes=1), end, 525_600)
    assert len(set(rate(1, MINUTE).ticks_between(SINCE, end))) == 525_600


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        (Schedule(), "the launch plan's schedule says no time"),
        (Schedule(rate=FixedRate(value=0, unit=HOUR)), "a rate of 0 hours has no next time"),
        (Schedule(cron_schedule=CronSchedule(schedule="0 0 30 2 *")), "[0 0 30 2 *] names no day that exists"),
        (Schedule(cron_schedule=CronSchedule(schedule=", * * * *")), "[, * * * *] names no day that exists"),
        (
            Schedule(cron_schedule=CronSchedule(schedule="@every 0s")),
            "[@every 0s] has no next time: the period must be positive",
        ),
        (
            Schedule(cron_schedule=CronSchedule(schedule="61 * * * *")),
            "invalid cron expression [61 * * * *]: 61 is above the maximum 59",
        ),
        (
            Schedule(cron_schedule=CronSchedule(schedule="@daily", offset="soon")),
            "the offset [soon] is no duration such as PT30M, P1DT12H or -PT5M",
        ),
        (
            Schedule(cron_schedule=CronSchedule(schedule="@daily", offset="P400D")),
            "the offset [P400D] is longer than 366 days",
        ),
    ],
)
def test_what_can_never_fire_says_why(schedule: Schedule, reason: str) -> None:
    with pytest.raises(Unusable) as caught:
        read(schedule, "", SINCE)
    assert str(caught.value) == reason


def test_a_zone_that_does_not_exist_says_so() -> None:
    with pytest.raises(Unusable, match="unknown time zone Nowhere"):
        cron("0 6 * * *", "Nowhere")


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("", timedelta()),
        ("PT30M", timedelta(minutes=30)),
        ("+P1DT12H", timedelta(days=1, hours=12)),
        ("-PT5M", timedelta(minutes=-5)),
        ("P2W", timedelta(weeks=2)),
        ("PT1,5S", timedelta(seconds=1.5)),
    ],
)
def test_an_offset_is_an_iso_8601_duration(text: str, offset: timedelta) -> None:
    assert cron("@daily", offset=text).offset == offset


@pytest.mark.parametrize("text", ["P", "PT", "-P", "P1M", "P1Y", "PT1D", "1h", "P1D12H", "PT30M "])
def test_other_offsets_are_none(text: str) -> None:
    with pytest.raises(Unusable, match="is no duration"):
        cron("@daily", offset=text)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (cron("0 3 * * *", "Europe/Berlin"), "0 3 * * * Europe/Berlin"),
        (cron("0 3 * * *", offset="PT5M"), "0 3 * * * UTC offset PT5M"),
        (cron("CRON_TZ=Asia/Tokyo 0 3 * * *"), "CRON_TZ=Asia/Tokyo 0 3 * * *"),
        (cron("@every 5m"), "@every 5m"),
        (rate(10, MINUTE), "every 10 minutes"),
        (rate(1, DAY), "every day"),
    ],
)
def test_an_expression_reads_for_people(expression: Expression, text: str) -> None:
    assert expression.text == text


def test_ticks_end_with_the_calendar() -> None:
    assert cron("0 0 * * *").next_after(datetime(9999, 6, 1, tzinfo=UTC)) is None
    assert rate(4_000_000_000, DAY).next_after(SINCE) is None
    assert cron("0 0 1 1 *").next_after(datetime(1, 1, 1, tzinfo=UTC)) == datetime(1900, 1, 1, tzinfo=UTC)


def test_the_deprecated_field_is_read_as_a_cron_expression() -> None:
    assert read(Schedule(cron_expression="0 6 * * *"), "", SINCE).next_after(SINCE) == utc("2026-01-01T06:00")
