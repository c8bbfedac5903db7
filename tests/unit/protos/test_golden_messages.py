"""What was once written is read for ever: a golden file of every version of every message of every service's own."""

import base64
import json
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from tests.unit.engine.golden_files import complete, encoded
from tests.unit.protos.golden_messages import GOLDEN, MESSAGES, versions


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_message_is_read_as_it_was_written(path: Path) -> None:
    entry = json.loads(path.read_text())
    kind = MESSAGES[entry["type"]]
    message = kind.FromString(base64.b64decode(entry["binary"]))
    assert message == ParseDict(entry["json"], kind())
    assert encoded(message) == entry


@pytest.mark.parametrize("full_name", MESSAGES)
def test_every_field_of_every_message_is_in_a_golden_file(full_name: str) -> None:
    known = versions(full_name)
    assert known, "run `python -m tests.unit.protos.golden_messages`"
    newest = MESSAGES[full_name].FromString(base64.b64decode(json.loads(known[-1].read_text())["binary"]))
    wanted = {field.name for field, _ in complete(MESSAGES[full_name]).ListFields()}
    assert {field.name for field, _ in newest.ListFields()} == wanted, f"a newer version of {known[-1].name}"
