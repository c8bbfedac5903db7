"""Fixtures of the compiler's tests."""

import pytest

from tests.unit.compiler.templates import Make


@pytest.fixture
def make() -> Make:
    """Makes templates, and compiles them."""
    return Make()
