"""Cron expressions as Flyte takes them (admin-contract §5.6): five fields, a descriptor, or one of flytekit's aliases.

The rules are those of the parser that Flyte uses: names and numbers, ranges, lists, steps (`5/15` is `5-59/15`), `?`
for `*`, and a zone in front (`CRON_TZ=Europe/Berlin 0 6 * * *`). Where both day fields are restricted, a day that fits
either of them counts; where one of them has a `*` without a step, a day has to fit both.
"""

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from flightlog_types.schedule_policies import is_time_zone


class BadCron(ValueError):
    """A text that is no cron expression; `str` is a sentence for people that quotes it."""

    def __init__(self, expression: str, reason: str) -> None:
        super().__init__(f"invalid cron expression [{expression}]: {reason}")


@dataclass(frozen=True, slots=True)
class Cron:
    """Times of the day and days of a calendar."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    """Of the month, from 1."""
    months: frozenset[int]
    weekdays: frozenset[int]
    """From 0, Sunday."""
    any_day: bool
    """The day of the month has a `*` without a step."""
    any_weekday: bool
    zone: str = ""
    """IANA name; "" where the expression does not say."""

    @property
    def every_hour(self) -> bool:
        """It names all hours of the day."""
        return len(self.hours) == 24

    def on(self, day: date) -> bool:
        """Whether it has times on that day."""
        return day.month in self.months and self._fits(day.day, day.isoweekday() % 7)

    def possible(self) -> bool:
        """Whether there is any day and time that fits. `0 0 30 2 *` has none."""
        if not (self.minutes and self.hours):
            return False
        # A leap year; within a few years each of its days is every weekday.
        days = ((month, day) for month in self.months for day in range(1, monthrange(2000, month)[1] + 1))
        return any(self._fits(day, weekday) for _, day in days for weekday in range(7))

    def _fits(self, day: int, weekday: int) -> bool:
        if self.any_day or self.any_weekday:
            return day in self.days and weekday in self.weekdays
        return day in self.days or weekday in self.weekdays


@dataclass(frozen=True, slots=True)
class Every:
    """A period that is counted from the beginning of the schedule: `@every 90m`."""

    seconds: int
    """Whole ones; less than a second counts as one. 0 where the text has no period, or a negative one."""


_DESCRIPTORS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# Names without a sign that flytekit passes on as they are.
_ALIASES: Final = {
    "hourly": "@hourly",
    "hours": "@hourly",
    "daily": "@daily",
    "days": "@daily",
    "weekly": "@weekly",
    "weeks": "@weekly",
    "monthly": "@monthly",
    "months": "@monthly",
    "annually": "@yearly",
    "yearly": "@yearly",
    "years": "@yearly",
}
_MONTH_NAMES: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_NAMES: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS: Final = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS: Final = {name: number for number, name in enumerate(_DAY_NAMES)}
# Minute, hour, day of month, month, day of week: lowest and highest value, names.
_FIELDS: Final[tuple[tuple[int, int, Mapping[str, int]], ...]] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_EVERY: Final = "@every "
_DURATION: Final = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*", re.ASCII
)
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)", re.ASCII)
_SECONDS: Final = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}
_LONGEST_SECONDS: Final = 2**63 // 10**9
"""Go counts nanoseconds in 64 bits."""


def parse(expression: str) -> Cron | Every:
    """Reads an expression.

    Raises:
        BadCron: naming the field.
    """
    text, zone = expression, ""
    if text.startswith(("TZ=", "CRON_TZ=")):
        prefix, _, text = text.partition(" ")
        zone = prefix.partition("=")[2]
        # Which Go knows by itself: "", "UTC", "Local".
        if zone not in ("", "UTC", "Local") and not is_time_zone(zone):
            raise BadCron(expression, f"unknown time zone {zone}")
        text = text.strip()
    if text.startswith(_EVERY):
        seconds = _period(text.removeprefix(_EVERY))
        if seconds is not None:
            return Every(seconds)
    named = _ALIASES.get(text.lower(), text)
    if named.startswith("@") and named not in _DESCRIPTORS:
        raise BadCron(expression, f"unrecognized descriptor {text}")
    fields = _DESCRIPTORS.get(named, named).split()
    if len(fields) != len(_FIELDS):
        raise BadCron(expression, f"expected exactly 5 fields, found {len(fields)}")
    read = [
        _field(expression, field, lowest, highest, names)
        for field, (lowest, highest, names) in zip(fields, _FIELDS, strict=True)
    ]
    (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = read
    # A server's own zone is no property of a schedule.
    zone = "UTC" if zone == "Local" else zone
    return Cron(minutes, hours, days, months, weekdays, any_day, any_weekday, zone)


def _field(
    expression: str, field: str, lowest: int, highest: int, names: Mapping[str, int]
) -> tuple[frozenset[int], bool]:
    """The values, and whether there is a `*` without a step."""
    values: set[int] = set()
    starred = False
    for item in filter(None, field.split(",")):
        found, star = _item(expression, item, lowest, highest, names)
        values.update(found)
        starred = starred or star
    return frozenset(values), starred


def _item(expression: str, item: str, lowest: int, highest: int, names: Mapping[str, int]) -> tuple[range, bool]:
    spread, slash, step_text = item.partition("/")
    first, dash, last = spread.partition("-")
    if slash and not (step_text.isascii() and step_text.isdigit() and len(step_text) < 10 and int(step_text) > 0):
        raise BadCron(expression, f"the step of {item} must be a positive number")
    step = int(step_text) if slash else 1
    if first in ("*", "?"):
        return range(lowest, highest + 1, step), step == 1
    start = _number(expression, first, names)
    open_end = highest if slash else start
    end = _number(expression, last, names) if dash else open_end
    if start < lowest:
        raise BadCron(expression, f"{item} is below the minimum {lowest}")
    if end > highest or start > highest:
        raise BadCron(expression, f"{item} is above the maximum {highest}")
    if start > end:
        raise BadCron(expression, f"the range {item} ends before it begins")
    return range(start, end + 1, step), False


def _number(expression: str, text: str, names: Mapping[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise BadCron(expression, f"{text or 'nothing'} is no number")


def _period(text: str) -> int | None:
    """Whole seconds of a duration as Go writes it; None for what is none."""
    if not _DURATION.fullmatch(text):
        return None
    seconds = sum((Decimal(number) * _SECONDS[unit] for number, unit in _PART.findall(text)), Decimal(0))
    if seconds > _LONGEST_SECONDS:
        return None
    if text.startswith("-") or not seconds:
        return 0
    return max(1, int(seconds))
