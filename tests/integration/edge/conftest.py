"""Debian's nginx as the edge; tests say so where it is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from .nginx import Nginx

Start = Callable[..., Nginx]


@pytest.fixture(scope="session")
def nginx_program() -> str:
    """Path of nginx."""
    found = shutil.which("nginx", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/opt/homebrew/bin")
    if found is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light): the edge cannot be driven")
    return found


@pytest.fixture
def start_edge(nginx_program: str, tmp_path: Path) -> Iterator[Start]:
    """Start an edge in front of some upstreams; it is stopped after the test."""
    started: list[Nginx] = []

    def start(upstreams: Mapping[str, str], changes: Mapping[str, str] | None = None) -> Nginx:
        folder = tmp_path / f"edge-{len(started)}"
        folder.mkdir()
        edge = Nginx(nginx_program, folder, upstreams, changes)
        started.append(edge)
        edge.start()
        return edge

    yield start
    for edge in started:
        edge.stop()
