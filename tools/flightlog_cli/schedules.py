"""`flightlog schedules …`: its options. What is done is in `commands/schedules.py`."""

from typing import Annotated

import typer

from .running import DEFAULT_DATA, AsJson, Data, run

app = typer.Typer(name="schedules", help="Schedules of launch plans: when they tick, and what became of their ticks.")

Name = Annotated[str, typer.Argument(help="Launch plan as `name` or `project/domain/name`.")]


@app.callback(invoke_without_command=True)
def ls(
    context: typer.Context,
    project: Annotated[str, typer.Option(help="Of this project alone.")] = "",
    domain: Annotated[str, typer.Option(help="Of this domain alone.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 500,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Schedules of launch plans: when they tick, and what became of their ticks. Without a command: all of them."""
    if context.invoked_subcommand is None:
        from .commands.schedules import listed

        run(listed(data, project, domain, limit=limit, as_json=as_json))


@app.command()
def show(
    name: Name,
    upcoming: Annotated[int, typer.Option("--next", min=0, max=1000, help="How many ticks to come.")] = 5,
    past: Annotated[int, typer.Option(min=0, max=1000, help="How many of those that were.")] = 10,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """One schedule with its next and its past ticks."""
    from .commands.schedules import shown

    run(shown(data, name, upcoming=upcoming, past=past, as_json=as_json))


@app.command()
def pause(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it.")] = "",
    data: Data = DEFAULT_DATA,
) -> None:
    """Let ticks pass without executions. What runs goes on; the launch plan stays active."""
    from .commands.schedules import paused

    run(paused(data, name, reason=reason))


@app.command()
def resume(name: Name, data: Data = DEFAULT_DATA) -> None:
    """Go on with the next tick. What passed during the pause is not caught up on."""
    from .commands.schedules import resumed

    run(resumed(data, name))
