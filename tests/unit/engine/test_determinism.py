"""The same decisions in every process: nothing depends on the order in which a process happens to hash."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
TELL_ALL = """
import hashlib
from tests.unit.engine.golden_files import HISTORIES
from tests.unit.engine.story import serialized
for name, tell in HISTORIES.items():
    story = tell()
    facts = hashlib.sha256(b"".join(map(serialized, story.history))).hexdigest()
    blobs = hashlib.sha256(repr(sorted(story.blobs.items())).encode()).hexdigest()
    print(name, facts, blobs)
"""


def test_facts_and_blobs_are_the_same_under_any_hash_seed() -> None:
    path = os.pathsep.join(str(ROOT / part) for part in ("", "libs", "tools"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TELL_ALL],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    first, second = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert first
    assert first == second
