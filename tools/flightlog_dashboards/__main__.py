"""`python -m flightlog_dashboards`: draws the dashboards with what an installation's Prometheus and Postgres answer."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import asyncpg

from flightlog_dashboards.asking import Prometheus, Sources
from flightlog_dashboards.boards import boards
from flightlog_dashboards.drawing import svg
from flightlog_dashboards.macros import Shown

_POINTS = 120


async def pictures(sources: Sources, shown: Shown) -> dict[str, str]:
    """Each dashboard as SVG, by its name. Raises `QueryFailed`, and OSError."""
    drawn: dict[str, str] = {}
    for board in boards():
        answers = {panel.title: await sources.ask(board, panel, shown) for panel in board.panels}
        drawn[board.name] = svg(board, answers, shown)
    return drawn


async def _ask(arguments: argparse.Namespace) -> dict[str, str]:
    seconds = 60 * arguments.minutes
    end = time.time()
    shown = Shown(end - seconds, end, max(1, round(seconds / _POINTS)), arguments.rate_seconds)
    connection = await asyncpg.connect(arguments.postgres)
    try:
        return await pictures(Sources(Prometheus(arguments.prometheus), connection), shown)
    finally:
        await connection.close()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="flightlog_dashboards", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prometheus", default="http://localhost:9090", help="its address")
    parser.add_argument("--postgres", required=True, help="postgresql://…, of a role that may read")
    parser.add_argument("--minutes", type=float, default=60.0, help="how far back")
    parser.add_argument("--rate-seconds", type=int, default=40, help="over how long rates are taken: four scrapes")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, picture in asyncio.run(_ask(arguments)).items():
        (arguments.folder / f"{name}.svg").write_text(picture)
        print(arguments.folder / f"{name}.svg")


if __name__ == "__main__":
    main()
