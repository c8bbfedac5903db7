"""`flightlog verify`: whether log, archive and tables are what was written, and what would repair what is not."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.status import Status
from rich.text import Text

from flightlog_archive import Archive
from flightlog_blobs import BlobStore
from flightlog_cli.access import Access, open_database, open_log
from flightlog_cli.commands.events import find
from flightlog_cli.commands.rebuild import PROJECTIONS, by_stream
from flightlog_cli.rebuild_progress import progress_on
from flightlog_log import Log, Subject
from flightlog_read import Database, ProjectionVerification, TableVerification, verify_tables
from services.history.verification.findings import REBUILD, REPAIR, TABLE, UNREADABLE, Finding
from services.history.verification.repairing import Repaired, Repairs
from services.history.verification.verifying import Progress, Verification
from services.history.verification.vouchers import Tables

_ROWS_SHOWN = 3


@dataclass
class Report:
    """What a run of the command has found and done."""

    findings: list[Finding] = field(default_factory=list[Finding])
    streams: list[Progress] = field(default_factory=list[Progress])
    tables: list[ProjectionVerification] = field(default_factory=list[ProjectionVerification])
    repaired: list[Repaired] = field(default_factory=list[Repaired])

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong, or all that was has been repaired."""
        done = [one.finding for one in self.repaired if not one.error]
        return all(finding in done for finding in self.findings)


async def verify(data: Path, *, execution: str, tables: bool, archive: bool, repair: bool, as_json: bool) -> int:
    """Check the log, and with it what is asked for; 0 when nothing is wrong, or nothing is left to be repaired."""
    report = await examine(data, execution=execution, tables=tables, archive=archive, repair=repair)
    if as_json:
        typer.echo(json.dumps(_document(report)))
    else:
        _print(report)
    return 0 if report.clean else 1


async def examine(
    data: Path, *, execution: str = "", tables: bool = False, archive: bool = False, repair: bool = False
) -> Report:
    """What is wrong, and what became of it. Raises `StackError` when there is no such execution."""
    access = Access.of(data)
    report = Report()
    console = Console(stderr=True)
    async with open_log(access) as log, open_database(access) as database:
        blobs = BlobStore.open(access.blobs)
        try:
            kept = Archive(blobs)
            verification = Verification(log, blobs, kept, Tables(database))
            with console.status("reading the log") as status:
                await _check(verification, log, execution, archive or repair, report, status)
            if tables:
                await _compare_tables(database, log, report, console)
            if repair:
                report.repaired = await Repairs(log, blobs, kept, database).repair(report.findings)
        finally:
            await blobs.close()
    return report


async def _check(
    verification: Verification, log: Log, execution: str, archive: bool, report: Report, status: Status
) -> None:
    checks = [verification.streams(archive=archive)]
    if execution:
        subject = await _subject(log, execution)
        observed = Subject.of("LAUNCHER", *subject.parts)
        checks = [verification.subject(str(one), archive=archive) for one in (subject, observed)]
    for found in checks:
        async for one in found:
            if isinstance(one, Finding):
                report.findings.append(one)
            elif one.stream_done:
                report.streams.append(one)
            else:
                status.update(f"{one.stream}: {one.checked} of {one.total}")


async def _subject(log: Log, execution: str) -> Subject:
    """An execution whose name is whole need not be on the log: that may be what is wrong."""
    parts = execution.split("/")
    return Subject.of("EXECUTION", *parts) if len(parts) == 3 and all(parts) else await find(log, execution)


async def _compare_tables(database: Database, log: Log, report: Report, console: Console) -> None:
    for together in by_stream(list(PROJECTIONS)):
        with progress_on(console) as progress:
            report.tables += await verify_tables(database, log, together, progress)
    for result in report.tables:
        report.findings += _findings(result)


def _findings(result: ProjectionVerification) -> list[Finding]:
    repair = f"{REBUILD} {result.projection}"
    found = [
        Finding(UNREADABLE, result.stream, f"{result.projection} makes no row of it: {reason}", sequence=sequence)
        for sequence, reason in result.skipped
    ]
    if result.incomparable:
        text = f"{result.projection}: {result.incomparable}"
        return [*found, Finding(TABLE, result.stream, text, sequence=result.sequence, repair=repair)]
    return found + [
        Finding(TABLE, result.stream, _difference(result.projection, table), sequence=result.sequence, repair=repair)
        for table in result.tables
        if not table.identical
    ]


def _difference(projection: str, table: TableVerification) -> str:
    name = f"{projection}.{table.table}"
    if table.live_rows is None:
        return f"the table {name} is missing"
    if table.rebuilt_rows is None:
        return f"nothing makes a table {name}"
    if table.shape:
        return f"{name}: {table.shape}"
    rows = "; ".join(f"{row.how} {row.key}" for row in table.differences[:_ROWS_SHOWN])
    more = ", and more" if len(table.differences) > _ROWS_SHOWN else ""
    return f"{name} has {table.live_rows} rows, the log says {table.rebuilt_rows}: {rows}{more}"


def _document(report: Report) -> dict[str, Any]:
    return {
        "findings": [asdict(finding) for finding in report.findings],
        "streams": [asdict(one) for one in report.streams],
        "tables": [asdict(one) | {"identical": one.identical} for one in report.tables],
        "repaired": [{"finding": asdict(one.finding), "error": one.error} for one in report.repaired],
    }


def _print(report: Report) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for one in report.streams:
        extra = f", {one.archived:,} more in the archive" if one.archived else ""
        extra += f", {one.trimmed:,} trimmed" if one.trimmed else ""
        console.print(f"{one.stream}: {one.messages:,} messages of {one.subjects:,} aggregates{extra}")
    for result in report.tables:
        verdict = "as the log says" if result.identical else "not as the log says"
        console.print(f"{result.projection}: {len(result.tables)} tables at {result.sequence}, {verdict}")
    for finding in report.findings:
        console.print(Text.assemble((finding.kind, "red"), f" {_place(finding)}: {finding.message}"))
        if finding.uri:
            console.print(Text(f"    {finding.uri}"))
        if finding.repair:
            console.print(Text(f"    repair: {finding.repair}"))
    for one in report.repaired:
        became = (f"not repaired: {one.error}", "red") if one.error else ("repaired", "green")
        console.print(Text.assemble(became, f" {one.finding.kind} {_place(one.finding)}"))
    if not report.findings:
        console.print(Text("Nothing is wrong.", "green"))
    elif not report.clean:
        _advise(console, report.findings)


def _place(finding: Finding) -> str:
    place = finding.stream
    if finding.subject:
        place = finding.subject + (f" position {finding.position}" if finding.position else "")
    return f"{place} at {finding.sequence}" if finding.sequence else place


def _advise(console: Console, findings: Sequence[Finding]) -> None:
    commands = dict.fromkeys(finding.repair for finding in findings if finding.repair)
    beyond = sum(not finding.repair for finding in findings)
    advice = f" To repair: {', '.join(commands)}." if commands else ""
    console.print(Text.assemble((f"{len(findings)} found.", "red"), advice))
    if beyond:
        console.print(f"For {beyond} of them nothing here has what was there.")
    if REPAIR in commands:
        console.print(f"{REPAIR} works while the stack runs.")
