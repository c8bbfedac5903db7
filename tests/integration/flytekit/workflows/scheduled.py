"""Launch plans with schedules."""

from datetime import datetime, timedelta

from flytekit import CronSchedule, FixedRate, LaunchPlan, workflow
from flytekit.core.task import Echo
from flytekit.models.schedule import Schedule

# Run by the engine itself: a tick costs no process.
echo_moment = Echo(name="scheduled.echo_moment", inputs={"moment": datetime})
echo_number = Echo(name="scheduled.echo_number", inputs={"x": int})


@workflow
def at(kickoff: datetime) -> datetime:
    return echo_moment(moment=kickoff)


@workflow
def counting(x: int = 1) -> int:
    return echo_number(x=x)


daily = LaunchPlan.get_or_create(
    at, "scheduled.daily", schedule=CronSchedule(schedule="0 3 * * *", kickoff_time_input_arg="kickoff")
)
# flytekit's CronSchedule knows only what croniter does.
every_second = LaunchPlan.get_or_create(
    at, "scheduled.every_second", schedule=Schedule("kickoff", cron_schedule=Schedule.CronSchedule("@every 1s", None))
)
hourly = LaunchPlan.get_or_create(
    counting, "scheduled.hourly", default_inputs={"x": 5}, schedule=CronSchedule(schedule="hourly")
)
fixed_rate = LaunchPlan.get_or_create(
    counting, "scheduled.fixed_rate", fixed_inputs={"x": 7}, schedule=FixedRate(duration=timedelta(minutes=10))
)
