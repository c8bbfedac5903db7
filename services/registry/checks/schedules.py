"""Schedules of a launch plan, checked at its creation (admin-contract §5.6)."""

import re
from collections.abc import Mapping

from flyteidl.admin import schedule_pb2
from flyteidl.core import interface_pb2, types_pb2

from flightlog_protos.scheduler.v1.schedules_pb2 import SchedulePolicy
from flightlog_types.schedule_policies import BadPolicy, is_time_zone, schedule_policy
from services.registry.refusals import invalid

_DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
# Names without a sign that flytekit passes on as they are.
_ALIASES = frozenset(
    {"hourly", "hours", "daily", "days", "weekly", "weeks", "monthly", "months", "annually", "yearly", "years"}
)
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: number for number, name in enumerate(_DAY_NAMES)}
# Minute, hour, day of month, month, day of week: lowest and highest value, names.
_FIELDS: tuple[tuple[int, int, Mapping[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_DURATION = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*")


def check_schedule(schedule: schedule_pb2.Schedule, expected_inputs: Mapping[str, interface_pb2.Parameter]) -> None:
    """A schedule must be able to run without a user: every required input is bound but the kickoff time's.

    A message without an expression is no schedule.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    kind = schedule.WhichOneof("ScheduleExpression")
    if kind is None:
        return
    kickoff = schedule.kickoff_time_input_arg
    for name, parameter in sorted(expected_inputs.items()):
        if parameter.required and name != kickoff:
            raise invalid(
                "Cannot create a launch plan with a schedule if there is an unbound required input. "
                f"[{name}] is required"
            )
    if kickoff:
        if kickoff not in expected_inputs:
            raise invalid(
                "Cannot create a schedule with a KickoffTimeInputArg that does not point to a free input. "
                f"[{kickoff}] is not free or does not exist."
            )
        if expected_inputs[kickoff].var.type.simple != types_pb2.DATETIME:
            raise invalid(f"KickoffTimeInputArg must reference a datetime input. [{kickoff}] is a different type.")
    if kind == "cron_schedule":
        check_cron(schedule.cron_schedule.schedule)
    elif kind == "cron_expression":
        check_cron(schedule.cron_expression)


def check_policy(annotations: Mapping[str, str]) -> None:
    """What annotations say about how a schedule is kept can be done.

    Raises:
        Refusal: INVALID_ARGUMENT naming the annotation.
    """
    try:
        schedule_policy(annotations, SchedulePolicy())
    except BadPolicy as error:
        raise invalid(f"invalid schedule policy: {error}") from None


def check_cron(expression: str) -> None:
    """Five fields with names, ranges, lists and steps, a descriptor (`@daily`, `@every 5m`), or an alias (`daily`).

    Raises:
        Refusal: INVALID_ARGUMENT naming the field.
    """
    text = expression
    if text.startswith(("TZ=", "CRON_TZ=")):
        zone, _, text = text.partition(" ")
        _check_zone(expression, zone.partition("=")[2])
        text = text.strip()
    if text.startswith("@"):
        if text in _DESCRIPTORS:
            return
        if text.startswith("@every ") and _DURATION.fullmatch(text.removeprefix("@every ")):
            return
        raise _bad_cron(expression, f"unrecognized descriptor {text}")
    if text.lower() in _ALIASES:
        return
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise _bad_cron(expression, f"expected exactly 5 fields, found {len(fields)}")
    for part, (lowest, highest, names) in zip(fields, _FIELDS, strict=True):
        for item in filter(None, part.split(",")):
            _check_cron_item(expression, item, lowest, highest, names)


def _check_cron_item(expression: str, item: str, lowest: int, highest: int, names: Mapping[str, int]) -> None:
    spread, slash, step = item.partition("/")
    first, dash, last = spread.partition("-")
    if slash and not (step.isascii() and step.isdigit() and len(step) < 10 and int(step) > 0):
        raise _bad_cron(expression, f"the step of {item} must be a positive number")
    if first in ("*", "?"):
        return
    start = _cron_number(expression, first, names)
    end = _cron_number(expression, last, names) if dash else start
    if start < lowest:
        raise _bad_cron(expression, f"{item} is below the minimum {lowest}")
    if end > highest:
        raise _bad_cron(expression, f"{item} is above the maximum {highest}")
    if start > end:
        raise _bad_cron(expression, f"the range {item} ends before it begins")


def _check_zone(expression: str, name: str) -> None:
    # Which Go knows by itself: "", "UTC", "Local".
    if name not in ("", "UTC", "Local") and not is_time_zone(name):
        raise _bad_cron(expression, f"unknown time zone {name}")


def _cron_number(expression: str, text: str, names: Mapping[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise _bad_cron(expression, f"{text or 'nothing'} is no number")


def _bad_cron(expression: str, reason: str) -> Exception:
    return invalid(f"invalid cron expression [{expression}]: {reason}")
