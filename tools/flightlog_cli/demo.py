"""`make demo`: a training pipeline on a stack of its own, from nothing to a model, in under a minute.

Starts `flightlog up` on a scratch folder, runs `examples/training.py` with the unmodified pyflyte, prints the outputs
and the history of the execution, and stops everything. Exits 1 when the pipeline does not succeed.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import grpc
from flyteidl.admin import node_execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2
from flyteidl.service import admin_pb2_grpc
from rich.console import Console
from rich.status import Status

from flightlog_cli.embedded.child import StackError
from flightlog_cli.stack_process import StackProcess

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "training.py"
WORKFLOW = "train_best"
EXECUTION = identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name="training")
PRELOAD = '["flytekit.bin.entrypoint", "s3fs", "pandas", "pyarrow", "sklearn.ensemble"]'
"""The launcher's warm Python has the example's libraries imported before the first task."""
_POLL_SECONDS = 0.25

_console = Console(highlight=False)


def main() -> int:
    begun = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends the demo ends its stack
    try:
        with tempfile.TemporaryDirectory(prefix="flightlog-demo-") as folder:
            stack = StackProcess(Path(folder), port=0, environment={"FLIGHTLOG_PROCESS__PRELOAD": PRELOAD})
            try:
                with _step("starting NATS, Postgres, S3 and the services"):
                    stack.start()
                _run_example(stack)
                with _step("fetching the outputs"):
                    outputs = _outputs(stack)
                _show(stack, outputs)
            finally:
                with _step("stopping everything"):
                    stack.stop()
    except StackError as error:
        _console.print(f"[red]{error}[/]")
        return 1
    except KeyboardInterrupt:
        return 130
    _console.print(f"Done in {time.monotonic() - begun:.0f} s. Next: `make up`, and your own `pyflyte run --remote`.")
    return 0


@contextmanager
def _step(text: str) -> Generator[Status]:
    """A line that says what is being done, then that it is done."""
    begun = time.monotonic()
    with _console.status(text) as status:
        yield status
    _console.print(f"[green]✓[/] {text} [dim]({time.monotonic() - begun:.1f} s)[/]")


def _run_example(stack: StackProcess) -> None:
    command = ["pyflyte", "run", "--remote", "--wait", "--poll-interval", "1", "--name", EXECUTION.name]
    command += [EXAMPLE.name, WORKFLOW]
    with (
        _step(" ".join(command)) as status,
        subprocess.Popen(
            [str(Path(sys.executable).with_name(command[0])), *command[1:]],
            cwd=EXAMPLE.parent,
            env=_client_environment(stack),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as pyflyte,
    ):
        _report_progress(stack, pyflyte, status)
        printed = pyflyte.communicate()[0]
    if pyflyte.returncode:
        raise StackError(f"pyflyte ended with {pyflyte.returncode}:\n{printed}")


def _report_progress(stack: StackProcess, pyflyte: "subprocess.Popen[str]", status: Status) -> None:
    """Say which tasks run until pyflyte ends."""
    with grpc.insecure_channel(stack.grpc) as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        request = node_execution_pb2.NodeExecutionListRequest(workflow_execution_id=EXECUTION, limit=100)
        while pyflyte.poll() is None:
            try:
                nodes = list(admin.ListNodeExecutions(request, timeout=5).node_executions)
            except grpc.RpcError:
                nodes = []  # pyflyte is still registering
            status.update(_progress(nodes) if nodes else "pyflyte registers the workflow")
            time.sleep(_POLL_SECONDS)


def _progress(nodes: list[node_execution_pb2.NodeExecution]) -> str:
    phase = core_execution_pb2.NodeExecution
    tasks = [node for node in nodes if node.id.node_id not in ("start-node", "end-node")]
    done = sum(node.closure.phase == phase.SUCCEEDED for node in tasks)
    running = [node.metadata.spec_node_id for node in tasks if node.closure.phase in (phase.RUNNING, phase.QUEUED)]
    return f"{done} nodes done" + (f", running {', '.join(sorted(running))}" if running else "")


def _outputs(stack: StackProcess) -> str:
    """What `examples/outputs.py` prints: the outputs as the unmodified FlyteRemote sees them."""
    command = [sys.executable, str(EXAMPLE.with_name("outputs.py")), EXECUTION.name]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=_client_environment(stack))
    if result.returncode:
        raise StackError(f"The outputs cannot be read:\n{result.stderr}")
    return result.stdout


def _show(stack: StackProcess, outputs: str) -> None:
    _console.print("\n[bold]Outputs[/]")
    _console.print(outputs.rstrip(), soft_wrap=True, markup=False)
    _console.print(f"\n[bold]What happened[/] [dim](flightlog events {EXECUTION.name})[/]")
    command = [sys.executable, "-P", "-m", "flightlog_cli", "events", EXECUTION.name, "--data", str(stack.data)]
    environment = {**os.environ, **({"FORCE_COLOR": "1"} if _console.is_terminal else {})}
    subprocess.run(command, check=True, env=environment)
    _console.print()


def _client_environment(stack: StackProcess) -> dict[str, str]:
    """Of a Flyte client on this machine; no configuration file of the user's comes in between."""
    return {**os.environ, **stack.client_environment, "FLYTECTL_CONFIG": os.devnull}


if __name__ == "__main__":
    sys.exit(main())
