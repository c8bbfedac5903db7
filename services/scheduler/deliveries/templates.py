"""Texts of e-mails, with Flyte's keys (admin-contract §5.5). Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Final

from services.scheduler.deliveries.events import ExecutionEvent

SUBJECT: Final = 'Notice: Execution "{{ workflow.name }}" has {{ phase }} in "{{ domain }}".'
BODY: Final = (
    "Execution {{ name }} of launch plan {{ launch_plan.name }}, version {{ launch_plan.version }}, "
    "has {{ phase }} in project {{ project }}, domain {{ domain }}.{{ error }}"
)
_KEY: Final = re.compile(r"\{\{\s*([a-z_.]+)\s*\}\}")
_LONGEST_ERROR: Final = 20_000
_BLANKS: Final = re.compile(r"\s+")


def values(event: ExecutionEvent) -> Mapping[str, str]:
    """What the keys stand for."""
    execution, created = event.created.id, event.created
    found = {
        "project": execution.project,
        "domain": execution.domain,
        "name": execution.name,
        "phase": event.name,
        "error": "",
    }
    if event.error is not None:
        message = shortened(event.error.message, _LONGEST_ERROR)
        found["error"] = f" The execution failed with error: [{message}]."
    for prefix, identifier in (("workflow", created.workflow_id), ("launch_plan", created.spec.launch_plan)):
        for part in ("project", "domain", "name", "version"):
            found[f"{prefix}.{part}"] = getattr(identifier, part)
    return found


def fill(template: str, known: Mapping[str, str], *, escape: bool) -> str:
    """The template with values in the place of keys; what is no key stays as it is.

    Args:
        escape: the template is HTML, the values are not.
    """

    def value(found: re.Match[str]) -> str:
        text = known.get(found[1])
        if text is None:
            return found[0]
        return html.escape(text) if escape else text

    return _KEY.sub(value, template)


def one_line(text: str) -> str:
    """For the subject of a mail, which has no lines."""
    return shortened(_BLANKS.sub(" ", text).strip(), 500)


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters of a text, and a sign where some are left out."""
    return text if len(text) <= limit else text[: limit - 2] + " …"
