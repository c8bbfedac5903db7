"""What matchable attributes say about an execution, and who else comes first (admin-contract §4.5, §5.1)."""

from __future__ import annotations

from typing import Any

import pytest
from flyteidl.admin import cluster_assignment_pb2, common_pb2, execution_pb2, launch_plan_pb2
from flyteidl.admin import matchable_resource_pb2 as resources
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2, security_pb2

from flightlog_types import InvalidArgument
from flightlog_types.matchable import NONE, Attributes, Key, Place
from services.execution.creation import config
from services.execution.creation.attributes import NOTHING, Said, check_cluster_pool, said_about

RUN = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="run")
WORKFLOW = identifier_pb2.Identifier(project="p", domain="d", name="w")
PROJECT, DOMAIN, OF_WORKFLOW = Place(), Place("d"), Place("d", "w")


def configured(**fields: Any) -> resources.MatchingAttributes:
    return resources.MatchingAttributes(workflow_execution_config=resources.WorkflowExecutionConfig(**fields))


def cpu(amount: str) -> resources.MatchingAttributes:
    limits = resources.TaskResourceSpec(cpu=amount)
    return resources.MatchingAttributes(task_resource_attributes=resources.TaskResourceAttributes(limits=limits))


def pool(name: str) -> resources.MatchingAttributes:
    assignment = cluster_assignment_pb2.ClusterAssignment(cluster_pool_name=name)
    return resources.MatchingAttributes(cluster_assignment=assignment)


def configs(rows: dict[Place, resources.MatchingAttributes]) -> Attributes:
    return {Key(place, resources.WORKFLOW_EXECUTION_CONFIG): row for place, row in rows.items()}


def labels(**values: str) -> common_pb2.Labels:
    return common_pb2.Labels(values=values)


def resolve(
    said: Said,
    spec: execution_pb2.ExecutionSpec | None = None,
    launch_plan: launch_plan_pb2.LaunchPlanSpec | None = None,
) -> config.ResolvedConfig:
    return config.resolve_config(
        spec or execution_pb2.ExecutionSpec(),
        launch_plan or launch_plan_pb2.LaunchPlanSpec(),
        {},
        execution_id=RUN,
        metadata_root="s3://bucket/metadata",
        raw_output_prefix="s3://bucket/data",
        max_parallelism=25,
        said=said,
    )


class TestWhichRows:
    def test_nothing_is_said_where_nothing_is_set(self) -> None:
        assert said_about(RUN, WORKFLOW, NONE, NONE) is NOTHING
        elsewhere = {Key(Place("staging"), resources.TASK_RESOURCE): cpu("1")}
        assert said_about(RUN, WORKFLOW, elsewhere, elsewhere) == NOTHING

    def test_configs_are_the_most_specific_and_the_projects(self) -> None:
        one, two, three = (configured(max_parallelism=number) for number in (1, 2, 3))
        said = said_about(RUN, WORKFLOW, configs({PROJECT: one, DOMAIN: two, OF_WORKFLOW: three}), NONE)
        assert [row.max_parallelism for row in said.configs] == [3, 1], "the domain's is not looked at"
        said = said_about(RUN, WORKFLOW, configs({PROJECT: one, DOMAIN: two}), NONE)
        assert [row.max_parallelism for row in said.configs] == [2, 1]

    def test_resources_are_those_of_where_the_workflow_is_registered(self) -> None:
        workflow = identifier_pb2.Identifier(project="other", domain="production", name="w")
        here = {Key(DOMAIN, resources.TASK_RESOURCE): cpu("1")}
        there = {
            Key(Place("production"), resources.TASK_RESOURCE): cpu("2"),
            Key(Place("d"), resources.TASK_RESOURCE): cpu("3"),
        }
        assert said_about(RUN, workflow, here, there).task_resources == cpu("2").task_resource_attributes
        assert said_about(RUN, WORKFLOW, here, here).task_resources == cpu("1").task_resource_attributes

    def test_a_pool_is_the_domains_whatever_a_workflow_has(self) -> None:
        rows = {
            Key(DOMAIN, resources.CLUSTER_ASSIGNMENT): pool("a"),
            Key(OF_WORKFLOW, resources.CLUSTER_ASSIGNMENT): pool("b"),
        }
        assert said_about(RUN, WORKFLOW, rows, rows).cluster_pool == "a"


class TestPrecedence:
    SAID = Said(
        configs=(
            resources.WorkflowExecutionConfig(
                max_parallelism=7, labels=labels(a="near"), interruptible={"value": False}
            ),  # type: ignore[arg-type]
            resources.WorkflowExecutionConfig(
                max_parallelism=8,
                labels=labels(a="far", b="far"),
                annotations=common_pb2.Annotations(values={"n": "far"}),
                interruptible={"value": True},  # type: ignore[arg-type]
                overwrite_cache=True,
                envs=common_pb2.Envs(values=[literals_pb2.KeyValuePair(key="E", value="far")]),
                raw_output_data_config=common_pb2.RawOutputDataConfig(output_location_prefix="s3://far/"),
            ),
        )
    )

    def test_each_field_is_the_first_rows_that_sets_it(self) -> None:
        resolved = resolve(self.SAID)
        assert resolved.max_parallelism == 7
        assert dict(resolved.labels) == {"a": "near"}, "labels of one source replace the others' as a whole"
        assert dict(resolved.annotations) == {"n": "far"}
        assert resolved.HasField("interruptible")
        assert not resolved.interruptible
        assert resolved.overwrite_cache
        assert dict(resolved.envs) == {"E": "far"}
        assert resolved.raw_output_prefix == "s3://far"

    def test_request_and_launch_plan_come_first(self) -> None:
        spec = execution_pb2.ExecutionSpec(labels=labels(a="asked"))
        launch_plan = launch_plan_pb2.LaunchPlanSpec(
            max_parallelism=3, raw_output_data_config=common_pb2.RawOutputDataConfig(output_location_prefix="s3://plan")
        )
        resolved = resolve(self.SAID, spec, launch_plan)
        assert dict(resolved.labels) == {"a": "asked"}
        assert resolved.max_parallelism == 3
        assert resolved.raw_output_prefix == "s3://plan"

    def test_parallelism_that_is_set_for_a_place_bounds_each_execution_for_itself(self) -> None:
        assert not resolve(self.SAID).HasField("parallelism_root")

    def test_task_resources_are_kept_as_they_are(self) -> None:
        attributes = cpu("2").task_resource_attributes
        assert resolve(Said(task_resources=attributes)).task_resources == attributes
        assert not resolve(NOTHING).HasField("task_resources")

    def test_a_queueing_budget_is_a_default_where_nobody_asked_for_quality(self) -> None:
        quality = core_execution_pb2.QualityOfService()
        quality.spec.queueing_budget.seconds = 60
        said = Said(quality_of_service=quality)
        assert resolve(said).default_queueing_budget.seconds == 60
        assert not resolve(said).HasField("queueing_budget")
        tier = execution_pb2.ExecutionSpec(
            quality_of_service=core_execution_pb2.QualityOfService(tier=core_execution_pb2.QualityOfService.HIGH)
        )
        assert not resolve(said, tier).HasField("default_queueing_budget")

    def test_identity_of_attributes_comes_after_the_launch_plans_and_before_older_roles(self) -> None:
        def account(name: str) -> security_pb2.SecurityContext:
            return security_pb2.SecurityContext(run_as=security_pb2.Identity(k8s_service_account=name))

        rows = [resources.WorkflowExecutionConfig(), resources.WorkflowExecutionConfig(security_context=account("set"))]
        spec = execution_pb2.ExecutionSpec(auth_role=common_pb2.AuthRole(kubernetes_service_account="older"))
        nothing = launch_plan_pb2.LaunchPlanSpec()
        assert config.resolve_security_context(spec, nothing, rows) == account("set")
        assert config.resolve_security_context(spec, nothing) == account("older")
        of_plan = launch_plan_pb2.LaunchPlanSpec(security_context=account("plan"))
        assert config.resolve_security_context(spec, of_plan, rows) == account("plan")


def test_an_execution_may_name_no_other_pool_than_its_domain_has() -> None:
    spec = execution_pb2.ExecutionSpec()
    spec.cluster_assignment.cluster_pool_name = "mine"
    check_cluster_pool(RUN, spec, NOTHING)
    check_cluster_pool(RUN, spec, Said(cluster_pool="mine"))
    check_cluster_pool(RUN, execution_pb2.ExecutionSpec(), Said(cluster_pool="theirs"))
    with pytest.raises(InvalidArgument, match='pool "mine", because its configured to run on pool "theirs"'):
        check_cluster_pool(RUN, spec, Said(cluster_pool="theirs"))
