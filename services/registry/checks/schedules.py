"""Schedules of a launch plan, checked at its creation (admin-contract §5.6)."""

from collections.abc import Mapping

from flyteidl.admin import schedule_pb2
from flyteidl.core import interface_pb2, types_pb2

from flightlog_protos.scheduler.v1.schedules_pb2 import SchedulePolicy
from flightlog_types import cron
from flightlog_types.schedule_policies import BadPolicy, schedule_policy
from services.registry.refusals import invalid


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
    try:
        cron.parse(expression)
    except cron.BadCron as error:
        raise invalid(str(error)) from None
