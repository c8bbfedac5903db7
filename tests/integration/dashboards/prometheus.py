"""Debian's Prometheus, scraping the metrics pages of a stack."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.request import urlopen

from flightlog_dashboards.asking import Prometheus


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


_LOOK_SECONDS = 0.1
"""Between two looks at what nobody tells. Without it Prometheus answers a thousand of them a second."""


class ScrapingPrometheus:
    """Scrapes each of `pages` (service -> address of its page) every second, from `start` until `stop`."""

    def __init__(self, program: str, folder: Path, pages: Mapping[str, str]) -> None:
        self._program = program
        self._folder = folder
        self._services = len(pages)
        self._port = free_port()
        self.client = Prometheus(f"http://127.0.0.1:{self._port}")
        targets = [page.removeprefix("http://").removesuffix("/metrics") for page in pages.values()]
        configuration = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "flightlog", "static_configs": [{"targets": targets}]}],
        }
        # JSON is YAML.
        (folder / "prometheus.yml").write_text(json.dumps(configuration))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    f"--config.file={self._folder}/prometheus.yml",
                    f"--storage.tsdb.path={self._folder}/data",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
            )
        while not self._ready():
            assert self._process.poll() is None, (self._folder / "prometheus.log").read_text()
            time.sleep(_LOOK_SECONDS)

    def _ready(self) -> bool:
        try:
            with urlopen(f"{self.client.url}/-/ready", timeout=10) as answer:
                return answer.status == 200
        except OSError:
            return False

    async def scraped(self, times: int = 1) -> float:
        """Waits until every page has been scraped so many times from now on; gives the moment of the last one."""
        after = time.time()
        for _ in range(times):
            after = await self._scraped_after(after)
        return after

    async def _scraped_after(self, moment: float) -> float:
        deadline = time.monotonic() + 60
        while True:
            # Of a comparison `timestamp` would tell when it was asked.
            up = 'up{job="flightlog"}'
            found = await self.client.get("query", query=f"timestamp({up}) and ({up} == 1)")
            at = [float(one["value"][1]) for one in found["result"]]
            if len(at) == self._services and min(at) > moment:
                return max(at)
            assert time.monotonic() < deadline, f"{len(at)} of {self._services} services are scraped"
            await asyncio.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
