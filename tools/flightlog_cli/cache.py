"""`flightlog cache`: what its commands take."""

from typing import Annotated

import typer

from flightlog_cli.running import DEFAULT_DATA, AsJson, Data, run

app = typer.Typer(
    name="cache",
    help="Look into the cache: what is cached, why a node found nothing, and taking results out.",
    no_args_is_help=True,
)

Task = Annotated[str, typer.Option("--task", help="Name of the task, workflow or launch plan.")]
Project = Annotated[str, typer.Option("--project", "-p", help="Project of the task.")]
Domain = Annotated[str, typer.Option("--domain", "-d", help="Domain of the task.")]
Version = Annotated[str, typer.Option("--version", help="Cache version.")]
TaskVersion = Annotated[str, typer.Option("--task-version", help="Version of the task that made it.")]
Execution = Annotated[str, typer.Option("--execution", "-x", help="Execution that made it.")]
OlderThan = Annotated[str, typer.Option("--older-than", metavar="AGE", help="Made longer ago: 90s, 30m, 12h, 7d, 2w.")]
UnusedFor = Annotated[str, typer.Option("--unused-for", metavar="AGE", help="Neither made nor used since.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the event.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell which results are meant.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Result = Annotated[
    str, typer.Argument(help="A result: its id, its tag, or execution/node of one that made or took it.")
]
Results = Annotated[
    list[str] | None, typer.Argument(metavar="[RESULT]...", help="Results, as `cache show` takes them.")
]


@app.command()
def ls(
    task: Task = "",
    project: Project = "",
    domain: Domain = "",
    version: Version = "",
    task_version: TaskVersion = "",
    execution: Execution = "",
    older_than: OlderThan = "",
    unused_for: UnusedFor = "",
    pinned: Annotated[
        bool | None, typer.Option("--pinned/--not-pinned", help="Only those that are, or are not.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most so many; 0: all.")] = 50,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """What is cached, newest first: whose result it is, who made it, and how often it was used."""
    from flightlog_cli.commands import cache as commands

    wanted = commands.Wanted(
        task, project, domain, version, task_version, execution, older_than, unused_for, pinned=pinned
    )
    run(commands.ls(data, wanted, limit=limit, as_json=as_json))


@app.command()
def show(result: Result, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """One result: its inputs and outputs, who made it, who used it, and what happened to it.

    Also of one that was evicted, by execution/node.
    """
    from flightlog_cli.commands import cache as commands

    run(commands.show(data, result, as_json=as_json))


@app.command()
def explain(
    execution: Annotated[str, typer.Argument(help="Execution as `name` or `project/domain/name`.")],
    node: Annotated[str, typer.Argument(help="Id of the node; of a map's element `n0[3]`. Without: all nodes.")] = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Why a node found no result, or found the one it has: by which part its key differs from the nearest result."""
    from flightlog_cli.commands import cache as commands

    explained = commands.explain if node else commands.explain_all
    run(explained(data, execution, node, as_json=as_json))


@app.command()
def evict(
    results: Results = None,
    task: Task = "",
    project: Project = "",
    domain: Domain = "",
    version: Version = "",
    task_version: TaskVersion = "",
    execution: Execution = "",
    older_than: OlderThan = "",
    unused_for: UnusedFor = "",
    reason: Reason = "",
    dry_run: DryRun = False,
    pinned_too: Annotated[bool, typer.Option("--pinned-too", help="Pinned results as well.")] = False,
    yes: Yes = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Take results out of the cache: the next run makes them again. Tells which ones, and asks.

    It is an event of its own, with who did it and why: `flightlog cache show execution/node`.
    """
    from flightlog_cli.commands import cache as commands

    wanted = commands.Wanted(
        task, project, domain, version, task_version, execution, older_than, unused_for, results=results or ()
    )
    run(commands.evict(data, wanted, reason=reason, dry_run=dry_run, pinned_too=pinned_too, yes=yes, as_json=as_json))


@app.command()
def pin(
    results: Results = None,
    task: Task = "",
    project: Project = "",
    domain: Domain = "",
    version: Version = "",
    task_version: TaskVersion = "",
    execution: Execution = "",
    reason: Reason = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Keep results, whatever is evicted around them and however old they get."""
    from flightlog_cli.commands import cache as commands

    wanted = commands.Wanted(task, project, domain, version, task_version, execution, results=results or ())
    run(commands.pin(data, wanted, reason=reason, unpin=False, as_json=as_json))


@app.command()
def unpin(
    results: Results = None,
    task: Task = "",
    project: Project = "",
    domain: Domain = "",
    version: Version = "",
    task_version: TaskVersion = "",
    execution: Execution = "",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Let pinned results go again."""
    from flightlog_cli.commands import cache as commands

    wanted = commands.Wanted(task, project, domain, version, task_version, execution, results=results or ())
    run(commands.pin(data, wanted, reason="", unpin=True, as_json=as_json))
