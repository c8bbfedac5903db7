"""What a task finds around it, and leaves behind beside its outputs."""

import datetime
import os
import time
import typing
from dataclasses import dataclass
from pathlib import Path

from flytekit import ContainerTask, Deck, Resources, Secret, current_context, kwtypes, map_task, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException

SMALL = Resources(cpu="100m", mem="200Mi")
MIB = 1 << 20


def until(path: str) -> None:
    """Return when there is a file at `path`."""
    while not Path(path).exists():
        time.sleep(0.02)


# ---------------------------------------------------------------------------------------------------- checkpoints


@task(retries=3, requests=SMALL)
def resumed() -> str:
    """The numbers of the attempts so far, as each found them in the checkpoint of the one before."""
    checkpoint = current_context().checkpoint
    attempt = os.environ["FLYTE_ATTEMPT_NUMBER"]
    found = checkpoint.read() if checkpoint.prev_exists() else None
    so_far = (found or b"nothing").decode() + attempt
    checkpoint.write(so_far.encode())
    if int(attempt) < 2:
        raise FlyteRecoverableException(so_far)
    return so_far


@workflow
def checkpointed() -> str:
    return resumed()


@task(retries=2, requests=SMALL)
def resumed_too_early() -> str:
    """An attempt that failed before it had anything to keep."""
    if os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        raise FlyteRecoverableException("too early")
    found = current_context().checkpoint.read()
    return (found or b"nothing").decode()


@workflow
def nothing_to_resume() -> str:
    return resumed_too_early()


# ---------------------------------------------------------------------------------------------------- decks


@task(enable_deck=True, requests=SMALL)
def watched(go: str, fails: bool) -> int:
    """Publishes a deck, and goes on when it may."""
    Deck("progress", "<p>half of it is done</p>")
    Deck.publish()
    until(go)
    if fails:
        raise ValueError("no more")
    Deck("result", "<p>all of it is done</p>")
    return 1


@workflow
def deck(go: str, fails: bool = False) -> int:
    return watched(go=go, fails=fails)


@task(enable_deck=True, requests=SMALL)
def dies_early() -> int:
    """Declares a deck and never writes it."""
    os._exit(3)
    return 0


@workflow
def deck_without_file() -> int:
    return dies_early()


# ---------------------------------------------------------------------------------------------------- offloading


@dataclass
class Page:
    text: str
    number: int


@task(requests=SMALL)
def large() -> typing.Tuple[str, typing.List[str], Page]:
    """Each of the three is too large for a literal map that the engine reads."""
    return "x" * (3 * MIB), ["a" * MIB, "b" * MIB, "c" * 10, "d" * MIB], Page("y" * (3 * MIB), 5)


@task(requests=SMALL)
def sizes(text: str, texts: typing.List[str], item: str, number: int) -> typing.List[int]:
    return [len(text), len(texts), len(item), number]


@task(requests=SMALL)
def doubled(text: str) -> str:
    return text + text


@task(requests=SMALL)
def lengths(texts: typing.List[str]) -> typing.List[int]:
    return [len(text) for text in texts]


@workflow
def offloaded() -> typing.Tuple[typing.List[int], str, typing.List[int]]:
    """Passed on, looked into, mapped over and gathered again."""
    text, texts, page = large()
    every = lengths(texts=map_task(doubled)(text=texts))
    return sizes(text=text, texts=texts, item=texts[2], number=page.number), text, every


@task(requests=SMALL)
def two_halves() -> typing.Tuple[str, str]:
    """Outputs of which none is large enough to be offloaded, and which are too large together."""
    return "x" * (3 * MIB // 2), "y" * (3 * MIB // 2)


@workflow
def too_large() -> typing.Tuple[str, str]:
    return two_halves()


# ---------------------------------------------------------------------------------------------------- secrets


@task(
    requests=SMALL,
    secret_requests=[
        Secret(group="database", key="password", mount_requirement=Secret.MountType.ENV_VAR, env_var="DB_PASSWORD"),
        Secret(group="database", key="certificate", mount_requirement=Secret.MountType.FILE),
        Secret(group="token"),
    ],
)
def unlocked() -> typing.List[str]:
    secrets = current_context().secrets
    return [
        secrets.get("database", "password"),
        os.environ["DB_PASSWORD"],
        secrets.get("database", "certificate"),
        secrets.get("token"),
    ]


@workflow
def secretive() -> typing.List[str]:
    return unlocked()


@task(requests=SMALL, retries=3, secret_requests=[Secret(group="database", key="no-such-key")])
def locked_out() -> int:
    return 1


@workflow
def without_secret() -> int:
    return locked_out()


# ---------------------------------------------------------------------------------------------------- overrides


@task(requests=SMALL)
def attempts() -> int:
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    if attempt < 2:
        raise FlyteRecoverableException(f"attempt {attempt} fails")
    return attempt


@task(requests=SMALL)
def sleeps(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@workflow
def overridden() -> int:
    return attempts().with_overrides(
        node_name="named",
        retries=2,
        container_image="localhost/other:2",
        requests=Resources(cpu="150m", mem="210Mi"),
        limits=Resources(cpu="1", mem="420Mi"),
    )


@workflow
def overridden_timeout() -> float:
    return sleeps(seconds=600.0).with_overrides(timeout=datetime.timedelta(seconds=1))


# ---------------------------------------------------------------------------------------------------- commands

shell = ContainerTask(
    name="inside.shell",
    image="localhost/shell:1",
    inputs=kwtypes(
        i=int,
        f=float,
        s=str,
        b=bool,
        at=datetime.datetime,
        lasts=datetime.timedelta,
        each=typing.List[typing.List[int]],
    ),
    command=["printf", "%s\n"],
    arguments=[
        "{{.inputs.i}}",
        "{{.inputs.f}}",
        "{{ .Inputs.s }}",
        "{{$inputs.b}}",
        "{{.inputs.at}}",
        "{{.inputs.lasts}}",
        "{{.inputs.each}}",
    ],
)


@workflow
def command(
    i: int,
    f: float,
    s: str,
    b: bool,
    at: datetime.datetime,
    lasts: datetime.timedelta,
    each: typing.List[typing.List[int]],
) -> None:
    shell(i=i, f=f, s=s, b=b, at=at, lasts=lasts, each=each)
