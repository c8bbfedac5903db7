"""What the parts of the Kubernetes runtime say to one another.

A plugin makes the object that runs an attempt (`build`) and says what that object's status means (`read`); both are
pure. Objects are plain dictionaries, as in the API's JSON, so that fields which no library knows yet pass through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from flyteidl.core import execution_pb2, literals_pb2, tasks_pb2

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved, Exit, Usage
from services.k8s_launcher.templates import TemplateValues

if TYPE_CHECKING:
    # The settings take parts from packages that work with objects.
    from services.k8s_launcher.kubernetes.settings import KubernetesSettings

Object = dict[str, Any]
"""An object of the Kubernetes API, as its JSON."""

SUBMITTED: Final = "task submitted to K8s"
"""The reason while an object is there, and nothing is known of it yet."""


@dataclass(frozen=True)
class Kind:
    """A kind of object, and where the API has it."""

    api_version: str
    """`v1`, `batch/v1`, `ray.io/v1`."""
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def root(self) -> str:
        """Path of its API group: `/api/v1`, `/apis/ray.io/v1`."""
        return f"/{'apis' if '/' in self.api_version else 'api'}/{self.api_version}"

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Path of one object, of those of a namespace, or of all."""
        parts = [self.root]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        return "/".join(parts)


POD = Kind("v1", "Pod", "pods")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
EVENT = Kind("v1", "Event", "events")
POD_TEMPLATE = Kind("v1", "PodTemplate", "podtemplates")
SECRET = Kind("v1", "Secret", "secrets")
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")


class SecretEntry(NamedTuple):
    """One value of a Secret in the namespace of the pod that refers to it."""

    secret: str
    """Its name."""
    key: str

    def source(self) -> Object:
        """As a variable's `valueFrom`; without the value no container starts."""
        return {"secretKeyRef": {"name": self.secret, "key": self.key}}


@dataclass(frozen=True)
class Task:
    """An attempt with all that is needed to build its object. Everything is looked up already."""

    scheduled: AttemptScheduled
    template: tasks_pb2.TaskTemplate
    values: TemplateValues
    """What placeholders in commands stand for."""
    inputs: literals_pb2.LiteralMap | None
    """The attempt's inputs; None when no command refers to them."""
    namespace: str
    name: str
    """Of the object: the attempt's generated name, as an operator's limits allow it."""
    settings: KubernetesSettings
    pod_template: Object | None = None
    """`template` of the PodTemplate object that holds for it (k8s-contract §1.9)."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables of all tasks that the operator gives; they come last."""
    base_environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables of all tasks that a task's own go before."""
    secret_environment: Mapping[str, SecretEntry] = field(default_factory=dict[str, SecretEntry])
    """Like `environment`, for values that are in no pod's text."""


@dataclass(frozen=True)
class Built:
    """The object that runs an attempt. `before` are to exist before it (a gang's PodGroup, say)."""

    kind: Kind
    manifest: Object
    before: Sequence[tuple[Kind, Object]] = ()


@dataclass(frozen=True)
class Reading:
    """What an object's status means for its attempt, at one moment."""

    stage: AttemptObserved.Stage
    reason: str = ""
    error: execution_pb2.ExecutionError | None = None
    """With FAILED and NOT_LAUNCHED; its kind says whose budget a retry uses."""
    recoverable: bool = False
    exit: Exit | None = None
    """With EXITED: it ended by itself, what it wrote decides."""
    logs: tuple[execution_pb2.TaskLog, ...] = ()
    usage: Usage | None = None
    """At the end: what it used, as far as the status says."""
    occurred_at: datetime | None = None
    """When it came to be so, as the status says; None: now."""
    again_at: datetime | None = None
    """When time alone may change the answer: a period of grace ends."""
    of_no_use: bool = False
    """The object is to be deleted at once: nobody looks at it any more, and it may hold a node."""
    custom_info: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Seen:
    """An object's state, and what else is needed to say what it means."""

    object: Object
    now: datetime
    scheduled: AttemptScheduled
    settings: KubernetesSettings


class Plugin(Protocol):
    """How tasks of some types run on Kubernetes."""

    @property
    def identifier(self) -> str:
        """What clients see as the attempt's plugin: `container`, `pod`, `ray`."""
        ...

    @property
    def kind(self) -> Kind: ...

    @property
    def longest_name(self) -> int:
        """Of its objects, in characters."""
        ...

    def build(self, task: Task) -> Built:
        """The object. Raises `NotLaunchable`."""
        ...

    def read(self, seen: Seen) -> Reading:
        """What its status means. A deleted or vanished object is not its concern: `runtime` says what that means."""
        ...
