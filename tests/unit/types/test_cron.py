"""Reading cron expressions: the values they name, and the sentences for what is none."""

from __future__ import annotations

from datetime import date

import pytest

from flightlog_types.cron import BadCron, Cron, Every, parse


def cron(expression: str) -> Cron:
    read = parse(expression)
    assert isinstance(read, Cron)
    return read


@pytest.mark.parametrize(
    ("field", "minutes"),
    [
        ("*", set(range(60))),
        ("?", set(range(60))),
        ("0", {0}),
        ("7,3,7", {3, 7}),
        ("10-13", {10, 11, 12, 13}),
        ("10-20/5", {10, 15, 20}),
        ("*/25", {0, 25, 50}),
        ("5/20", {5, 25, 45}),
        ("1,,2", {1, 2}),
        ("*/90", {0}),
    ],
)
def test_a_field_names_values(field: str, minutes: set[int]) -> None:
    assert cron(f"{field} * * * *").minutes == minutes


def test_months_and_weekdays_have_names() -> None:
    read = cron("0 0 1 jan-mar,DEC mon-Fri")
    assert read.months == {1, 2, 3, 12}
    assert read.weekdays == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("hourly", "@hourly"),
        ("hours", "@hourly"),
        ("daily", "@daily"),
        ("days", "@daily"),
        ("Weekly", "@weekly"),
        ("weeks", "@weekly"),
        ("monthly", "@monthly"),
        ("months", "@monthly"),
        ("annually", "@yearly"),
        ("yearly", "@yearly"),
        ("years", "@yearly"),
    ],
)
def test_a_descriptor_and_an_alias_stand_for_five_fields(short: str, long: str) -> None:
    assert parse(short) == parse(long)


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("@every 5m", 300),
        ("@every 1h30m10s", 5410),
        ("@every 1.5h", 5400),
        ("@every 2500ms", 2),
        ("@every 10ms", 1),
        ("@every 0s", 0),
        ("@every -5m", 0),
    ],
)
def test_a_period_is_in_whole_seconds(expression: str, seconds: int) -> None:
    assert parse(expression) == Every(seconds)


def test_a_period_that_go_cannot_count_is_none() -> None:
    for digits in (30, 5000):
        with pytest.raises(BadCron, match="unrecognized descriptor"):
            parse(f"@every {'9' * digits}h")


@pytest.mark.parametrize(
    ("prefix", "zone"),
    [("TZ=Europe/Berlin ", "Europe/Berlin"), ("CRON_TZ=Asia/Tokyo  ", "Asia/Tokyo"), ("TZ=Local ", "UTC"), ("", "")],
)
def test_a_zone_may_stand_in_front(prefix: str, zone: str) -> None:
    assert cron(f"{prefix}0 6 * * *").zone == zone
    assert cron(f"{prefix}@daily").zone == zone


@pytest.mark.parametrize(
    ("expression", "day", "fits"),
    [
        # The 13th, or a Friday.
        ("0 0 13 * 5", date(2026, 11, 13), True),
        ("0 0 13 * 5", date(2026, 11, 20), True),
        ("0 0 13 * 5", date(2026, 10, 13), True),
        ("0 0 13 * 5", date(2026, 10, 14), False),
        # One with a star leaves the other in force; one with a step is as good as a list.
        ("0 0 13 * ?", date(2026, 11, 20), False),
        ("0 0 ? * 5", date(2026, 10, 13), False),
        ("0 0 */2 * 5", date(2026, 11, 20), True),
        ("0 0 */2 * 5", date(2026, 11, 19), True),
        ("0 0 */2 * 5", date(2026, 11, 18), False),
        ("0 0 */1 * 5", date(2026, 11, 18), False),
        ("0 0 *,13 * 5", date(2026, 11, 13), True),
        ("0 0 *,13 * 5", date(2026, 10, 13), False),
    ],
)
def test_a_day_fits_either_field_or_both(expression: str, day: date, fits: bool) -> None:
    assert cron(expression).on(day) is fits


@pytest.mark.parametrize(
    ("expression", "possible"),
    [
        ("0 0 30 2 *", False),
        ("0 0 31 4,6,9,11 *", False),
        ("0 0 29 2 *", True),
        ("0 0 30 2 1", True),
        (", 0 * * *", False),
        ("0 , * * *", False),
        ("0 0 , * *", False),
        ("0 0 , * 1", True),
        ("0 0 1 , *", False),
    ],
)
def test_what_can_never_be_is_known(expression: str, possible: bool) -> None:
    assert cron(expression).possible() is possible


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("* * * *", "invalid cron expression [* * * *]: expected exactly 5 fields, found 4"),
        ("60 * * * *", "invalid cron expression [60 * * * *]: 60 is above the maximum 59"),
        ("61/2 * * * *", "invalid cron expression [61/2 * * * *]: 61/2 is above the maximum 59"),
        ("* * 0 * *", "invalid cron expression [* * 0 * *]: 0 is below the minimum 1"),
        ("5-1 * * * *", "invalid cron expression [5-1 * * * *]: the range 5-1 ends before it begins"),
        ("*/0 * * * *", "invalid cron expression [*/0 * * * *]: the step of */0 must be a positive number"),
        ("x * * * *", "invalid cron expression [x * * * *]: x is no number"),
        ("@often", "invalid cron expression [@often]: unrecognized descriptor @often"),
        ("TZ=Nowhere 0 6 * * *", "invalid cron expression [TZ=Nowhere 0 6 * * *]: unknown time zone Nowhere"),
    ],
)
def test_what_is_none_is_named(expression: str, message: str) -> None:
    with pytest.raises(BadCron) as caught:
        parse(expression)
    assert str(caught.value) == message
