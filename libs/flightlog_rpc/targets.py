"""Which calls change something, and what a request is about. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from google.protobuf.message import Message

from flightlog_rpc.methods import Method
from flightlog_types.aggregates import Aggregate

_CHANGING: Final = (
    *("Create", "Register", "Update", "Delete", "Set", "Put", "Add", "Release", "GetOr"),
    *("Relaunch", "Recover", "Terminate", "Evict", "Pin", "Pause", "Resume", "Cancel", "Retry", "Replay"),
    *("Import", "Destroy"),
)
# They create nothing but an address to read from.
_READING: Final = frozenset({"CreateDownloadLocation", "CreateDownloadLink"})

# The first that is in a method's name says what it changes.
_KINDS: Final = (
    ("Attributes", "project"),
    ("Project", "project"),
    ("Keys", "project"),
    ("NamedEntity", "named_entity"),
    ("LaunchPlan", "launch_plan"),
    ("Event", "execution"),
    ("Execution", "execution"),
    ("Signal", "execution"),
    ("History", "execution"),
    ("Workflow", "workflow"),
    ("Task", "task"),
    ("Upload", "upload"),
    ("Dataset", "dataset"),
    ("Artifact", "artifact"),
    ("Tag", "artifact"),
    ("Schedule", "schedule"),
    ("Backfill", "backfill"),
    ("Deliver", "delivery"),
)
_OTHERWISE: Final = "entry"
_PROJECT: Final = "flyteidl.admin.Project"
_MOST_MESSAGES: Final = 50
_LONGEST: Final = 500


def changes(method: Method) -> bool:
    """Whether a call may change something; all others only read."""
    return method.name.startswith(_CHANGING) and method.name not in _READING


def target_of(method: Method, request: Message) -> Aggregate:
    """What a call was about, as far as its request says: the nearest names of a project, domain, and so on in it.

    Names are cut to 500 characters: a request may be refused because of them.
    """
    kind = next((kind for part, kind in _KINDS if part in method.name), _OTHERWISE)
    waiting: deque[Message] = deque([request])
    for _ in range(_MOST_MESSAGES):
        if not waiting:
            break
        message = waiting.popleft()
        if message.DESCRIPTOR.full_name == _PROJECT:
            return Aggregate(kind, _text(message, "id"))
        if project := _text(message, "project"):
            name = _text(message, "name") or _text(message, "workflow") or _text(message, "id")
            return Aggregate(kind, project, _text(message, "domain"), name, _text(message, "version"))
        waiting.extend(
            value for field, value in message.ListFields() if field.message_type is not None and not field.is_repeated
        )
    return Aggregate(kind)


def _text(message: Any, name: str) -> str:
    value = getattr(message, name, "")
    return value[:_LONGEST] if isinstance(value, str) else ""
