"""kill -9 of every part, at random moments of 20 runs: nothing acknowledged is lost, nothing runs twice at once."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from flightlog_cli.commands.rebuild import PROJECTIONS
from flightlog_cli.stack_process import StackProcess
from tests.integration.crash.conftest import Client

RUNS = 20
# Each is killed twice.
PARTS = (("nats", "registry", "k8s_launcher"), ("postgres", "execution", "catalog"))
SUCCEEDED = 4


@pytest.mark.parametrize("parts", PARTS, ids="-".join)
def test_killed_parts_lose_and_double_nothing(parts: tuple[str, ...], crashing: StackProcess, client: Client) -> None:
    chance = random.Random()
    victims = chance.sample(parts * 2, len(parts) * 2)
    moments = sorted(chance.sample(range(RUNS * 3 * 3 // 4), len(victims)))
    print(f"killing {victims} when {moments} task attempts have started")
    with ThreadPoolExecutor(4) as pool:
        creating = [pool.submit(client.create, f"run-{number}") for number in range(RUNS)]
        for part, moment in zip(victims, moments, strict=True):
            client.wait_until(lambda moment=moment: len(client.started()) >= moment, 120, f"{moment} attempts started")
            crashing.kill(part)
        for one in creating:
            one.result()
    assert set(client.finish_all().values()) == {SUCCEEDED}
    client.assert_nothing_ran_twice_at_once()
    assert_rebuild_is_byte_equal(crashing)


@pytest.mark.parametrize("part", ["execution", "nats"])
def test_killed_part_loses_and_doubles_no_child(part: str, crashing: StackProcess, client: Client) -> None:
    parents = 8
    with ThreadPoolExecutor(4) as pool:
        creating = [pool.submit(client.create, f"run-{number}", "crash.nested") for number in range(parents)]
        for moment in sorted(random.Random().sample(range(1, parents * 2 * 3 * 3 // 4), 3)):
            client.wait_until(lambda moment=moment: len(client.started()) >= moment, 120, f"{moment} attempts started")
            crashing.kill(part)
        for one in creating:
            one.result()
    assert set(client.finish_all().values()) == {SUCCEEDED}
    client.assert_nothing_ran_twice_at_once()
    # Two children of three tasks each, and none that nobody asked for.
    assert len(client.started()) == parents * 2 * 3
    assert_rebuild_is_byte_equal(crashing)


def test_killing_everything_at_once_and_starting_again_goes_on(crashing: StackProcess, client: Client) -> None:
    for number in range(10):
        client.create(f"run-{number}")
    client.wait_until(lambda: len(client.started()) >= 5, 60, "five attempts started")
    crashing.kill_all()
    crashing.start()
    assert set(client.finish_all().values()) == {SUCCEEDED}
    client.assert_nothing_ran_twice_at_once()


def test_clean_stop_and_start_on_the_same_folder_goes_on(crashing: StackProcess, client: Client) -> None:
    for number in range(10):
        client.create(f"run-{number}")
    client.wait_until(lambda: len(client.started()) >= 5, 60, "five attempts started")
    crashing.stop()
    crashing.start()
    assert set(client.finish_all().values()) == {SUCCEEDED}
    client.assert_nothing_ran_twice_at_once()
    assert_rebuild_is_byte_equal(crashing)


def assert_rebuild_is_byte_equal(stack: StackProcess) -> None:
    """`flightlog rebuild` loads every table anew from the log and compares it with the live one."""
    projections = stack.cli_json("rebuild")
    assert {projection["name"] for projection in projections} == set(PROJECTIONS)
    for projection in projections:
        assert projection["equal"], projection
