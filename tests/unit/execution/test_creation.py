"""What a create request becomes: inputs, configuration, the first fact."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2
from flyteidl.core import identifier_pb2, interface_pb2, literals_pb2, security_pb2, types_pb2

from flightlog_types import InvalidArgument
from services.execution.creation import config, inputs, names, requests

INTEGER = types_pb2.LiteralType(simple=types_pb2.INTEGER)


def literal(value: int | str) -> literals_pb2.Literal:
    primitive = (
        literals_pb2.Primitive(integer=value) if isinstance(value, int) else literals_pb2.Primitive(string_value=value)
    )
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=primitive))


def literals(**values: int | str) -> literals_pb2.LiteralMap:
    return literals_pb2.LiteralMap(literals={name: literal(value) for name, value in values.items()})


def expected(**defaults: int | None) -> interface_pb2.ParameterMap:
    parameters = interface_pb2.ParameterMap()
    for name, default in defaults.items():
        parameters.parameters[name].var.type.CopyFrom(INTEGER)
        if default is None:
            parameters.parameters[name].required = True
        else:
            parameters.parameters[name].default.CopyFrom(literal(default))
    return parameters


def create_request(**fields: object) -> execution_pb2.ExecutionCreateRequest:
    launch = identifier_pb2.Identifier(
        resource_type=identifier_pb2.LAUNCH_PLAN, project="p", domain="d", name="lp", version="1"
    )
    spec = execution_pb2.ExecutionSpec(launch_plan=launch)
    return execution_pb2.ExecutionCreateRequest(project="p", domain="d", spec=spec, **fields)  # type: ignore[arg-type]


def resolve(
    spec: execution_pb2.ExecutionSpec,
    launch_plan: launch_plan_pb2.LaunchPlanSpec,
    *,
    name: str = "run",
    metadata_root: str = "s3://bucket/metadata/propeller",
    parent: config.ResolvedConfig | None = None,
    **labels: str,
) -> config.ResolvedConfig:
    return config.resolve_config(
        spec,
        launch_plan,
        labels,
        execution_id=identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name=name),
        metadata_root=metadata_root,
        raw_output_prefix="s3://bucket/data",
        max_parallelism=25,
        parent=parent,
    )


LIMITED = launch_plan_pb2.LaunchPlanSpec(max_parallelism=4)


class TestInputs:
    def test_defaults_and_fixed_inputs_complete_what_was_given(self) -> None:
        resolved = inputs.resolve_inputs(literals(a=1), expected(a=None, b=2), literals(c=3))
        assert resolved == literals(a=1, b=2, c=3)

    def test_given_value_wins_over_the_default(self) -> None:
        assert inputs.resolve_inputs(literals(b=7), expected(b=2), literals()) == literals(b=7)

    def test_missing_required_input_is_named(self) -> None:
        with pytest.raises(InvalidArgument, match=r"^expected_inputs a missing$"):
            inputs.resolve_inputs(literals(), expected(a=None), literals())

    def test_unknown_input_is_named(self) -> None:
        with pytest.raises(InvalidArgument, match=r"^invalid input z$"):
            inputs.resolve_inputs(literals(z=1), expected(), literals())

    def test_fixed_input_cannot_be_given(self) -> None:
        with pytest.raises(InvalidArgument, match=r"^invalid input c$"):
            inputs.resolve_inputs(literals(c=4), expected(), literals(c=3))

    def test_wrong_type_is_named_with_both_types(self) -> None:
        text = "invalid a input wrong type. Expected simple:INTEGER, but got simple:STRING"
        with pytest.raises(InvalidArgument, match=f"^{re.escape(text)}$"):
            inputs.resolve_inputs(literals(a="s"), expected(a=None), literals())

    def test_single_task_needs_every_input(self) -> None:
        variables = {"a": interface_pb2.Variable(type=INTEGER)}
        interface = interface_pb2.TypedInterface(inputs=interface_pb2.VariableMap(variables=variables))
        assert inputs.expected_of_task(interface).parameters["a"].required

    def test_request_is_not_changed(self) -> None:
        mine = literals(a=1)
        inputs.resolve_inputs(mine, expected(a=None, b=2), literals())
        assert mine == literals(a=1)


class TestRequests:
    @pytest.mark.parametrize("name", ["", "a", "a-", "a" * 63, "abc-0-z"])
    def test_good_names_pass(self, name: str) -> None:
        requests.check_request(create_request(name=name))

    @pytest.mark.parametrize("name", ["1abc", "-a", "a_b", "a.b", "ä", "a" * 64, "a b"])
    def test_names_that_kubernetes_could_not_carry_are_refused(self, name: str) -> None:
        with pytest.raises(InvalidArgument):
            requests.check_request(create_request(name=name))

    def test_bad_name_is_reported_in_lower_case_as_recorded(self) -> None:
        with pytest.raises(InvalidArgument, match=r"^invalid name format: bad_name, does not match regex"):
            requests.check_request(create_request(name="Bad_Name"))

    def test_inputs_in_the_spec_serve_when_there_are_no_others(self) -> None:
        request = create_request()
        request.spec.inputs.CopyFrom(literals(a=1))
        assert requests.given_inputs(request) == literals(a=1)
        request.inputs.CopyFrom(literals(a=2))
        assert requests.given_inputs(request) == literals(a=2)

    def test_notifications_are_checked(self) -> None:
        request = create_request()
        request.spec.notifications.notifications.add().email.recipients_email.append("")
        with pytest.raises(InvalidArgument, match="missing recipient"):
            requests.check_request(request)

    def test_a_workflow_cannot_be_launched_itself(self) -> None:
        request = create_request()
        request.spec.launch_plan.resource_type = identifier_pb2.WORKFLOW
        with pytest.raises(InvalidArgument, match="resource type"):
            requests.check_request(request)


class TestConfig:
    def test_server_settings_hold_when_nobody_says_otherwise(self) -> None:
        resolved = resolve(execution_pb2.ExecutionSpec(), launch_plan_pb2.LaunchPlanSpec())
        assert resolved.max_parallelism == 25
        assert resolved.metadata_prefix == "s3://bucket/metadata/propeller/p-d-run"
        assert resolved.raw_output_prefix == "s3://bucket/data"
        assert not resolved.HasField("interruptible")

    def test_executions_are_spread_over_folders_when_asked_for(self) -> None:
        prefixes = [
            resolve(
                execution_pb2.ExecutionSpec(),
                launch_plan_pb2.LaunchPlanSpec(),
                name=f"run{number}",
                metadata_root="s3://bucket/metadata/{shard}",
            ).metadata_prefix
            for number in range(5000)
        ]
        folders = Counter(prefix.rpartition("/")[0] for prefix in prefixes)
        assert len(set(prefixes)) == 5000
        assert max(folders.values()) < 60

    def test_request_wins_over_launch_plan(self) -> None:
        spec = execution_pb2.ExecutionSpec(max_parallelism=3, labels=common_pb2.Labels(values={"a": "1"}))
        launch_plan = launch_plan_pb2.LaunchPlanSpec(
            max_parallelism=4, labels=common_pb2.Labels(values={"a": "2", "b": "2"}), overwrite_cache=True
        )
        resolved = resolve(spec, launch_plan)
        assert resolved.max_parallelism == 3
        assert dict(resolved.labels) == {"a": "1"}, "labels of a higher level replace the others as a whole"
        assert resolved.overwrite_cache

    def test_a_negative_parallelism_is_none(self) -> None:
        spec = execution_pb2.ExecutionSpec(max_parallelism=-1)
        assert resolve(spec, launch_plan_pb2.LaunchPlanSpec()).max_parallelism == 25
        assert resolve(spec, launch_plan_pb2.LaunchPlanSpec(max_parallelism=7)).max_parallelism == 7

    def test_a_number_that_was_asked_for_bounds_the_tree_below(self) -> None:
        nothing = launch_plan_pb2.LaunchPlanSpec()
        assert not resolve(execution_pb2.ExecutionSpec(), nothing).HasField("parallelism_root")
        asked = execution_pb2.ExecutionSpec(max_parallelism=25)
        for resolved in (resolve(asked, nothing), resolve(execution_pb2.ExecutionSpec(), LIMITED)):
            assert resolved.parallelism_root.name == "run"

    def test_a_child_belongs_to_its_parents_tree_or_to_none(self) -> None:
        asked = execution_pb2.ExecutionSpec(max_parallelism=3)
        root = resolve(asked, LIMITED, name="root")
        child = resolve(asked, LIMITED, name="child", parent=root)
        assert resolve(asked, LIMITED, name="below", parent=child).parallelism_root.name == "root"
        # Its number stands in what the parent asks for, wherever that has it from.
        alone = resolve(execution_pb2.ExecutionSpec(), launch_plan_pb2.LaunchPlanSpec())
        assert not resolve(asked, LIMITED, parent=alone).HasField("parallelism_root")

    def test_interruptible_false_counts_as_said(self) -> None:
        spec = execution_pb2.ExecutionSpec()
        spec.interruptible.value = False
        launch_plan = launch_plan_pb2.LaunchPlanSpec()
        launch_plan.interruptible.value = True
        assert resolve(spec, launch_plan).HasField("interruptible")
        assert not resolve(spec, launch_plan).interruptible
        assert resolve(execution_pb2.ExecutionSpec(), launch_plan).interruptible

    def test_queueing_budget_is_the_requests_before_the_launch_plans(self) -> None:
        spec, launch_plan = execution_pb2.ExecutionSpec(), launch_plan_pb2.LaunchPlanSpec()
        assert not resolve(spec, launch_plan).HasField("queueing_budget")
        launch_plan.quality_of_service.spec.queueing_budget.seconds = 60
        assert resolve(spec, launch_plan).queueing_budget.seconds == 60
        spec.quality_of_service.spec.queueing_budget.SetInParent()
        assert resolve(spec, launch_plan).HasField("queueing_budget")
        assert resolve(spec, launch_plan).queueing_budget.seconds == 0

    def test_project_labels_fill_what_is_missing(self) -> None:
        spec = execution_pb2.ExecutionSpec(labels=common_pb2.Labels(values={"team": "mine"}))
        resolved = resolve(spec, launch_plan_pb2.LaunchPlanSpec(), team="theirs", cost="9")
        assert dict(resolved.labels) == {"team": "mine", "cost": "9"}

    def test_empty_identity_is_always_there(self) -> None:
        resolved = config.resolve_security_context(execution_pb2.ExecutionSpec(), launch_plan_pb2.LaunchPlanSpec())
        assert resolved.HasField("run_as")

    def test_identity_of_the_launch_plan_holds_where_the_request_has_an_empty_one(self) -> None:
        spec = execution_pb2.ExecutionSpec(
            auth_role=common_pb2.AuthRole(), security_context=security_pb2.SecurityContext()
        )
        launch_plan = launch_plan_pb2.LaunchPlanSpec(role="arn")
        assert config.resolve_security_context(spec, launch_plan).run_as.iam_role == "arn"

    def test_identity_of_a_launch_plan_comes_before_the_older_role_of_a_request(self) -> None:
        spec = execution_pb2.ExecutionSpec(auth_role=common_pb2.AuthRole(assumable_iam_role="old"))
        launch_plan = launch_plan_pb2.LaunchPlanSpec(role="older")
        assert config.resolve_security_context(spec, launch_plan).run_as.iam_role == "old"
        launch_plan.security_context.run_as.iam_role = "new"
        assert config.resolve_security_context(spec, launch_plan).run_as.iam_role == "new"

    def test_disable_all_silences_the_launch_plan(self) -> None:
        launch_plan = launch_plan_pb2.LaunchPlanSpec()
        launch_plan.entity_metadata.notifications.add().email.recipients_email.append("a@b")
        assert config.resolve_notifications(execution_pb2.ExecutionSpec(), launch_plan).notifications
        silent = execution_pb2.ExecutionSpec(disable_all=True)
        assert not config.resolve_notifications(silent, launch_plan).notifications


def test_new_names_are_names_and_differ() -> None:
    made = {names.new_execution_name() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"a[bcdfghjklmnpqrstvwxz2456789]{19}", name) for name in made)
