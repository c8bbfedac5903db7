"""Manifests of every overlay."""

from __future__ import annotations

import pytest

from .rendering import OVERLAYS, Manifest, rendered


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """All objects of an overlay; the test runs for each."""
    return rendered(request.param)
