"""What changes all the time is not all told; what holds at last is."""

from __future__ import annotations

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.pace import Pace
from tests.kubernetes.asking import until
from tests.kubernetes.launching import Launching

_SAID_AT_ONCE = 10
_CHANGES = 30


async def test_last_word_is_told_though_nothing_more_is_heard(launching: Launching) -> None:
    fact = await launching.attempt()
    async with launching.launcher() as runtime:
        await launching.append(fact.execution_id.name, fact)
        await launching.until(fact, AttemptObserved.QUEUED)
        (attempt,) = runtime._attempts.values()  # pyright: ignore[reportPrivateUsage]
        # Long enough for all changes, and a fifth of what it is.
        attempt._pace = Pace(first_pause_seconds=2.0)  # pyright: ignore[reportPrivateUsage]
        await launching.runs(fact)
        for number in range(_CHANGES):
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": f"again {number}"}}
            container = {"name": fact.generated_name, "image": "x", "imageID": "", "ready": False, "state": state}
            await launching.play(fact, phase="Running", containerStatuses=[{**container, "restartCount": number}])

        async def last() -> bool:
            return (await launching.observed(fact))[-1].reason == f"[CrashLoopBackOff]: again {_CHANGES - 1}"

        await until(last)
        said = [item.reason for item in await launching.observed(fact) if "again" in item.reason]
        assert len(said) <= _SAID_AT_ONCE
        await launching.succeeds(fact)
        await launching.end(fact)
