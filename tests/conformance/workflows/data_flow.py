"""How data gets from node to node: order without data, attributes of outputs, absent values, names of nodes."""

import typing
from dataclasses import dataclass

from flytekit import task, workflow


@dataclass
class Shape:
    width: int
    height: float
    tags: typing.List[str]


@task
def note(text: str) -> None:
    print(text)


@workflow
def ordered() -> None:
    first = note(text="first").with_overrides(node_name="first")
    second = note(text="second").with_overrides(node_name="second")
    first >> second


@task
def shapes() -> typing.Dict[str, typing.List[Shape]]:
    return {"k": [Shape(width=3, height=2.0, tags=["a", "b"])]}


@task
def show(width: int, tag: str, shape: Shape) -> str:
    return f"{type(width).__name__} {width} {tag} {shape.width}"


@workflow
def attributes() -> str:
    found = shapes()
    return show(width=found["k"][0].width, tag=found["k"][0].tags[1], shape=found["k"][0])


@task
def numbers() -> typing.Dict[str, int]:
    return {"a": 1}


@task(retries=2)
def inc(x: int) -> int:
    return x + 1


@workflow
def bad_key() -> int:
    return inc(x=numbers()["no such key"])


@workflow
def bad_index() -> str:
    found = shapes()
    return show(width=found["k"][7].width, tag="t", shape=found["k"][0])


@task
def triple(shape: Shape) -> Shape:
    return Shape(width=shape.width * 3, height=shape.height, tags=shape.tags)


@workflow
def integer_stays(shape: Shape = Shape(width=2, height=0.5, tags=[])) -> int:
    """Through a task, and straight from the workflow's input."""
    return inc(x=triple(shape=shape).width)


@workflow
def input_attribute(shape: Shape = Shape(width=2, height=0.5, tags=[])) -> int:
    return inc(x=shape.width)


@task
def absent(x: typing.Optional[int] = None) -> bool:
    return x is None


@workflow
def unbound() -> bool:
    return absent()


@workflow
def unbound_input(x: typing.Optional[int] = None) -> bool:
    return absent(x=x)


@task
def total(values: typing.List[int], named: typing.Dict[str, int]) -> int:
    return sum(values) + sum(named.values())


@workflow
def collections(x: int = 1) -> int:
    """Lists and maps made of promises, constants and inputs."""
    y = inc(x=x)
    return total(values=[x, y, 10], named={"x": x, "y": y})


@workflow
def passed_through(x: int = 4) -> typing.Tuple[int, int]:
    """An input that no node touches, beside a task's output."""
    return x, inc(x=x)
