"""Accelerators of this machine: what there is, and how a task is told which are its own.

A device belongs to one attempt at a time. Which one is said through the vendor's variable; a task that was given none
is told so too, else it would take them all.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Mapping, Sequence

import structlog
from pydantic import BaseModel, ConfigDict

NVIDIA = "nvidia.com/gpu"
AMD = "amd.com/gpu"

_VARIABLES: Mapping[str, tuple[str, ...]] = {
    NVIDIA: ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
    AMD: ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    "gpu.intel.com/xe": ("ZE_AFFINITY_MASK",),
    "gpu.intel.com/i915": ("ZE_AFFINITY_MASK",),
    "habana.ai/gaudi": ("HABANA_VISIBLE_MODULES",),
    "google.com/tpu": ("TPU_VISIBLE_CHIPS",),
    "aws.amazon.com/neuron": ("NEURON_RT_VISIBLE_CORES",),
}
_VENDOR_WORDS = frozenset({"nvidia", "tesla", "geforce", "amd", "instinct", "gpu"})
_DISCOVERY_SECONDS = 20.0

_log = structlog.get_logger(__name__)


class Device(BaseModel):
    """One accelerator. `id` is what the vendor's variable takes (index or UUID), `product` its name where known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resource: str = NVIDIA
    id: str
    product: str = ""


def fits_kind(device: Device, accelerator: str) -> bool:
    """Whether the device is of the kind a task names (`nvidia-tesla-t4`, as flytekit spells it); "" names any.

    A device whose product is unknown fits every name: refusing it could never be right for all.
    """
    if not accelerator or not device.product:
        return True
    return _words(accelerator) <= _words(device.product)


def visible_devices(devices: Sequence[Device], known: Sequence[Device] = ()) -> dict[str, str]:
    """Variables that show a task its devices, and hide from it all others the machine has (`known`)."""
    variables: dict[str, str] = {}
    for resource in {device.resource for device in (*devices, *known)}:
        names = _VARIABLES.get(resource, ())
        own = ",".join(device.id for device in devices if device.resource == resource)
        for name in names:
            variables[name] = own if own or name != "NVIDIA_VISIBLE_DEVICES" else "void"
    return variables


async def discover() -> list[Device]:
    """The NVIDIA devices that `nvidia-smi` lists; none where it is missing or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "--query-gpu=index,name",
            "--format=csv,noheader",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        output, _ = await asyncio.wait_for(process.communicate(), _DISCOVERY_SECONDS)
    except (OSError, TimeoutError) as error:
        _log.warning("devices.undiscovered", program=program, error=repr(error))
        return []
    return parse_listing(output.decode(errors="replace")) if process.returncode == 0 else []


def parse_listing(text: str) -> list[Device]:
    """Devices of `nvidia-smi --query-gpu=index,name --format=csv,noheader`."""
    devices: list[Device] = []
    for line in text.splitlines():
        index, comma, name = line.partition(",")
        if comma and index.strip().isdigit():
            devices.append(Device(id=index.strip(), product=name.strip()))
    return devices


def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]+", name.lower())) - _VENDOR_WORDS
