"""How an execution begins and ends: inputs, siblings of a failed node, failure policies, on_failure, aborts."""

import time
import typing

from flytekit import (
    FlyteContextManager,
    LaunchPlan,
    Workflow,
    WorkflowFailurePolicy,
    current_context,
    map_task,
    task,
    workflow,
)
from flytekit.types.error.error import FlyteError


@task
def inc(x: int) -> int:
    return x + 1


@task
def note(text: str) -> None:
    print(text)


@workflow
def one(x: int = 1) -> int:
    return inc(x=x)


@workflow
def nothing() -> None:
    note(text="no outputs")


@task
def join(a: int, b: float, c: str) -> str:
    return f"{a}/{b}/{c}"


@workflow
def wants(a: int, b: float = 1.5, c: str = "c") -> str:
    return join(a=a, b=b, c=c)


wants_fixed = LaunchPlan.get_or_create(wants, "lifecycle.wants_fixed", fixed_inputs={"a": 7}, default_inputs={"b": 2.5})


@task
def fail_after(seconds: float, text: str = "first failure") -> int:
    time.sleep(seconds)
    raise ValueError(text)
    return 0


@task
def block(x: int = 0) -> int:
    time.sleep(300)
    return x


@task
def rest(x: int) -> int:
    time.sleep(0.7)
    return x


@workflow
def siblings() -> typing.Tuple[int, int]:
    """One node fails, another runs on, a third waits for the one that fails."""
    failing = fail_after(seconds=0.5).with_overrides(node_name="failing")
    running = block(x=1).with_overrides(node_name="running")
    after = inc(x=failing).with_overrides(node_name="after")
    return after, running


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def patient_siblings() -> typing.Tuple[int, int]:
    failing = fail_after(seconds=0.0).with_overrides(node_name="failing")
    running = rest(x=1).with_overrides(node_name="running")
    later = inc(x=running).with_overrides(node_name="later")
    after = inc(x=failing).with_overrides(node_name="after")
    return after, later


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def patient_inner() -> int:
    failing = fail_after(seconds=0.5).with_overrides(node_name="failing")
    running = block(x=1).with_overrides(node_name="running")
    inc(x=failing)
    return running


@workflow
def impatient_outer() -> int:
    """Only the sub-workflow asks for patience."""
    return patient_inner().with_overrides(node_name="inner")


@task
def clean_up(x: int, err: typing.Optional[FlyteError] = None) -> None:
    print("cleaning up", x, err)


@workflow(on_failure=clean_up)
def cleaned(x: int = 1) -> int:
    return inc(x=fail_after(seconds=0.0, text="needs cleaning").with_overrides(node_name="failing"))


@task
def clumsy_clean_up(x: int) -> None:
    raise RuntimeError("the mop broke")


@workflow(on_failure=clumsy_clean_up)
def badly_cleaned(x: int = 1) -> int:
    return fail_after(seconds=0.0, text="needs cleaning")


@workflow(on_failure=clean_up)
def aborted_while_running(x: int = 1) -> int:
    return inc(x=block(x=x))


@workflow
def cleaning(x: int) -> None:
    note(text="step one")
    inc(x=x)


@workflow(on_failure=cleaning)
def cleaned_by_workflow(x: int = 1) -> int:
    return fail_after(seconds=0.0, text="needs a whole workflow")


imperatively_cleaned = Workflow(name="lifecycle.imperatively_cleaned")
imperatively_cleaned.add_entity(inc, x=imperatively_cleaned.add_workflow_input("x", int))
imperatively_cleaned.add_entity(fail_after, seconds=0.0, text="needs cleaning")
imperatively_cleaned.add_on_failure_handler(clean_up)


@task
def clean_up_for_ever(x: int) -> None:
    time.sleep(300)


@workflow(on_failure=clean_up_for_ever)
def cleaned_for_ever(x: int = 1) -> int:
    return fail_after(seconds=0.0)


@task
def stamp(number: int) -> typing.List[float]:
    """When it began and ended, in seconds."""
    begun = time.time()
    time.sleep(0.3)
    return [begun, time.time()]


@workflow
def four_stamps() -> typing.List[typing.List[float]]:
    return [stamp(number=0), stamp(number=1), stamp(number=2), stamp(number=3)]


@task
def meets(number: int) -> bool:
    """Whether another element runs at the same time: each leaves a mark, and waits for those of two."""
    access = FlyteContextManager.current_context().file_access
    above = access.raw_output_prefix.rstrip("/").rsplit("/", 2)[0]
    folder = f"{above}/meeting-{current_context().execution_id.name}"
    store = access.get_filesystem_for_path(folder)
    with store.open(f"{folder}/{number}", "wb") as mark:
        mark.write(b"here")
    for _ in range(300):
        if len(store.ls(folder, detail=False, refresh=True)) > 1:
            return True
        time.sleep(0.2)
    return False


@workflow
def meeting(numbers: typing.List[int] = [0, 1, 2]) -> typing.List[bool]:
    return map_task(meets)(number=numbers)
