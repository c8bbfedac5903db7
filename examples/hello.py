"""The smallest workflow: two steps, the second waits for the first.

pyflyte run --remote --wait examples/hello.py greet --name Ada
"""

from flytekit import task, workflow


@task
def greeting(name: str) -> str:
    return f"Hello, {name}!"


@task
def count_letters(text: str) -> int:
    return sum(letter.isalpha() for letter in text)


@workflow
def greet(name: str = "world") -> int:
    return count_letters(text=greeting(name=name))
