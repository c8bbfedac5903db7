"""What is computed once. Inputs carry a text of the session, so that only its own results are found."""

import random
import time
import typing

from flytekit import HashMethod, dynamic, map_task, task, workflow
from typing_extensions import Annotated


@task(cache=True, cache_version="1")
def drawn(token: str) -> int:
    return random.randrange(10**12)


@workflow
def remembered(token: str) -> int:
    return drawn(token=token)


@task(cache=True, cache_version="2")
def drawn_two(token: str) -> int:
    return random.randrange(10**12)


@workflow
def other(token: str) -> int:
    return drawn_two(token=token)


@task(cache=True, cache_version="1", cache_ignore_input_vars=("noise",))
def deaf(token: str, noise: int) -> int:
    return random.randrange(10**12)


@workflow
def ignoring(token: str, noise: int) -> int:
    return deaf(token=token, noise=noise)


@task
def wrapped(token: str, noise: int) -> Annotated[str, HashMethod(lambda value: value.partition("#")[0])]:
    return f"{token}#{noise}"


@task(cache=True, cache_version="1")
def of_hash(value: str) -> int:
    return random.randrange(10**12)


@workflow
def hashed(token: str, noise: int) -> int:
    return of_hash(value=wrapped(token=token, noise=noise))


@task(cache=True, cache_version="1", cache_serialize=True)
def one_at_a_time(token: str) -> int:
    time.sleep(1.0)
    return random.randrange(10**12)


@workflow
def serialized(token: str) -> int:
    return one_at_a_time(token=token)


@task
def inc(x: int) -> int:
    return x + 1


@dynamic(cache=True, cache_version="1")
def planned(token: str) -> typing.List[int]:
    return [inc(x=random.randrange(10**12)) for _ in range(2)]


@workflow
def dynamic_remembered(token: str) -> typing.List[int]:
    return planned(token=token)


@task(cache=True, cache_version="1")
def element(text: str) -> int:
    return random.randrange(10**12)


@task
def texts(token: str, size: int) -> typing.List[str]:
    return [f"{token}-{number}" for number in range(size)]


@workflow
def mapped(token: str, size: int) -> typing.List[int]:
    return map_task(element)(text=texts(token=token, size=size))


@task(cache=True, cache_version="1")
def fails_first(token: str) -> int:
    raise ValueError("not worth remembering")
    return 0


@workflow
def failing(token: str) -> int:
    return fails_first(token=token)


@task(cache=True, cache_version="1")
def times_ten(x: int) -> int:
    return x * 10


@workflow
def keyed(x: int = 4) -> int:
    return times_ten(x=x)


@task(cache=True, cache_version="1", cache_serialize=True)
def fails_alone(token: str) -> int:
    raise ValueError("nothing to remember")
    return 0


@workflow
def serialized_failure(token: str) -> int:
    return fails_alone(token=token)
