"""Which task types operators run, and what is said where one is not installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.k8s_launcher.kubernetes.objects import Plugin
from services.k8s_launcher.kubernetes.plugins.dask import Dask
from services.k8s_launcher.kubernetes.plugins.mpi import Mpi
from services.k8s_launcher.kubernetes.plugins.pytorch import PyTorch
from services.k8s_launcher.kubernetes.plugins.ray import Ray
from services.k8s_launcher.kubernetes.plugins.spark import Spark
from services.k8s_launcher.kubernetes.plugins.tensorflow import TensorFlow
from services.k8s_launcher.task_templates import NotLaunchable

_TRAINING: Final = "Kubeflow's training operator"


@dataclass(frozen=True)
class Operator:
    """A plugin whose objects an operator acts on."""

    plugin: Plugin
    name: str
    """As people know it."""
    task_types: tuple[str, ...]

    @property
    def definition(self) -> str:
        """Name of the CustomResourceDefinition that it needs."""
        kind = self.plugin.kind
        return f"{kind.plural}.{kind.api_version.partition('/')[0]}"

    def not_installed(self, task_type: str) -> NotLaunchable:
        """The error of a task of one of its types, on a cluster that does not know its kind of object.

        No other attempt is made: the operator has to be installed first.
        """
        kind = self.plugin.kind
        return NotLaunchable(
            "OperatorNotInstalled",
            f"tasks of type {task_type!r} are run by {self.name}, which this cluster does not have: there is no "
            f"CustomResourceDefinition {self.definition} with version {kind.api_version.partition('/')[2]}",
        )


OPERATORS: Final = (
    Operator(PyTorch(), _TRAINING, ("pytorch",)),
    Operator(TensorFlow(), _TRAINING, ("tensorflow",)),
    Operator(Mpi(), _TRAINING, ("mpi",)),
    Operator(Ray(), "KubeRay", ("ray",)),
    Operator(Spark(), "Kubeflow's Spark operator", ("spark",)),
    Operator(Dask(), "Dask's operator", ("dask",)),
)
