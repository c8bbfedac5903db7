"""The program of a raw container as a process of this machine, with an environment that is its own alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Final

OWN_VARIABLES: Final = "FLIGHTLOG_COPYING__OWN"
"""Which variables are not the program's, and what they are for it: JSON of name to value, null for none."""
_SET_BY_PYTHON: Final = "LC_CTYPE"
"""Where no locale is set, Python sets one for itself and for what it starts."""


def hidden_from_program(own: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """A program's environment with variables that are only for whoever starts it."""
    restored = {name: environment.get(name) for name in (*own, OWN_VARIABLES, _SET_BY_PYTHON)}
    return {**environment, **own, OWN_VARIABLES: json.dumps(restored)}


def environment_of_program(environment: Mapping[str, str]) -> dict[str, str]:
    """The reverse: what the program is to have."""
    restored: dict[str, str | None] = json.loads(environment.get(OWN_VARIABLES, "{}"))
    found = {name: value for name, value in environment.items() if name not in restored}
    return found | {name: value for name, value in restored.items() if value is not None}


async def run_program(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program to its end; returns its exit code.

    A signal that ends it ends us too, so that whoever looks sees the same. SIGTERM is for the program: it comes to the
    whole process group, and what the program makes of it is the answer.
    """
    loop = asyncio.get_running_loop()
    try:
        process = await asyncio.create_subprocess_exec(*argv, env=environment_of_program(environment))
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
        return 127 if isinstance(error, FileNotFoundError) else 126
    loop.add_signal_handler(signal.SIGTERM, lambda: None)
    try:
        code = await process.wait()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code
