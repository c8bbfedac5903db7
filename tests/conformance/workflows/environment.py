"""What a task finds around it: variables, checkpoints, decks, rendered commands."""

import datetime
import os
import typing

from flytekit import ContainerTask, Deck, Resources, current_context, kwtypes, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


@task
def variables() -> typing.Dict[str, str]:
    wanted = ("FLYTE_INTERNAL_", "FLYTE_ATTEMPT_NUMBER", "GREETING")
    return {name: value for name, value in os.environ.items() if name.startswith(wanted)}


@workflow
def surroundings() -> typing.Dict[str, str]:
    return variables()


@task(environment={"GREETING": "from the task", "OWN": "yes"})
def own_variables() -> typing.Dict[str, str]:
    return {name: os.environ.get(name, "") for name in ("GREETING", "OWN")}


@workflow
def own_surroundings() -> typing.Dict[str, str]:
    return own_variables()


@task(retries=2)
def resumes() -> typing.List[int]:
    """What each attempt found of the one before."""
    checkpoint = current_context().checkpoint
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    found = checkpoint.read()
    steps = [int(step) for step in found.decode().split(",")] if found else []
    steps.append(attempt)
    checkpoint.write(",".join(map(str, steps)).encode())
    if attempt < 2:
        raise FlyteRecoverableException(f"stopped after step {attempt}")
    return steps


@workflow
def checkpointed() -> typing.List[int]:
    return resumes()


@task(enable_deck=True)
def draws(x: int) -> int:
    Deck("numbers", f"<b>the number is {x}</b>")
    return x


@workflow
def decked(x: int = 5) -> int:
    return draws(x=x)


@task(enable_deck=True)
def draws_and_fails(x: int) -> int:
    Deck("numbers", f"<b>the number is {x}</b>")
    raise ValueError("after drawing")
    return 0


@workflow
def decked_failure(x: int = 5) -> int:
    return draws_and_fails(x=x)


rendered = ContainerTask(
    name="environment.rendered",
    image="alpine:3.20",
    inputs=kwtypes(i=int, f=float, s=str, b=bool, d=datetime.datetime, l=typing.List[int]),
    outputs=kwtypes(),
    command=[
        "sh",
        "-c",
        'test "$0 $1 $2 $3 $4 $5" = "7 2.5 some words true 2024-01-02T03:04:05Z [1,2,3]" || { echo "$@"; exit 3; }',
        "{{.inputs.i}}",
        "{{.inputs.f}}",
        "{{.inputs.s}}",
        "{{.inputs.b}}",
        "{{.inputs.d}}",
        "{{.inputs.l}}",
    ],
)


@workflow
def command() -> None:
    rendered(
        i=7, f=2.5, s="some words", b=True, d=datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), l=[1, 2, 3]
    )


@task
def plain() -> int:
    return 1


@workflow
def overridden() -> int:
    return plain().with_overrides(
        requests=Resources(cpu="60m", mem="210Mi"), limits=Resources(cpu="500m", mem="400Mi")
    )
