"""A Python that has imported what a script needs and waits: each connection forks it, and the fork runs the script.

Importing is what a call of `pyflyte` or `flightlog` takes most of its time for. The fork runs the very script of the
virtual environment, with the folder, arguments, output and exit code of a process of its own. What flytekit reads from
its environment when it is imported is this process's; `warm_scripts.py` keeps one for each environment.

Usage: python warm_server.py SOCKET SCRIPT MODULE…; ends when its standard input does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any


def serve(path: str) -> dict[str, Any]:
    """Returns in the process that is to run a command, with what was asked for."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in readable:
                os._exit(0)
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    return _answered(connection)


def _answered(connection: socket.socket) -> dict[str, Any]:
    """Returns in the command's process; its parent tells the client how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 2)
    pid = os.fork()
    if pid:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(json.dumps(status).encode())
        os._exit(0)
    connection.close()
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (descriptors[0], 1), (descriptors[1], 2)):
        os.dup2(source, target)
        os.close(source)
    return json.loads(data)


def main() -> None:
    path, script, *modules = sys.argv[1:]
    # As in a process that was started with the script.
    sys.path[0] = str(Path(script).parent)
    for module in modules:
        importlib.import_module(module)
    # Else each command collects, and thereby copies, what was loaded here.
    gc.collect()
    gc.freeze()
    asked = serve(path)
    os.chdir(asked["cwd"])
    if asked["environment"] is not None:
        os.environ.clear()
        os.environ.update(asked["environment"])
    signal.setitimer(signal.ITIMER_REAL, asked["seconds"])
    sys.argv = [script, *asked["arguments"]]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
