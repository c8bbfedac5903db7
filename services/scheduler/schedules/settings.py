"""Settings of schedules and backfills: `FLIGHTLOG_SCHEDULER__SCHEDULES__…`."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from flightlog_protos.scheduler.v1.schedules_pb2 import SchedulePolicy
from flightlog_types.schedule_policies import CATCH_UPS, LONGEST_JITTER, OVERLAPS, is_time_zone


class ScheduleSettings(BaseModel):
    """How schedules are kept whose launch plans say nothing about it, and how much is done at once."""

    model_config = ConfigDict(extra="forbid")

    catch_up: Literal["all", "latest", "none"] = Field(
        "all", description="Which of the ticks fire that were missed while no scheduler ran; Flyte fires all"
    )
    overlap: Literal["allow", "skip", "wait", "replace"] = Field(
        "allow", description="What a tick does while the run of an earlier one goes on; Flyte allows it"
    )
    jitter: timedelta = Field(
        timedelta(), ge=timedelta(), le=LONGEST_JITTER, description="Each tick fires up to this much later"
    )
    time_zone: str = Field("UTC", description="Zone of cron expressions, as an IANA name")
    missed_after: timedelta = Field(
        timedelta(minutes=1), gt=timedelta(), description="A tick that could not fire for as long was missed"
    )
    fired_at_once: int = Field(100, gt=0, le=1000, description="Executions that one decision asks for")
    considered_at_once: int = Field(10_000, gt=0, description="Ticks that one decision looks at")
    waiting: int = Field(
        100, gt=0, description="Ticks of one schedule that wait for an earlier run, with overlap `wait`"
    )
    backfill_ticks: int = Field(10_000, gt=0, description="The most ticks that a backfill may have")
    max_in_flight: int = Field(512, gt=0, description="Schedules and backfills worked on at once")

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        if not is_time_zone(name):
            raise ValueError("a time zone is an IANA name, such as Europe/Berlin")
        return name

    @property
    def policy(self) -> SchedulePolicy:
        """What holds for launch plans without annotations."""
        policy = SchedulePolicy(
            catch_up=CATCH_UPS[self.catch_up], overlap=OVERLAPS[self.overlap], time_zone=self.time_zone
        )
        policy.jitter.FromTimedelta(self.jitter)
        return policy
