"""The recorded calls build on one another: one empty stack for a whole module of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flightlog_cli.stack_process import StackProcess


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A running `flightlog up` of one test module, empty at first."""
    with StackProcess(tmp_path_factory.mktemp("own-stack")) as running:
        yield running
