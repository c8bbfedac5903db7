"""`flightlog deliveries …`: its options. What is done is in `commands/deliveries.py`."""

from datetime import datetime
from typing import Annotated

import typer

from .running import DEFAULT_DATA, AsJson, Data, run

app = typer.Typer(
    name="deliveries",
    help="Notifications, webhooks and OpenLineage events: what was sent, what waits, what is parked.",
    no_args_is_help=True,
)

Execution = Annotated[str, typer.Option(help="Of this execution alone, as `project/domain/name`.")]
Sink = Annotated[str, typer.Option(help="Of this sink alone; `email` are the notifications.")]
Project = Annotated[str, typer.Option(help="Of this project alone.")]
Domain = Annotated[str, typer.Option(help="Of this domain alone.")]
From = Annotated[
    datetime | None, typer.Option("--from", formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"])
]
To = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"])]


@app.command()
def ls(
    sink: Sink = "",
    execution: Execution = "",
    project: Project = "",
    domain: Domain = "",
    state: Annotated[str, typer.Option(help="waiting, retrying, delivered or parked.")] = "",
    begin: From = None,
    end: To = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most, the newest.")] = 50,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Deliveries, newest first. A moment without a time zone is local time."""
    from .commands.deliveries import listed, selection

    wanted = selection(sink, execution, project, domain, state, begin, end)
    run(listed(data, wanted, limit=limit, as_json=as_json))


@app.command()
def retry(
    sink: Sink = "",
    execution: Execution = "",
    project: Project = "",
    domain: Domain = "",
    begin: From = None,
    end: To = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Try what is parked again, from the beginning; without options all of it."""
    from .commands.deliveries import retried, selection

    wanted = selection(sink, execution, project, domain, "", begin, end)
    run(retried(data, wanted, as_json=as_json))


@app.command()
def replay(
    sink: Sink = "",
    execution: Execution = "",
    project: Project = "",
    domain: Domain = "",
    begin: From = None,
    end: To = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Deliver once more what happened in a range, or to an execution, under the same event ids."""
    from .commands.deliveries import replayed, selection

    wanted = selection(sink, execution, project, domain, "", begin, end)
    run(replayed(data, wanted, as_json=as_json))
