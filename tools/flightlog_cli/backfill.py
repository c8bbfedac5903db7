"""`flightlog backfill …`: its options. What is done is in `commands/backfill.py`."""

from datetime import datetime
from typing import Annotated

import typer

from .running import DEFAULT_DATA, AsJson, Data, run

app = typer.Typer(
    name="backfill", help="Run the ticks of a schedule in a range, for the first time or again.", no_args_is_help=True
)

_FORMATS = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]
Id = Annotated[str, typer.Argument(help="Backfill as `id` or `project/domain/id`.")]


@app.command()
def create(
    launch_plan: Annotated[str, typer.Argument(help="Launch plan as `name` or `project/domain/name`.")],
    begin: Annotated[datetime, typer.Option("--from", formats=_FORMATS, help="Ticks from this moment on.")],
    end: Annotated[datetime, typer.Option("--to", formats=_FORMATS, help="Up to, but without, this one.")],
    version: Annotated[str, typer.Option(help="Version of the launch plan; the active one unless told.")] = "",
    parallelism: Annotated[int, typer.Option(min=1, max=10_000, help="How many run at once.")] = 1,
    reverse: Annotated[bool, typer.Option("--reverse", help="The newest tick first.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Run again what has run already, and take nothing from the cache.")
    ] = False,
    stop_on_failure: Annotated[
        bool, typer.Option("--stop-on-failure", help="Ask for nothing more once a run has failed.")
    ] = False,
    name: Annotated[
        str, typer.Option("--id", help="Asking twice with the same one makes one backfill; made up unless told.")
    ] = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Run every tick of a range. A moment without a time zone is local time. The backfill goes on by itself."""
    from .commands.backfill import Wanted, created

    wanted = Wanted(launch_plan, version, begin, end, parallelism, reverse, overwrite, stop_on_failure, name)
    run(created(data, wanted, as_json=as_json))


@app.command()
def ls(
    project: Annotated[str, typer.Option(help="Of this project alone.")] = "",
    domain: Annotated[str, typer.Option(help="Of this domain alone.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="So many at most, the newest.")] = 50,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Backfills and how far they are, newest first."""
    from .commands.backfill import listed

    run(listed(data, project, domain, limit=limit, as_json=as_json))


@app.command()
def show(name: Id, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """One backfill with what became of each of its ticks."""
    from .commands.backfill import shown

    run(shown(data, name, as_json=as_json))


@app.command()
def cancel(
    name: Id,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it.")] = "",
    terminate: Annotated[bool, typer.Option("--terminate", help="Terminate what runs, too.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Ask for nothing more. What runs goes on, unless it is to be terminated."""
    from .commands.backfill import cancelled

    run(cancelled(data, name, reason=reason, terminate=terminate))
