"""When a schedule ticks. Times here are nominal; an offset and jitter only delay what follows from a tick.

Cron expressions are read on the wall clock of a zone: the one in the expression, else the policy's, else UTC. Where
that clock is put forward or back, an expression that names certain hours of the day ticks exactly once for each time
that it names:

- a time in an hour that is skipped ticks as much later as the clock was put forward: 02:30 becomes 03:30;
- a time in an hour that comes twice ticks the first time.

One that names all hours (`*/10 * * * *`) goes by the clock as it is: nothing in the hour that is skipped, and in both
of those that look the same. Flyte's parser does that with every expression, so that a daily run is left out on one day
and made twice on another.

Fixed rates tick at whole periods after the activation, whatever happens in between (admin-contract §5.6).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from flyteidl.admin.schedule_pb2 import DAY, HOUR, MINUTE, FixedRate, Schedule

from flightlog_types.cron import BadCron, Cron, Every, parse
from flightlog_types.schedule_policies import is_time_zone

_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86400
_LAST_YEAR: Final = 9998
"""Later days do not exist in all zones."""
_FIRST: Final = int(datetime(1900, 1, 1, tzinfo=UTC).timestamp())
_LAST: Final = int(datetime(_LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp())
"""There are no ticks before the first of these moments, nor from the last one on."""
_RATE_UNITS: Final = {MINUTE: (60, "minute"), HOUR: (3600, "hour"), DAY: (_DAY_SECONDS, "day")}
_OFFSET: Final = re.compile(
    r"(?P<sign>[-+]?)P(?:(?P<weeks>\d{1,6})W)?(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?:(?P<hours>\d{1,8})H)?(?:(?P<minutes>\d{1,8})M)?(?:(?P<seconds>\d{1,9}(?:[.,]\d{1,6})?)S)?)?",
    re.ASCII,
)
_LONGEST_OFFSET: Final = timedelta(days=366)


class Unusable(ValueError):
    """Nothing can ever follow from a schedule; `str` is a sentence for people."""


class Run(NamedTuple):
    """Consecutive ticks."""

    first: datetime
    last: datetime
    number: int


class _Pattern(Protocol):
    """Ticks as seconds since 1970."""

    def chunks(self, after: int) -> Iterator[Sequence[int]]:
        """All ticks later than a moment, in order, some at a time."""
        ...


@dataclass(frozen=True, slots=True)
class Expression:
    """The ticks of a schedule. Moments are in UTC; ticks are whole seconds."""

    pattern: _Pattern
    offset: timedelta
    """How much later than its nominal time a tick fires; may be negative. Flyte ignores it."""
    text: str
    """For people: "0 3 * * * Europe/Berlin", "every 10 minutes"."""

    def ticks(self, after: datetime) -> Iterator[datetime]:
        """All ticks later than a moment, in order. They end: with the calendar, or because nothing fits."""
        for chunk in self.pattern.chunks(_floor(after)):
            for tick in chunk:
                yield datetime.fromtimestamp(tick, UTC)

    def ticks_between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The ticks later than `after`, up to and including `until`."""
        end = _floor(until)
        for chunk in self.pattern.chunks(_floor(after)):
            kept = bisect_right(chunk, end)
            for tick in chunk[:kept]:
                yield datetime.fromtimestamp(tick, UTC)
            if kept < len(chunk):
                return

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick later than a moment; None when there is none any more."""
        return next(self.ticks(moment), None)

    def run(self, after: datetime, until: datetime) -> Run | None:
        """The ticks later than `after`, up to and including `until`, without listing them; None when there are none."""
        end = _floor(until)
        first = last = count = 0
        for chunk in self.pattern.chunks(_floor(after)):
            kept = bisect_right(chunk, end)
            if kept:
                first = first if count else chunk[0]
                last = chunk[kept - 1]
                count += kept
            if kept < len(chunk):
                break
        if not count:
            return None
        return Run(datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC), count)


def read(schedule: Schedule, time_zone: str, since: datetime, *, always: bool = False) -> Expression:
    """The ticks of a launch plan's schedule.

    Args:
        time_zone: of the policy; "" for UTC. A zone in the expression goes before.
        since: what fixed rates count from; the first tick is one period later.
        always: fixed rates tick before `since`, and then, too.

    Raises:
        Unusable: no execution can ever follow from it.
    """
    return _read(schedule.SerializeToString(deterministic=True), time_zone, _floor(since), always)


@lru_cache(maxsize=4096)
def _read(serialized: bytes, time_zone: str, since: int, always: bool) -> Expression:
    schedule = Schedule.FromString(serialized)
    match schedule.WhichOneof("ScheduleExpression"):
        case "rate":
            return _rate(schedule.rate, since, always)
        case "cron_schedule":
            cron = schedule.cron_schedule
            return _cron(cron.schedule, _offset(cron.offset), cron.offset, time_zone, since, always)
        case "cron_expression":
            return _cron(schedule.cron_expression, timedelta(), "", time_zone, since, always)
        case _:
            raise Unusable("the launch plan's schedule says no time")


def _rate(rate: FixedRate, since: int, always: bool) -> Expression:
    if rate.unit not in _RATE_UNITS:
        raise Unusable(f"the rate's unit {rate.unit} is not known here")
    seconds, unit = _RATE_UNITS[rate.unit]
    if not rate.value:
        raise Unusable(f"a rate of 0 {unit}s has no next time")
    text = f"every {unit}" if rate.value == 1 else f"every {rate.value} {unit}s"
    return Expression(_Interval(since, rate.value * seconds, always), timedelta(), text)


def _cron(text: str, offset: timedelta, offset_text: str, time_zone: str, since: int, always: bool) -> Expression:
    try:
        cron = parse(text)
    except BadCron as error:
        raise Unusable(str(error)) from None
    shown = text if not offset else f"{text} offset {offset_text}"
    if isinstance(cron, Every):
        if not cron.seconds:
            raise Unusable(f"[{text}] has no next time: the period must be positive")
        return Expression(_Interval(since, cron.seconds, always), offset, shown)
    zone = cron.zone or time_zone or "UTC"
    if not is_time_zone(zone):
        raise Unusable(f"unknown time zone {zone}")
    if not cron.possible():
        raise Unusable(f"[{text}] names no day that exists")
    if not text.startswith(("TZ=", "CRON_TZ=")):
        shown = f"{text} {zone}" if not offset else f"{text} {zone} offset {offset_text}"
    return Expression(_Calendar(cron, UTC if zone == "UTC" else ZoneInfo(zone)), offset, shown)


def _offset(text: str) -> timedelta:
    """An ISO 8601 duration. Months and years have no length of their own."""
    if not text:
        return timedelta()
    found = _OFFSET.fullmatch(text)
    parts = {name: value for name, value in found.groupdict().items() if value} if found else {}
    sign = parts.pop("sign", "+")
    if not parts:
        raise Unusable(f"the offset [{text}] is no duration such as PT30M, P1DT12H or -PT5M")
    length = timedelta(**{name: float(value.replace(",", ".")) for name, value in parts.items()})
    if length > _LONGEST_OFFSET:
        raise Unusable(f"the offset [{text}] is longer than {_LONGEST_OFFSET.days} days")
    return -length if sign == "-" else length


@dataclass(frozen=True, slots=True)
class _Interval:
    """Whole periods after a moment."""

    since: int
    seconds: int
    always: bool

    def chunks(self, after: int) -> Iterator[Sequence[int]]:
        number = (max(after, _FIRST - 1) - self.since) // self.seconds + 1
        if not self.always:
            number = max(number, 1)
        start = self.since + number * self.seconds
        while start < _LAST:
            chunk = range(start, min(start + 1024 * self.seconds, _LAST), self.seconds)
            yield chunk
            start = chunk[-1] + self.seconds


class _Calendar:
    """A cron expression on the wall clock of a zone."""

    def __init__(self, cron: Cron, zone: tzinfo) -> None:
        self._cron = cron
        self._zone = zone
        self._times = sorted(hour * 3600 + minute * 60 for hour in cron.hours for minute in cron.minutes)

    def chunks(self, after: int) -> Iterator[Sequence[int]]:
        # A tick of a day may have been put off into the next one, by less than a day.
        if after >= _LAST:
            return
        after = max(after, _FIRST - 1)
        moment = datetime.fromtimestamp(after, UTC).astimezone(self._zone)
        late: list[int] = []
        for day in self._days(moment.date() - timedelta(days=1)):
            ticks: Sequence[int] = self._ticks(day)
            if late:
                yield [tick for tick in late if after < tick < self._begin(day)]
                ticks = sorted({*ticks, *(tick for tick in late if tick >= self._begin(day))})
            end = self._begin(day + timedelta(days=1))
            kept = bisect_left(ticks, end)
            late = list(ticks[kept:])
            chunk = ticks[bisect_right(ticks, after) : kept]
            if chunk:
                yield chunk
        yield [tick for tick in late if tick > after]

    def _days(self, day: date) -> Iterator[date]:
        """Days that fit, from one on, in order."""
        year, month, first = day.year, day.month, day
        while year <= _LAST_YEAR:
            following = date(year + month // 12, month % 12 + 1, 1)
            if month in self._cron.months:
                for ordinal in range(first.toordinal(), following.toordinal()):
                    candidate = date.fromordinal(ordinal)
                    if self._cron.on(candidate):
                        yield candidate
            year, month, first = following.year, following.month, following

    def _ticks(self, day: date) -> Sequence[int]:
        midnight = (day.toordinal() - _EPOCH) * _DAY_SECONDS
        if self._zone is UTC:
            return [midnight + time for time in self._times]
        offsets = {self._utc_offset(moment, fold) for moment in (midnight, midnight + _DAY_SECONDS) for fold in (0, 1)}
        if len(offsets) == 1:
            start = midnight - offsets.pop()
            return [start + time for time in self._times]
        found: set[int] = set()
        for local in (midnight + time for time in self._times):
            earlier, later = self._utc_offset(local, 0), self._utc_offset(local, 1)
            skipped, twice = earlier < later, earlier > later
            if not (skipped and self._cron.every_hour):
                found.add(local - earlier)
            if twice and self._cron.every_hour:
                found.add(local - later)
        return sorted(found)

    def _begin(self, day: date) -> int:
        """No moment of this day or a later one comes before."""
        midnight = (day.toordinal() - _EPOCH) * _DAY_SECONDS
        return midnight - max(self._utc_offset(midnight, 0), self._utc_offset(midnight, 1))

    def _utc_offset(self, local: int, fold: int) -> int:
        """What the clock is ahead of UTC when it shows a moment: before (0) and after (1) it is changed, if it is."""
        moment = datetime.fromtimestamp(local, UTC).replace(tzinfo=self._zone, fold=fold)
        ahead = self._zone.utcoffset(moment)
        assert ahead is not None, "every zone of the database knows its offset"
        return int(ahead.total_seconds())


def _floor(moment: datetime) -> int:
    return int(moment.timestamp() // 1)
