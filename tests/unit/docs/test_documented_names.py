"""The settings, metrics and commands that the documentation speaks of are those there are."""

from __future__ import annotations

import re

from typer.main import get_command

from flightlog_cli.main import app
from flightlog_types.cache_keys import OWN_PREFIXES
from services.k8s_launcher.settings import SecretSettings
from tests.unit.deployment.test_settings import known_names
from tests.unit.docs.test_architecture_names import PAGES, ROOT
from tests.unit.telemetry.test_dashboards import sample_names

OF_THE_STACK = {"FLIGHTLOG_DATA", "FLIGHTLOG_ENDPOINT", "FLIGHTLOG_READY_FILE"}
SECRETS = {SecretSettings.model_validate({}).env_prefix.rstrip("_")}
DATASETS = set(OWN_PREFIXES.values())
PACKAGES = {path.name for folder in ("libs", "tools") for path in (ROOT / folder).iterdir()}


def found(pattern: str) -> set[str]:
    return {name for page in PAGES for name in re.findall(pattern, page.read_text())}


def test_settings_exist() -> None:
    named = found(r"\bFLIGHTLOG_[A-Z0-9]+(?:_+[A-Z0-9]+)*")
    assert len(named) > 8
    assert named <= known_names() | OF_THE_STACK | SECRETS


def test_settings_of_kubernetes_are_documented() -> None:
    """Each of the launcher's for Kubernetes, as a variable or as a key of the file, in the chapters about it."""
    page = (ROOT / "docs" / "operations.md").read_text()
    chapters = page[page.index("\n## Kubernetes\n") :]
    wanted = {name for name in known_names() if name.startswith("FLIGHTLOG_KUBERNETES__")}
    leaves = {name for name in wanted if not any(other.startswith(f"{name}__") for other in wanted)}
    assert len(leaves) > 100
    # Links to logs are described once for all who have them.
    missing = {name for name in leaves if not _is_named(name, chapters) and "__LOGS__" not in name}
    assert not missing


def _is_named(name: str, page: str) -> bool:
    words = name.split("__")
    last = words[-1]
    variable = rf"(?:__|`){last}\b"
    key = rf"\b{last.lower()}\b"
    return bool(re.search(variable, page) or (len(words) > 3 and re.search(key, page)))


def test_metrics_exist() -> None:
    named = found(r"\bflightlog_[a-z_]+\b") - PACKAGES - DATASETS
    assert len(named) > 8
    known = sample_names()
    assert named <= known.keys() | set(known.values())


def test_commands_exist() -> None:
    named = found(r"(?:^|[`(])flightlog ([a-z]+)\b")
    assert len(named) > 3
    assert named <= get_command(app).commands.keys()  # type: ignore[attr-defined]
