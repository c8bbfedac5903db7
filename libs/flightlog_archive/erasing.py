"""Erasing what messages of one aggregate said, and leaving that they were there.

A fact that says its execution was deleted means: nothing of what was before it is to be kept, here or of what other
services recorded about that execution. That is decided when the fact is archived, and stands in the manifest until it
is done.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from flightlog_log import Subject

from .manifest import Erasing

if TYPE_CHECKING:
    import pyarrow as pa

DELETED: Final = ("ExecutionDeleted", "DeliveriesForgotten")
"""The facts that have the archive forget what was before them."""
_ANY = (1 << 63) - 1


def erasings_of(batch: pa.RecordBatch) -> list[Erasing]:
    """What is to be erased because of the facts in these rows."""
    found: list[Erasing] = []
    for row, types in enumerate(batch["fact_types"].to_pylist()):
        if types and any(kind in DELETED for kind in types):
            facts: list[dict[str, str]] = batch["facts"][row].as_py() or []
            said = next((json.loads(fact["json"]) for fact in facts if fact["type"] in DELETED), {})
            reason = said.get("reason") or "the execution was deleted"
            found.append(Erasing(batch["subject"][row].as_py(), batch["sequence"][row].as_py(), reason))
    return found


def elsewhere(erasing: Erasing) -> list[tuple[str, Erasing]]:
    """What other streams have of an execution that is to be erased, with the streams' names; none of anything else."""
    subject = Subject.parse(erasing.subject)
    if subject.stream != "EXECUTION":
        return [("PARKED", Erasing(erasing.subject, _ANY, erasing.reason))]
    parts = subject.parts
    subjects = (
        Subject.of("LAUNCHER", *parts),
        Subject.of("CATALOG", "answer", *parts),
        Subject.of("CATALOG", "lineage", *parts),
        Subject.of("ADMISSION", "answer", *parts),
    )
    found = [(subject.stream, Erasing(str(subject), _ANY, erasing.reason)) for subject in subjects]
    parked = [("PARKED", Erasing(subject, _ANY, erasing.reason)) for subject in (erasing.subject, *map(str, subjects))]
    return [*found, *parked]


def erased_rows(table: pa.Table, wanted: Sequence[Erasing]) -> tuple[pa.Table, list[tuple[str, int, int]]]:
    """The rows without what messages of these subjects said, and how many these are: reason, subjects, messages."""
    from .schema import subjects_of

    orders: dict[str, Erasing] = {}
    for one in wanted:
        if one.subject not in orders or orders[one.subject].before < one.before:
            orders[one.subject] = one
    reasons: list[str | None] = []
    subjects: dict[str, set[str]] = {}
    messages: Counter[str] = Counter()
    columns = zip(subjects_of(table), table["sequence"].to_pylist(), table["erased"].to_pylist(), strict=True)
    for subject, sequence, erased in columns:
        order = orders.get(subject)
        if order is None or sequence >= order.before or erased is not None:
            reasons.append(None)
            continue
        reasons.append(order.reason)
        subjects.setdefault(order.reason, set()).add(subject)
        messages[order.reason] += 1
    if not messages:
        return table, []
    rewritten = _without(table, reasons)
    return rewritten, [(reason, len(subjects[reason]), count) for reason, count in messages.items()]


def _without(table: pa.Table, reasons: Sequence[str | None]) -> pa.Table:
    from .schema import ACTOR, ERASED

    for name in (*ERASED, *ACTOR):
        kept: list[Any] = [
            value if reason is None else None for value, reason in zip(table[name].to_pylist(), reasons, strict=True)
        ]
        table = _with_column(table, name, kept)
    before = table["erased"].to_pylist()
    return _with_column(table, "erased", [reason or known for reason, known in zip(reasons, before, strict=True)])


def _with_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    import pyarrow as pa

    from .schema import SCHEMA

    place = SCHEMA.get_field_index(name)
    return table.set_column(place, SCHEMA.field(place), pa.array(values, type=SCHEMA.field(place).type))
