"""`python -m services.k8s_launcher.copying`: copies the inputs and outputs of a raw container.

    download   before the container: its inputs into a folder
    collect    beside it: waits for SIGTERM, which comes when the container has ended, then collects its outputs
    run        around a command: both, with the command's exit code as the result

Where the object store is, variables `FLIGHTLOG_BLOBS__…` say, as for the services. What fails is written to `error.pb`
below the output prefix (k8s-contract §1.13, where Flyte's own program writes what nobody reads).

Exit codes: 0 when inputs are there, or when outputs or the reason why there are none have been written; 65 of
`download` and `run` when an error was written; 1 when not even that could be done.
"""

# A container's first process gets no signal that it does not wait for, so this comes before all that takes time.
import signal as _signal

_TERMINATED: list[int] = []
_signal.signal(_signal.SIGTERM, lambda number, _frame: _TERMINATED.append(number))

from services.k8s_launcher.copying.command import main  # noqa: E402

main(_TERMINATED)
