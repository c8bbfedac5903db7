"""What every command of `flightlog` has in common: its options, and how it is carried out and ends.

Imports little: `flightlog --help` and shell completion answer at once.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from .embedded.child import StackError

Data = Annotated[
    Path, typer.Option("--data", envvar="FLIGHTLOG_DATA", help="Data folder of the stack.", file_okay=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
DEFAULT_DATA = Path("~/.flightlog")
_Result = TypeVar("_Result")


def run(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Carry out a command. A `StackError` is said in one line, with exit code 1."""
    from .logs import to_stderr

    to_stderr()
    try:
        return asyncio.run(coroutine)
    except StackError as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # `flightlog events x | head`: the reader has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
