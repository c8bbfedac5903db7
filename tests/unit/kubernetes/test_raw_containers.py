"""Pods of raw containers: k8s-contract §1.13, test cases T34 and T35."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import pytest
from flyteidl.core import interface_pb2, tasks_pb2
from flytekit import ContainerTask, PodTemplate, Resources
from flytekit.configuration import Image, ImageConfig, SerializationSettings
from flytekit.models.task import TaskTemplate
from flytekit.tools.translator import get_serializable
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from kubernetes.client import V1Container, V1PodSpec

from flightlog_blobs import BlobSettings
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.copying.command import parser
from services.k8s_launcher.copying.interfaces import decoded
from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.pods.pod import build_pod
from services.k8s_launcher.kubernetes.raw_container_settings import RawContainerSettings
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from services.k8s_launcher.task_templates import NotLaunchable
from tests.unit.kubernetes.pod_statuses import container as state_of
from tests.unit.kubernetes.pod_statuses import pod, read, running, status, terminated, waiting
from tests.unit.kubernetes.pods.tasks import NAME, task

IMAGES = ImageConfig(Image("default", "task", "1"))
STORE = {"endpoint": "http://store:9000", "bucket": "b", "region": "eu-1"}


UNPRIVILEGED = {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def raw(**fields: Any) -> tasks_pb2.TaskTemplate:
    """The template that flytekit makes of a ContainerTask."""
    made = ContainerTask(
        **{
            "name": "raw",
            "image": "tool:1",
            "inputs": {"data": FlyteFile, "rate": float},
            "outputs": {"model": FlyteFile, "loss": float},
            "input_data_dir": "/var/inputs",
            "output_data_dir": "/var/outputs",
            "command": ["tool", "{{.inputs.rate}}", "/var/inputs/data", "/var/outputs/model"],
            **fields,
        }
    )
    settings = SerializationSettings(project="p", domain="d", version="v", image_config=IMAGES)
    template: TaskTemplate = get_serializable(OrderedDict(), settings, made).template
    return template.to_flyte_idl()


def spec_of(
    template: tasks_pb2.TaskTemplate,
    *,
    pod_template: Object | None = None,
    pods: Object | None = None,
    **settings: Any,
) -> Object:
    whole = KubernetesSettings.model_validate({"raw_containers": {**STORE, **settings}, "pods": pods or {}})
    return build_pod(task(template, settings_of=whole, pod_template=pod_template)).manifest["spec"]


def options_of(container: Object) -> Any:
    return parser().parse_args(container["args"])


def named(things: list[Object]) -> dict[str, Object]:
    return {thing["name"]: thing for thing in things}


def test_inputs_and_outputs_are_copied() -> None:
    """T34."""
    template = raw()
    manifest = build_pod(
        task(template, settings_of=KubernetesSettings.model_validate({"raw_containers": STORE}))
    ).manifest
    assert "primary_container_name" not in manifest["metadata"].get("annotations", {})
    spec = manifest["spec"]
    uploader, downloader = spec["initContainers"]
    assert (uploader["name"], uploader["restartPolicy"]) == ("flyte-copilot-uploader", "Always")
    assert downloader["name"] == "flyte-copilot-downloader"
    assert "restartPolicy" not in downloader
    assert spec["volumes"] == [
        {"name": "flyte-inputs", "emptyDir": {}},
        {"name": "flyte-outputs", "emptyDir": {}},
    ]
    assert spec["terminationGracePeriodSeconds"] == 3600
    (main,) = spec["containers"]
    assert main["name"] == NAME
    assert main["volumeMounts"] == [
        {"name": "flyte-inputs", "mountPath": "/var/inputs"},
        {"name": "flyte-outputs", "mountPath": "/var/outputs"},
    ]
    assert downloader["volumeMounts"] == main["volumeMounts"][:1]
    assert uploader["volumeMounts"] == main["volumeMounts"][1:]
    for container in (uploader, downloader):
        assert container["command"] == ["python", "-P", "-m", "services.k8s_launcher.copying"]
        assert container["resources"] == {
            "requests": {"cpu": "500m", "memory": "256Mi"},
            "limits": {"cpu": "500m", "memory": "256Mi"},
        }
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        assert container["workingDir"] == "/"
    assert uploader["startupProbe"]["exec"]["command"][-1] == options_of(uploader).ready_file


def test_arguments_are_those_that_the_command_takes() -> None:
    template = raw(metadata_format=ContainerTask.MetadataFormat.YAML)
    uploader, downloader = spec_of(template)["initContainers"]
    download = options_of(downloader)
    assert download.command == "download"
    assert download.from_remote == "s3://b/meta/n0/data/inputs.pb"
    assert download.to_output_prefix == "s3://b/meta/n0/data/0"
    assert download.to_local_dir == "/var/inputs"
    assert download.format == tasks_pb2.DataLoadingConfig.YAML
    assert download.input_interface == template.interface.inputs
    collect = options_of(uploader)
    assert collect.command == "collect"
    assert collect.from_local_dir == "/var/outputs"
    assert collect.to_raw_output.endswith(f"/{NAME}")
    assert collect.to_output_prefix == "s3://b/meta/n0/data/0"
    assert collect.timeout == 3600
    assert collect.interface == template.interface
    # As Flyte gives it.
    at = downloader["args"].index("--input-interface")
    assert decoded(interface_pb2.VariableMap, downloader["args"][at + 1]) == template.interface.inputs


def test_keys_of_the_object_store_are_in_no_specification() -> None:
    for container in spec_of(raw(), credentials_secret="store")["initContainers"]:
        found = {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}
        assert found == {
            "FLIGHTLOG_BLOBS__ENDPOINT": "http://store:9000",
            "FLIGHTLOG_BLOBS__BUCKET": "b",
            "FLIGHTLOG_BLOBS__REGION": "eu-1",
            "FLIGHTLOG_BLOBS__ACCESS_KEY": {"secretKeyRef": {"name": "store", "key": "FLYTE_AWS_ACCESS_KEY_ID"}},
            "FLIGHTLOG_BLOBS__SECRET_KEY": {"secretKeyRef": {"name": "store", "key": "FLYTE_AWS_SECRET_ACCESS_KEY"}},
        }


def test_without_inputs_nothing_is_downloaded() -> None:
    """T35."""
    spec = spec_of(raw(inputs=None, command=["tool"]))
    assert list(named(spec["initContainers"])) == ["flyte-copilot-uploader"]
    assert list(named(spec["volumes"])) == ["flyte-outputs"]


def test_without_outputs_nothing_is_collected() -> None:
    spec = spec_of(raw(outputs=None))
    assert list(named(spec["initContainers"])) == ["flyte-copilot-downloader"]
    assert list(named(spec["volumes"])) == ["flyte-inputs"]
    assert "terminationGracePeriodSeconds" not in spec


def test_without_either_it_is_a_plain_pod() -> None:
    spec = spec_of(raw(inputs=None, outputs=None, command=["tool"]))
    assert "initContainers" not in spec
    assert "volumes" not in spec


def test_folders_that_the_task_does_not_name_are_flytes() -> None:
    template = raw(input_data_dir=None, output_data_dir=None)
    assert [mount["mountPath"] for mount in spec_of(template)["containers"][0]["volumeMounts"]] == [
        "/var/flyte/inputs",
        "/var/flyte/outputs",
    ]
    mounts = spec_of(template, input_path="/in", output_path="/out/")["containers"][0]["volumeMounts"]
    assert [mount["mountPath"] for mount in mounts] == ["/in", "/out"]


def test_users_init_containers_run_between_and_pod_templates_lie_under() -> None:
    """The order of k8s-contract §1.13; `primary-init` of a template is for the one that downloads."""
    own = V1PodSpec(
        containers=[V1Container(name="primary"), V1Container(name="beside", image="b")],
        init_containers=[V1Container(name="before", image="a")],
    )
    under = {
        "spec": {
            "containers": [],
            "initContainers": [{"name": "primary-init", "env": [{"name": "FROM", "value": "template"}]}],
        }
    }
    spec = spec_of(raw(pod_template=PodTemplate(pod_spec=own)), pod_template=under)
    init = named(spec["initContainers"])
    assert list(init) == ["flyte-copilot-uploader", "before", "flyte-copilot-downloader"]
    assert init["flyte-copilot-downloader"]["env"][0] == {"name": "FROM", "value": "template"}
    mounts = {name: container.get("volumeMounts") for name, container in named(spec["containers"]).items()}
    assert [mount["name"] for mount in mounts["primary"]] == ["flyte-inputs", "flyte-outputs"]
    assert mounts["beside"] is None


def test_volumes_are_limited_where_somebody_says_so() -> None:
    limited = spec_of(raw(), volume_size="5Gi")
    assert [volume["emptyDir"] for volume in limited["volumes"]] == [{"sizeLimit": "5Gi"}] * 2
    template = raw(requests=Resources(cpu="1"))
    template.container.resources.requests.add(name=tasks_pb2.Resources.STORAGE, value="7Gi")
    assert [volume["emptyDir"] for volume in spec_of(template, volume_size="5Gi")["volumes"]] == [
        {"sizeLimit": "7Gi"}
    ] * 2


def test_the_containers_that_copy_have_as_few_rights_as_will_do() -> None:
    (context,) = {json.dumps(one["securityContext"]) for one in spec_of(raw())["initContainers"]}
    assert json.loads(context) == {
        "runAsUser": 0,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]},
    }
    unprivileged = V1PodSpec(
        containers=[V1Container(name="primary")], security_context={"runAsNonRoot": True, "runAsUser": 1000}
    )
    for container in spec_of(raw(pod_template=PodTemplate(pod_spec=unprivileged)))["initContainers"]:
        assert container["securityContext"] == {**UNPRIVILEGED, "runAsUser": 1000}
    own = {"runAsUser": 7}
    assert spec_of(raw(), security_context=own)["initContainers"][0]["securityContext"] == own


def of_template(spec: Object) -> Object:
    return {"spec": {"containers": [{"name": "default", "image": "x"}], **spec}}


PROFILE = {"seccompProfile": {"type": "RuntimeDefault"}}
WHO_FORBIDS_ROOT: dict[str, tuple[Any, Object]] = {
    "the operator, of pods": ({"pods": {"default_pod_security_context": {"runAsNonRoot": True}}}, {}),
    "the operator, of containers": (
        {"pods": {"default_security_context": {"runAsNonRoot": True, "runAsUser": 5, **PROFILE}}},
        {"runAsUser": 5, **PROFILE},
    ),
    "a pod template, of pods": (
        {"pod_template": of_template({"securityContext": {"runAsNonRoot": True, "runAsUser": 5}})},
        {"runAsUser": 5},
    ),
    "a pod template, of containers": (
        {"pod_template": {"spec": {"containers": [{"name": "primary", "securityContext": {"runAsNonRoot": True}}]}}},
        {},
    ),
}


@pytest.mark.parametrize("who", WHO_FORBIDS_ROOT)
def test_the_containers_that_copy_are_not_root_where_somebody_forbids_it(who: str) -> None:
    fields, expected = WHO_FORBIDS_ROOT[who]
    for container in spec_of(raw(), **fields)["initContainers"]:
        assert container["securityContext"] == {**UNPRIVILEGED, **expected}


def test_pod_templates_say_what_init_containers_may_that_copy() -> None:
    inits = [{"name": "default-init", "securityContext": {"readOnlyRootFilesystem": True, "runAsUser": 9}}]
    for container in spec_of(raw(), pod_template=of_template({"initContainers": inits}))["initContainers"]:
        context = container["securityContext"]
        assert (context["readOnlyRootFilesystem"], context["runAsUser"]) == (True, 9)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"outputs": {"many": list[int]}}, "'many' is a collection"),
        ({"outputs": {"by_name": dict[str, int]}}, "'by_name' is a map value"),
        ({"output_data_dir": "/var/inputs"}, "same folder"),
        ({"input_data_dir": "/var/../etc"}, "not an absolute path"),
        ({"output_data_dir": "outputs"}, "not an absolute path"),
        ({"output_data_dir": "/"}, "not an absolute path"),
    ],
)
def test_what_can_never_be_copied_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(NotLaunchable, match=says) as refused:
        spec_of(raw(**fields))
    assert refused.value.code == "BadTaskSpecification"


def test_names_that_are_no_files_are_refused() -> None:
    template = raw()
    template.interface.outputs.variables["../x"].CopyFrom(template.interface.outputs.variables["loss"])
    with pytest.raises(NotLaunchable, match="cannot be the name of a file"):
        spec_of(template)


def test_other_tasks_are_left_alone() -> None:
    template = raw()
    template.container.data_config.enabled = False
    assert "initContainers" not in spec_of(template)


def test_folders_are_collected_too() -> None:
    assert spec_of(raw(outputs={"all": FlyteDirectory}))["initContainers"]


def test_the_store_is_the_services_own_unless_it_is_named() -> None:
    blobs = BlobSettings.model_validate(
        {
            "bucket": "own",
            "endpoint": "http://in",
            "public_endpoint": "http://out",
            "access_key": "a",
            "secret_key": "s",
        }
    )
    assert RawContainerSettings.model_validate({"bucket": "named"}).with_store(blobs).model_dump(
        include={"endpoint", "bucket", "region"}
    ) == {"endpoint": "http://in", "bucket": "named", "region": "us-east-1"}


@pytest.mark.parametrize(
    ("name", "code", "stage"),
    [
        ("flyte-copilot-downloader", 65, AttemptObserved.EXITED),
        ("flyte-copilot-downloader", 1, AttemptObserved.FAILED),
        ("mine", 65, AttemptObserved.FAILED),
    ],
)
def test_inputs_that_could_not_be_had_are_told_by_the_error_document(name: str, code: int, stage: int) -> None:
    """Flyte starts the container without its inputs."""
    init = [state_of(name, terminated(code, "Error", "InputDownloadFailed: s3://b/x does not exist"))]
    reading = read(pod(status("Failed", state_of("main", waiting("PodInitializing")), init=init), primary=None))
    assert reading.stage == stage
    if stage == AttemptObserved.EXITED:
        assert reading.exit is not None
        assert reading.exit.code == 65
        assert "s3://b/x does not exist" in reading.reason


def test_it_runs_until_its_outputs_are_collected() -> None:
    """T63."""
    ended = state_of("main", terminated(0, "Completed"))
    for state, stage in ((running(), AttemptObserved.RUNNING), (terminated(0, "Completed"), AttemptObserved.EXITED)):
        thing = pod(status("Running", ended, init=[state_of("flyte-copilot-uploader", state)]), primary=None)
        assert read(thing).stage == stage
