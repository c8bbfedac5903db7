"""Conditionals and gates, as users write them."""

import datetime
import enum
import typing
from dataclasses import dataclass

from flytekit import approve, conditional, dynamic, sleep, task, wait_for_input, workflow

MINUTES = datetime.timedelta(minutes=5)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    name: str


@task
def say(word: str) -> str:
    return word


@task
def maybe(x: int) -> typing.Optional[int]:
    return x if x else None


@task
def length(text: str) -> int:
    return len(text)


@task
def point(x: int) -> Point:
    return Point(x, f"p{x}")


@task
def moment(micros: int) -> datetime.datetime:
    return datetime.datetime(2026, 5, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(microseconds=micros)


@workflow
def optional(x: int = 0) -> str:
    """Whether there is a value, and what it is."""
    found = maybe(x=x)
    return (
        conditional("optional")
        .if_(found.is_none())
        .then(say(word="none"))
        .elif_(found == 3)
        .then(say(word="three"))
        .else_()
        .then(say(word="other"))
    )


@workflow
def exact(micros: int = 0) -> str:
    """A microsecond makes a difference."""
    first, second = moment(micros=0), moment(micros=micros)
    return conditional("exact").if_(first < second).then(say(word="later")).else_().then(say(word="same"))


@workflow
def coloured(color: Color = Color.RED, wait: datetime.timedelta = datetime.timedelta(milliseconds=1500)) -> str:
    return (
        conditional("colour")
        .if_((color == Color.BLUE) & (wait > datetime.timedelta(seconds=1)))
        .then(say(word="blue"))
        .elif_(wait < datetime.timedelta(seconds=2))
        .then(say(word="short"))
        .else_()
        .then(say(word="long"))
    )


@workflow
def of_point(x: int = 3) -> str:
    """A field of a dataclass decides, another one is used."""
    found = point(x=x)
    return conditional("point").if_(found.x == 3).then(say(word=found.name)).else_().fail("it is not three")


@workflow
def late(x: int = 1) -> str:
    """The arm takes what a node gives that the conditions do not ask for."""
    word = say(word="late")
    return conditional("late").if_(x == 1).then(say(word=word)).else_().then(say(word="early"))


@workflow
def silent(x: int = 1) -> str:
    """Arms without outputs, and a node after them."""
    pause = conditional("silent").if_(x == 1).then(sleep(datetime.timedelta(milliseconds=10))).else_().fail("no")
    word = say(word="awake")
    pause >> word
    return word


@workflow
def asked_in_arm(x: int = 1) -> int:
    """A gate is the arm."""
    return (
        conditional("ask")
        .if_(x == 1)
        .then(wait_for_input("number", timeout=MINUTES, expected_type=int))
        .else_()
        .then(length(text="abc"))
    )


@workflow
def text_asked() -> int:
    return length(text=wait_for_input("text", timeout=MINUTES, expected_type=str))


@workflow
def approved() -> str:
    return approve(say(word="fine"), "ok", timeout=MINUTES)


@workflow
def asked_twice() -> typing.Tuple[int, int]:
    """Two gates of one name share the value."""
    first = wait_for_input("number", timeout=MINUTES, expected_type=int)
    second = wait_for_input("number", timeout=MINUTES, expected_type=int)
    return first, second


@dynamic
def planned(x: int) -> str:
    """A conditional and a gate that are made at run time."""
    number = wait_for_input("planned", timeout=MINUTES, expected_type=int)
    return conditional("planned").if_(number > x).then(say(word="more")).else_().then(say(word="less"))


@workflow
def made_at_run_time(x: int = 5) -> str:
    return planned(x=x)
