"""Conditionals: which arm runs, what is seen of it, and what cannot be compared."""

import typing

from flytekit import conditional, task, workflow


@task
def low(x: int) -> str:
    return f"low {x}"


@task
def middle(x: int) -> str:
    return f"middle {x}"


@task
def high(x: int) -> str:
    return f"high {x}"


@workflow
def size(x: int = 7) -> str:
    return conditional("size").if_(x < 0).then(low(x=x)).elif_(x < 10).then(middle(x=x)).else_().then(high(x=x))


@workflow
def refused(x: int = 7) -> str:
    return (
        conditional("size").if_(x < 0).then(low(x=x)).elif_(x > 10).then(high(x=x)).else_().fail("neither low nor high")
    )


@workflow
def both(x: int = 1, y: int = 2) -> str:
    """A conjunction whose left side is false."""
    return conditional("both").if_((x > 5) & (y == 2)).then(high(x=x)).else_().then(low(x=x))


@workflow
def either(x: int = 1, y: int = 2) -> str:
    return conditional("either").if_((x > 5) | ((y >= 2) & (x != y))).then(high(x=x)).else_().then(low(x=x))


@task
def broken(x: int) -> str:
    raise ValueError("the arm broke")
    return ""


@workflow
def failing_arm(x: int = 1) -> str:
    return conditional("arm").if_(x == 1).then(broken(x=x)).else_().then(low(x=x))


@workflow
def arm_workflow(x: int) -> str:
    return low(x=x)


@workflow
def nested(x: int = 1, deep: bool = True) -> str:
    """An arm that is a conditional, and one that is a workflow."""
    return (
        conditional("outer")
        .if_(x > 0)
        .then(conditional("inner").if_(deep.is_true()).then(high(x=x)).else_().then(middle(x=x)))
        .else_()
        .then(arm_workflow(x=x))
    )


@task
def words() -> str:
    return "beta"


@task
def number() -> float:
    return 2.5


@workflow
def of_task_outputs() -> typing.Tuple[str, str]:
    """Strings by their bytes, floats, and a value that a task made."""
    word, value = words(), number()
    first = conditional("word").if_(word == "beta").then(low(x=1)).else_().then(high(x=1))
    second = conditional("value").if_(value >= 2.5).then(low(x=2)).else_().then(high(x=2))
    return first, second


@task
def use(text: str) -> str:
    return f"used {text}"


@workflow
def followed(x: int = -1) -> str:
    """A node after the conditional takes what the taken arm gave."""
    return use(text=conditional("first").if_(x < 0).then(low(x=x)).else_().then(high(x=x)))


@task
def maybe(give: bool) -> typing.Optional[str]:
    return "something" if give else None


@task
def described(value: typing.Optional[str]) -> str:
    return f"found {value}"


@workflow
def of_optional(give: bool = False) -> str:
    """Whether there is a value at all."""
    value = maybe(give=give)
    return conditional("given").if_(value.is_none()).then(low(x=0)).else_().then(described(value=value))


@task
def flags() -> typing.Dict[str, int]:
    return {"count": 3}


@workflow
def of_attribute() -> str:
    found = flags()
    return conditional("count").if_(found["count"] == 3).then(high(x=3)).else_().then(low(x=0))


@workflow
def of_union(x: typing.Union[int, str] = 3) -> str:
    """A comparison that fails for text, after one that is false for everything."""
    return conditional("union").if_((x == 4) & (x == 3)).then(high(x=0)).else_().then(low(x=0))
