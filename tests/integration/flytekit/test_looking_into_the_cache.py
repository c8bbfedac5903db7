"""`flightlog cache` on runs of unmodified flytekit: why nodes found nothing, and what evicting and pinning does."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from flyteidl.admin import execution_pb2, node_execution_pb2
from flyteidl.core.execution_pb2 import NodeExecution, WorkflowExecution
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier
from flyteidl.service import admin_pb2_grpc
from typer.testing import CliRunner

from flightlog_cli.main import app
from flightlog_protos.catalog.v1 import catalog_service_pb2 as catalog
from flightlog_rpc import METHODS

SOURCE = Path(__file__).parent / "workflows" / "looking.py"
POLL = timedelta(milliseconds=50)
Outcome = catalog.ExplainNodeResponse
PLACE = "flytesnacks/development"


class Runs:
    """Runs workflows of `looking.py`, in any edition, and asks about them."""

    def __init__(self, remote: Any, channel: grpc.Channel, folder: Path) -> None:
        self._remote, self._folder, self._channel = remote, folder, channel
        self._admin = admin_pb2_grpc.AdminServiceStub(channel)
        self._registered: dict[tuple[str, str], Any] = {}
        self._editions: dict[str, tuple[Any, Any]] = {}

    def run(self, workflow: str, edition: str = "1", overwrite_cache: bool = False, **inputs: Any) -> str:
        """The name of a run that has succeeded."""
        return self.ended(self.start(workflow, edition, overwrite_cache, **inputs))

    def start(self, workflow: str, edition: str = "1", overwrite_cache: bool = False, **inputs: Any) -> str:
        entity = self._workflow(workflow, edition)
        return self._remote.execute(entity, inputs=inputs, overwrite_cache=overwrite_cache).id.name

    def ended(self, name: str) -> str:
        """Waits for a run's success."""
        request = execution_pb2.WorkflowExecutionGetRequest(id=identifier(name))
        deadline = time.monotonic() + 120
        while (closure := self._admin.GetExecution(request).closure).phase < WorkflowExecution.SUCCEEDED:
            assert time.monotonic() < deadline
            time.sleep(POLL.total_seconds())
        assert closure.phase == WorkflowExecution.SUCCEEDED, closure
        return name

    def drawn(self, run: str) -> list[int]:
        """What a run of `drawing` has drawn."""
        request = execution_pb2.WorkflowExecutionGetDataRequest(id=identifier(run))
        outputs = self._admin.GetExecutionData(request).full_outputs.literals["o0"]
        return [item.scalar.primitive.integer for item in outputs.collection.literals]

    def explain(self, run: str, node: str = "n0", element: int | None = None) -> Any:
        node_id = NodeExecutionIdentifier(execution_id=identifier(run), node_id=node)
        return self("ExplainNode", node=catalog.NodeOrElement(node=node_id, element=element))

    def answered(self, run: str, node: str) -> Any:
        """The explanation of a node, once it runs or waits for another."""
        deadline = time.monotonic() + 120
        while True:
            assert time.monotonic() < deadline
            with contextlib.suppress(grpc.RpcError):  # it has not begun
                explained = self.explain(run, node)
                if explained.outcome == Outcome.AWAITS_ANOTHER or "RUNNING" in self.phases(run).get(node, ""):
                    return explained
            time.sleep(POLL.total_seconds())

    def phases(self, run: str) -> dict[str, str]:
        request = node_execution_pb2.NodeExecutionListRequest(workflow_execution_id=identifier(run), limit=100)
        nodes = self._admin.ListNodeExecutions(request).node_executions
        return {node.id.node_id: NodeExecution.Phase.Name(node.closure.phase) for node in nodes}

    def evict(self, reason: str = "", pinned_too: bool = False, dry_run: bool = False, **selected: Any) -> Any:
        selection = catalog.CacheSelection(**selected)
        return self("Evict", selection=selection, reason=reason, pinned_too=pinned_too, dry_run=dry_run)

    def history(self, run: str, node: str = "n0") -> list[Any]:
        node_id = NodeExecutionIdentifier(execution_id=identifier(run), node_id=node)
        return list(self("GetCached", node=catalog.NodeOrElement(node=node_id)).history)

    def __call__(self, method: str, **fields: Any) -> Any:
        found = METHODS[f"/flightlog.catalog.v1.CatalogService/{method}"]
        call = self._channel.unary_unary(
            found.full_name,
            request_serializer=found.request.SerializeToString,
            response_deserializer=found.response.FromString,
        )
        return call(found.request(**fields))

    def _workflow(self, workflow: str, edition: str) -> Any:
        if (workflow, edition) not in self._registered:
            module, settings = self._edition(edition)
            entity = getattr(module, workflow)
            self._registered[workflow, edition] = self._remote.register_workflow(
                entity, serialization_settings=settings, version=settings.version
            )
        return self._registered[workflow, edition]

    def _edition(self, edition: str) -> tuple[Any, Any]:
        from flytekit.configuration import FastSerializationSettings, ImageConfig, SerializationSettings

        if edition not in self._editions:
            folder = self._folder / edition
            folder.mkdir()
            (folder / "looking.py").write_text(EDITIONS[edition](SOURCE.read_text()))
            spec = importlib.util.spec_from_file_location("looking", folder / "looking.py")
            assert spec is not None
            assert spec.loader is not None
            module = sys.modules["looking"] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            _, package = self._remote.fast_package(folder)
            settings = SerializationSettings(
                project="flytesnacks",
                domain="development",
                image_config=ImageConfig.auto(img_name="localhost/flytekit:1"),
                fast_serialization_settings=FastSerializationSettings(
                    enabled=True, destination_dir=".", distribution_location=package
                ),
                version=f"edition-{edition}",
            )
            self._editions[edition] = module, settings
        return self._editions[edition]


EDITIONS: dict[str, Callable[[str], str]] = {
    "1": lambda text: text,
    "2": lambda text: text.replace('cache_version="1"', 'cache_version="2"'),
    # Another name for the workflow: flytekit keeps the launch plan that it has made for the first one.
    "typed": lambda text: text.replace("x: int", "x: float").replace("def weighing", "def weighing_exactly"),
}


def identifier(run: str) -> WorkflowExecutionIdentifier:
    return WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=run)


@pytest.fixture(scope="module")
def runs(stack: Any, remote: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    with grpc.insecure_channel(stack.grpc, options=[("grpc.primary_user_agent", "tester")]) as channel:
        yield Runs(remote, channel, tmp_path_factory.mktemp("editions"))


@pytest.fixture
def key() -> str:
    return uuid4().hex


@pytest.fixture
def cli(stack: Any) -> Callable[..., Any]:
    """Runs `flightlog cache …` in this process."""

    def run(*arguments: str, answer: str = "", fails: bool = False) -> Any:
        command = ["cache", *arguments, "--data", str(stack.data)]
        result = CliRunner(env={"COLUMNS": "250"}).invoke(app, command, input=answer)
        assert (result.exit_code != 0) == fails, result.output
        return result

    return run


def parts(explained: Any) -> dict[str, tuple[str, str]]:
    return {one.part: (one.wanted, one.found) for one in explained.differences}


def test_a_miss_names_the_part_of_the_key_that_differs(runs: Runs, key: str) -> None:
    first = runs.run("weighing", key=key, x=2)
    assert runs.explain(first).outcome in (Outcome.NOTHING_CACHED, Outcome.OTHER_KEY)

    changed = runs.explain(runs.run("weighing", key=key, x=3))
    assert changed.outcome == Outcome.OTHER_KEY
    assert parts(changed) == {"input x": ("3", "2")}
    assert changed.nearest.result.source.node_execution_id.execution_id.name == first
    assert changed.reason == (
        f"No result has the same key; next to it is that of n0 of {PLACE}/{first}: input x is 3 here and 2 there."
    )

    bumped = runs.explain(runs.run("weighing", "2", key=key, x=2))
    assert parts(bumped) == {"cache version": ("2", "1")}

    retyped = runs.explain(runs.run("weighing_exactly", "typed", key=key, x=2.0))
    assert parts(retyped) == {"inputs' interface": ("x: float", "x: integer"), "input x": ("2.0", "3")}


def test_what_happened_since_is_no_reason(runs: Runs, key: str) -> None:
    first = runs.run("weighing", key=key, x=2)
    asked = runs.run("weighing", key=key, x=3)
    before = runs.explain(asked)
    assert parts(before) == {"input x": ("3", "2")}
    artifact = before.nearest.result.artifact_id
    runs.evict(execution=asked)
    runs.run("weighing", key=key, x=4)
    runs.run("weighing", key=key, x=2, overwrite_cache=True)
    runs.run("weighing", key=key, x=3, overwrite_cache=True)
    replaced = runs.explain(asked)
    assert (replaced.nearest.result.artifact_id, replaced.reason) == (artifact, before.reason)
    runs.evict(name="looking.weigh")
    evicted = runs.explain(asked)
    assert (evicted.nearest.result.source.node_execution_id.execution_id.name, evicted.reason) == (first, before.reason)


def test_a_hit_names_who_made_it_and_ignored_inputs_do_not_count(runs: Runs, key: str) -> None:
    first = runs.run("weighing", key=key, x=2, note="a")
    hit = runs.explain(runs.run("weighing", key=key, x=2, note="b"))
    assert hit.outcome == Outcome.HIT
    assert hit.nearest.result.source.node_execution_id.execution_id.name == first
    assert hit.nearest.uses == 1
    assert first in hit.reason


def test_what_is_not_looked_up_says_why(runs: Runs, key: str) -> None:
    runs.run("weighing", key=key, x=2)
    renewed = runs.explain(runs.run("weighing", key=key, x=2, overwrite_cache=True))
    assert renewed.outcome == Outcome.OVERWRITES
    inside = runs.run("drawing_inside", key=key)
    plain = runs.explain(inside, "n1")
    assert plain.outcome == Outcome.NOT_CACHED
    assert "forget is not cached" in plain.reason
    assert runs.explain(inside, "start-node").outcome == Outcome.NOT_CACHED


def test_nodes_inside_of_dynamic_workflows_and_elements_of_maps_are_explained(runs: Runs, key: str) -> None:
    runs.run("drawing_inside", key=key)
    again = runs.explain(runs.run("drawing_inside", key=key), "n0-0-dn0")
    assert again.outcome == Outcome.HIT
    runs.run("drawing", keys=[key])
    mapped = runs.run("drawing", keys=[key, f"{key}-b"])
    assert runs.explain(mapped, "n0", 0).outcome == Outcome.HIT
    element = runs.explain(mapped, "n0", 1)
    assert element.outcome == Outcome.OTHER_KEY
    assert parts(element)["input key"][0] == json.dumps(f"{key}-b")
    assert "1 of 2 were hits" in runs.explain(mapped).reason


def test_two_at_once_and_one_after_the_other(runs: Runs, key: str, tmp_path: Path) -> None:
    gate = tmp_path / "open"
    both = [runs.start("drawing_slowly", key=key, gate=str(gate)) for _ in range(2)]
    for run in both:
        runs.answered(run, "n0")
    explained = {run: runs.answered(run, "n1") for run in both}
    (waiting,) = [run for run in both if explained[run].outcome == Outcome.AWAITS_ANOTHER]
    (working,) = {*both} - {waiting}
    assert f"it waits for n1 of {PLACE}/{working}" in explained[waiting].reason
    gate.touch()
    for run in both:
        runs.ended(run)
    after = runs.explain(waiting, "n1")
    assert after.outcome == Outcome.HIT
    assert f"waited until n1 of {PLACE}/{working}" in after.reason
    outcomes = {run: runs.explain(run, "n0") for run in both}
    (second,) = [run for run in both if outcomes[run].outcome == Outcome.MADE_MEANWHILE]
    (first,) = {*both} - {second}
    assert f"n0 of {PLACE}/{first}" in outcomes[second].reason


def test_workflows_whose_results_are_cached_are_explained(runs: Runs, key: str) -> None:
    runs.run("remembering", key=f"{key}-a")
    second = runs.run("remembering", key=key)
    missed = runs.explain(second, "n0")
    assert parts(missed) == {"input key": (json.dumps(key), json.dumps(f"{key}-a"))}
    hit = runs.explain(runs.run("remembering", key=key), "n0")
    assert hit.outcome == Outcome.HIT
    assert second in hit.reason
    assert "only where its node asks" in runs.explain(second, "n1").reason
    assert runs("ListCached", selection=catalog.CacheSelection(name="looking.inner", execution=second)).entries


@pytest.mark.parametrize("selector", ["artifact_ids", "name", "cache_version", "task_version", "execution", "before"])
def test_whatever_is_evicted_is_made_again_and_the_log_says_who_and_why(runs: Runs, key: str, selector: str) -> None:
    keys = [f"{key}-{number}" for number in range(3)]
    first = runs.run("drawing", keys=keys)
    listed = runs("ListCached", selection=catalog.CacheSelection(execution=first)).entries
    assert len(listed) == 3
    runs("Pin", selection=catalog.CacheSelection(artifact_id=listed[0].result.artifact_id), reason="dear")
    newest = max((entry.cached_at for entry in listed), key=lambda stamp: stamp.ToNanoseconds())
    newest.FromNanoseconds(newest.ToNanoseconds() + 1_000_000)
    value: Any = {
        "artifact_ids": [entry.result.artifact_id for entry in listed],
        "name": listed[0].result.source.task_id.name,
        "cache_version": "1",
        "task_version": "edition-1",
        "execution": f"{PLACE}/{first}",
        "before": newest,
    }[selector]
    # Nobody else's results.
    selected = {"name": listed[0].result.source.task_id.name, selector: value}
    told = runs.evict(dry_run=True, **selected)
    gone = runs.evict(f"by {selector}", **selected)
    ours = {entry.result.artifact_id for entry in listed}
    for answer in (told, gone):
        evicted = {entry.result.artifact_id for entry in answer.evicted} & ours
        kept = {entry.result.artifact_id for entry in answer.kept} & ours
        assert (len(evicted), kept) == (2, {listed[0].result.artifact_id})
    second = runs.run("drawing", keys=keys)
    same = [before == after for before, after in zip(runs.drawn(first), runs.drawn(second), strict=True)]
    assert sorted(same) == [False, False, True]
    element = same.index(False)
    explained = runs.explain(second, "n0", element)
    assert explained.outcome == Outcome.EVICTED
    assert f": by {selector}." in explained.reason
    assert "evicted by tester at" in explained.reason
    history = runs.history(second, explained.node.node_id)
    assert [event.what for event in history] == ["cached", "evicted", "cached"]
    assert (history[1].actor, history[1].reason) == ("tester", f"by {selector}")
    assert runs.evict(pinned_too=True, execution=first).evicted


def test_what_is_asked_in_vain_is_refused(runs: Runs) -> None:
    for code, method, fields in (
        ("INVALID_ARGUMENT", "Evict", {}),
        ("INVALID_ARGUMENT", "Evict", {"selection": catalog.CacheSelection(), "reason": "all"}),
        ("INVALID_ARGUMENT", "Pin", {}),
        ("INVALID_ARGUMENT", "ListCached", {"token": "nonsense"}),
        ("INVALID_ARGUMENT", "GetCached", {}),
        ("INVALID_ARGUMENT", "ExplainNode", {}),
        ("NOT_FOUND", "GetCached", {"tag": "nobody's"}),
        ("NOT_FOUND", "GetCached", {"artifact_id": str(uuid4())}),
        ("NOT_FOUND", "ExplainNode", {"node": catalog.NodeOrElement(node=node_of("nobody"))}),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            runs(method, **fields)
        assert refused.value.code().name == code, (method, refused.value)


def node_of(run: str) -> NodeExecutionIdentifier:
    return NodeExecutionIdentifier(execution_id=identifier(run), node_id="n0")


def test_lists_go_on_behind_their_token(runs: Runs, key: str) -> None:
    run = runs.run("drawing", keys=[f"{key}-{number}" for number in range(5)])
    selection, token, seen = catalog.CacheSelection(execution=run), "", list[str]()
    for size in (2, 2, 1):
        page = runs("ListCached", selection=selection, limit=2, token=token)
        assert len(page.entries) == size
        seen += [entry.result.artifact_id for entry in page.entries]
        token = page.token
    assert token == ""
    assert len(set(seen)) == 5


def test_the_commands_tell_it_all(runs: Runs, cli: Callable[..., Any], key: str) -> None:
    first, second = runs.run("weighing", key=key, x=2), runs.run("weighing", key=key, x=2)
    third = runs.run("weighing", key=key, x=3)
    (listed,) = json.loads(cli("ls", "--execution", first, "--json").stdout)
    artifact = listed["result"]["artifact_id"]
    table = cli("ls", "--task", "looking.weigh", "--project", "flytesnacks").stdout
    assert f" {first}/n0 " in table
    assert artifact in table

    shown = cli("show", artifact).stdout
    assert f'inputs   key = "{key}", note = "none", x = 2' in shown
    assert f"once, by {PLACE}/{second}/n0" in shown
    assert cli("show", listed["key"]["tag"]).stdout == shown == cli("show", f"{PLACE}/{second}/n0").stdout

    explained = cli("explain", third, "n0").stdout
    assert "input x is 3 here and 2 there." in explained
    assert [line.split() for line in explained.splitlines() if line.startswith("input x")] == [["input", "x", "3", "2"]]
    assert json.loads(cli("explain", f"{PLACE}/{third}", "n0", "--json").stdout)["outcome"] == "OTHER_KEY"

    both = cli("explain", runs.run("drawing_inside", key=key)).stdout.splitlines()
    assert [line.split()[:2] for line in both[1:]] == [
        ["n0", "disabled"],
        ["n0-0-dn0", "populated"],
        ["n1", "disabled"],
    ]

    assert cli("pin", artifact, "--reason", "dear").stdout == "1 result pinned.\n"
    kept = cli("evict", artifact, "--yes").stdout
    assert kept.splitlines() == ["1 result kept: pinned. --pinned-too takes them too.", "0 results evicted."]
    assert cli("unpin", f"{PLACE}/{first}/n0").stdout == "1 result unpinned.\n"
    assert "1 result would be evicted." in cli("evict", artifact, "--dry-run").stdout
    assert "Evict 1 result?" in cli("evict", artifact, answer="n\n", fails=True).stdout
    assert cli("evict", artifact, "--reason", "wrong", answer="y\n").stdout.endswith("1 result evicted.\n")
    told = cli("show", f"{PLACE}/{first}/n0").stdout
    assert "none now" in told
    assert [line.split()[2] for line in told.splitlines()[-4:]] == ["cached", "pinned", "unpinned", "evicted"]
    assert "flightlog-cli/" in told.splitlines()[-1]
    assert told.splitlines()[-1].endswith("wrong")
    assert runs.explain(runs.run("weighing", key=key, x=2)).outcome == Outcome.EVICTED


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["explain", "nobody", "n0"], "no execution nobody"),
        (["explain", f"{PLACE}/nobody", "n0"], "there is no execution"),
        (["explain", f"{PLACE}/nobody"], "No node of"),
        (["show", "nothing"], "no such result"),
        (["evict", "--yes"], "Say which results"),
        (["evict", "--older-than", "soon", "--yes"], "is no age"),
        (["evict", "--task", "t", "--json"], "--yes or --dry-run"),
        (["pin"], "Say which results"),
    ],
)
def test_commands_that_cannot_be_carried_out_say_so(cli: Callable[..., Any], arguments: list[str], says: str) -> None:
    result = cli(*arguments, fails=True)
    assert says in result.stderr
    assert "Traceback" not in result.output
