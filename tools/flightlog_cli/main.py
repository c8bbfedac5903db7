"""The `flightlog` command: what it offers, and where each command is carried out.

Modules of the commands are imported when they run: `flightlog --help` and shell completion answer at once.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from . import backfill, cache, deliveries, schedules
from .running import DEFAULT_DATA as _DEFAULT_DATA
from .running import AsJson, Data
from .running import run as _run

app = typer.Typer(
    name="flightlog",
    help="A drop-in, event-sourced backend for Flyte workflows.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flightlog {version('flightlog')}")
        raise typer.Exit


@app.callback()
def flightlog(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A drop-in, event-sourced backend for Flyte workflows."""


@app.command()
def up(
    data: Data = _DEFAULT_DATA,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Public gRPC port; 0 takes a free one.")] = 8089,
    host: Annotated[str, typer.Option(help="Address to listen on; loopback alone unless told.")] = "127.0.0.1",
    as_json: AsJson = False,
) -> None:
    """Start the whole stack in the foreground: NATS, Postgres, S3 and all services. Ctrl-C stops it.

    Prints one line `ready` when it serves, and keeps the endpoints in endpoints.json of the data folder.
    """
    from .commands.up import up as run

    _run(run(data, host=host, port=port, as_json=as_json))


@app.command()
def status(data: Data = _DEFAULT_DATA, as_json: AsJson = False) -> None:
    """What runs, since when, and how far the log is. Exits 1 when the stack or a part of it is down."""
    from .commands.status import status as run

    raise typer.Exit(_run(run(data, as_json=as_json)))


@app.command()
def events(
    execution: Annotated[str, typer.Argument(help="Execution as `name` or `project/domain/name`; none: all.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the execution ends.")] = False,
    view: Annotated[
        str, typer.Option(help="`compact`; `timeline`: bars of nodes and attempts; `raw`: whole envelopes with hashes.")
    ] = "compact",
    stream: Annotated[str, typer.Option(help="Another stream: REGISTRY, LAUNCHER, CATALOG, AUDIT, …")] = "",
    project: Annotated[str, typer.Option(help="Only of this project.")] = "",
    domain: Annotated[str, typer.Option(help="Only of this domain.")] = "",
    fact: Annotated[list[str] | None, typer.Option(help="Only events with this fact; may be repeated.")] = None,
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Everything that happened to an execution, from the log: when, what, to which node, and because of what.

    Without an execution: what happened in a project, or on a whole stream.
    """
    from flightlog_protos.history.v1.events_pb2 import EventFilter

    from .commands.events import events as run

    asked = EventFilter(stream=stream, project=project, domain=domain, facts=fact or ())
    _run(run(data, execution, asked, view=view, follow=follow, as_json=as_json))


@app.command()
def audit(
    actor: Annotated[str, typer.Option(help="Part of a user's, client's or address' name.")] = "",
    kind: Annotated[str, typer.Option(help="`execution`, `task`, `launch_plan`, `project`, `schedule`, …")] = "",
    project: Annotated[str, typer.Option(help="Only about this project.")] = "",
    domain: Annotated[str, typer.Option(help="Only about this domain.")] = "",
    name: Annotated[str, typer.Option(help="Only about what has this name.")] = "",
    since: Annotated[str, typer.Option(help="From then on: 2026-01-31T12:00:00Z, or 2h: so long ago.")] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    refused: Annotated[bool, typer.Option("--refused", help="Only what was not done.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="At most so many, the newest; 0: all.")] = 100,
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Who asked for what, newest first, and whether it was done or refused."""
    from flightlog_protos.history.v1.audit_pb2 import ListAuditRequest

    from .commands.audit import audit as run
    from .commands.audit import moment

    async def listed() -> None:
        request = ListAuditRequest(
            actor=actor,
            kind=kind,
            project=project,
            domain=domain,
            name=name,
            since=moment(since),
            until=moment(until),
            only_refused=refused,
        )
        await run(data, request, limit=limit, as_json=as_json)

    _run(listed())


@app.command()
def why(
    execution: Annotated[str, typer.Argument(help="Execution as `name` or `project/domain/name`.")],
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """What an execution waits for now, or what made it fail: through nodes, attempts and child executions."""
    from .commands.why import why as run

    _run(run(data, execution, as_json=as_json))


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="Execution as `name` or `project/domain/name`.")],
    after: Annotated[str, typer.Argument(help="Another one, likewise.")],
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Where two executions went different ways: versions, inputs, settings, and each node by its place."""
    from .commands.diff import diff as run

    _run(run(data, before, after, as_json=as_json))


@app.command()
def at(
    execution: Annotated[str, typer.Argument(help="Execution as `name` or `project/domain/name`.")],
    moment: Annotated[
        str,
        typer.Argument(
            help="A time (2026-01-31T12:00:00Z), a sequence (42), seconds since it was created (+1.5), "
            "or the position of an envelope ('#3')."
        ),
    ],
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """An execution with its nodes and attempts as they were at a moment."""
    from .commands.at import at as run

    _run(run(data, execution, moment, as_json=as_json))


@app.command()
def replay(
    what: Annotated[
        str, typer.Argument(help="A file that `export` wrote; or an execution: `name`, `project/domain/name`.")
    ],
    children: Annotated[bool, typer.Option("--children", help="The executions that it started, too.")] = False,
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Decide everything again, and say what today's engine would decide otherwise. Exits 1 when there is something.

    A file needs no stack.
    """
    from .commands.replay import replay as run

    raise typer.Exit(_run(run(data, what, children=children, as_json=as_json)))


@app.command()
def export(
    execution: Annotated[str, typer.Argument(help="Execution as `name` or `project/domain/name`.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write, `-`: stdout; <name>.history.gz unless told."),
    ] = None,
    children: Annotated[bool, typer.Option("--children", help="With the executions that it started.")] = False,
    without_data: Annotated[
        bool, typer.Option("--without-data", help="Hashes in place of inputs and outputs.")
    ] = False,
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """An execution's whole history as one file: for a bug report, a test, or another stack."""
    from .commands.replay import export as run

    _run(run(data, execution, output, children=children, without_data=without_data, as_json=as_json))


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that `export` wrote.", dir_okay=False)],
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Put an exported history on the log, as something that happened elsewhere. Nothing is run."""
    from .commands.replay import import_ as run

    _run(run(data, file, as_json=as_json))


@app.command()
def terminate(
    execution: Annotated[str, typer.Argument(help="Execution as `name` or `project/domain/name`.")],
    cause: Annotated[str, typer.Option(help="Why; clients see it.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="End it at once, without waiting until what runs is gone.")
    ] = False,
    data: Data = _DEFAULT_DATA,
) -> None:
    """Abort an execution. `--force` is for one that cannot end: its launcher is gone and nothing can be cleaned up."""
    from .commands.terminate import terminate as run

    _run(run(data, execution, cause=cause, force=force))


@app.command()
def delete(
    execution: Annotated[str, typer.Argument(help="Execution as `name` or `project/domain/name`.")],
    reason: Annotated[str, typer.Option(help="Why; it stays when all else is gone.")] = "",
    data: Data = _DEFAULT_DATA,
) -> None:
    """Delete an execution that is over, with its data and events. What stays: that it was deleted, by whom and when."""
    from .commands.delete import delete as run

    _run(run(data, execution, reason=reason))


@app.command()
def shred(
    project: Annotated[str, typer.Argument(help="Id of the project.")],
    reason: Annotated[str, typer.Option(help="Why; it stays.")],
    data: Data = _DEFAULT_DATA,
) -> None:
    """Destroy the keys of a project's personal data: nobody can read it any more, on the log or in the archive."""
    from .commands.delete import shred as run

    _run(run(data, project, reason=reason))


@app.command()
def recover(
    execution: Annotated[str, typer.Argument(help="Execution as `name` or `project/domain/name`.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be reused, and why.")] = False,
    name: Annotated[str, typer.Option(help="Name of the new execution; made up unless told.")] = "",
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Run an execution again, without what has succeeded in it already."""
    from .commands.recover import recover as run

    _run(run(data, execution, name=name, dry_run=dry_run, as_json=as_json))


@app.command()
def lineage(
    artifact: Annotated[
        str, typer.Argument(help="`<execution>[/<node>[.<variable>]]`, or the address of a file, folder or frame.")
    ],
    backward: Annotated[bool, typer.Option("--backward", help="Only what it was made from.")] = False,
    forward: Annotated[bool, typer.Option("--forward", help="Only what was made of it.")] = False,
    depth: Annotated[int, typer.Option(min=0, help="Steps from the artifact; 0: as far as it goes.")] = 0,
    svg: Annotated[Path | None, typer.Option(help="Draw a picture into this file.", dir_okay=False)] = None,
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Which node of which run made something, from what, and which runs used it."""
    from .commands.lineage import lineage as run

    _run(run(data, artifact, backward=backward, forward=forward, depth=depth, picture=svg, as_json=as_json))


@app.command()
def queue(
    execution: Annotated[str, typer.Argument(help="Only this one's queues: `name` or `project/domain/name`.")] = "",
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Who runs and who waits, at what place, where it is limited how many executions run at once."""
    from .commands.queue import queue as run

    _run(run(data, execution, as_json=as_json))


@app.command()
def rebuild(
    service: Annotated[str | None, typer.Argument(help="Rebuild this service's tables alone.")] = None,
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Build every table again from the log, beside the live ones; compare, then switch. Exits 1 on a difference."""
    from .commands.rebuild import rebuild as run

    raise typer.Exit(_run(run(data, service, as_json=as_json)))


@app.command()
def archive(data: Data = _DEFAULT_DATA, as_json: AsJson = False) -> None:
    """How far each stream of the log is archived in the object store."""
    from .commands.archive import archive as run

    _run(run(data, as_json=as_json))


@app.command()
def restore(
    source: Annotated[
        str,
        typer.Option("--from", help="`s3://<bucket>/<folder>` of an archive, or another data folder; else its own."),
    ] = "",
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Fill an empty log from its archive, running executions included. No service may run meanwhile."""
    from flightlog_service import without_data_frames

    from .commands.restore import restore as run

    without_data_frames()
    _run(run(data, source, as_json=as_json))


@app.command()
def verify(
    execution: Annotated[
        str, typer.Option(help="Only this one's events: `name` or `project/domain/name`.", show_default=False)
    ] = "",
    tables: Annotated[bool, typer.Option("--tables", help="Every table too, made again and compared.")] = False,
    archive: Annotated[bool, typer.Option("--archive", help="The archive too, message by message.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make damaged segments again from the log, and put lost facts back.")
    ] = False,
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Whether the log is what was written: hash chains, order, gaps. Exits 1 when something is wrong, and says what
    would repair it.
    """
    from flightlog_service import without_data_frames

    from .commands.verify import verify as run

    without_data_frames()
    raise typer.Exit(
        _run(run(data, execution=execution, tables=tables, archive=archive, repair=repair, as_json=as_json))
    )


@app.command()
def parked(
    redrive: Annotated[int | None, typer.Option(metavar="SEQ", help="Hand this message in again.")] = None,
    data: Data = _DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Messages that no consumer could digest, with the reason; `--redrive` hands one in again."""
    from .commands.parked import parked as run

    _run(run(data, redrive=redrive, as_json=as_json))


app.add_typer(cache.app)
app.add_typer(deliveries.app)
app.add_typer(schedules.app)
app.add_typer(backfill.app)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
