"""How much runs at once: requests for CPU, memory and devices against what the machine has.

First come, first served. An attempt that does not fit holds back those behind it, but only as far as they ask for
something that it is short of: a task waiting for a GPU does not stop one that needs none, and a small task cannot
overtake a large one for ever. A request larger than the machine waits aside and holds back nobody.

Requests that are alike wait in one line: serving costs as much as there are kinds of requests, however many wait.

Pure bookkeeping: no clock, no input, no output.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from services.k8s_launcher.process.devices import Device, fits_kind

CPU = "cpu"
MEMORY = "memory"


@dataclass(frozen=True)
class Request:
    """What one attempt asks for: CPU in thousandths, memory in bytes, devices by resource name.

    `accelerator` names the kind of device (`nvidia-tesla-t4`), empty for any.
    """

    cpu_millis: int
    memory_bytes: int
    devices: Mapping[str, int] = field(default_factory=dict[str, int])
    accelerator: str = ""


@dataclass(frozen=True)
class Grant:
    """What an attempt holds while it runs."""

    cpu_millis: int
    memory_bytes: int
    devices: tuple[Device, ...] = ()


@dataclass
class Waiting:
    """A place in the queue. `on_grant` is called when its turn has come."""

    request: Request
    on_grant: Callable[[Grant], None]
    reason: str = ""
    impossible: bool = False
    # Grows in order of arrival.
    number: int = 0


_Kind = tuple[int, int, tuple[tuple[str, int], ...], str]
"""What makes two requests alike."""


class Capacity:
    """The machine's totals, what is held of them, and who waits."""

    def __init__(self, *, cpu_millis: int, memory_bytes: int, devices: Sequence[Device] = ()) -> None:
        self._cpu_total, self._memory_total = cpu_millis, memory_bytes
        self._devices = tuple(devices)
        self._cpu_free, self._memory_free = cpu_millis, memory_bytes
        self._devices_free = list(devices)
        self._lines: dict[_Kind, OrderedDict[int, Waiting]] = {}
        # Those that the machine is too small for.
        self._aside: dict[int, Waiting] = {}
        self._numbers = itertools.count()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._lines.values())) + len(self._aside)

    def ask(self, request: Request, on_grant: Callable[[Grant], None]) -> Grant | Waiting:
        """A grant at once, or a place in the queue whose `reason` says what it waits for."""
        entry = Waiting(request, on_grant, number=next(self._numbers))
        entry.reason = self._impossible(request)
        entry.impossible = bool(entry.reason)
        if entry.impossible:
            self._aside[entry.number] = entry
            return entry
        held_back = self._held_back()
        grant = self._try(request, held_back)
        if grant is not None:
            return grant
        entry.reason = self._shortage(request, held_back)
        self._lines.setdefault(_kind(request), OrderedDict())[entry.number] = entry
        return entry

    def leave(self, entry: Waiting) -> None:
        """Give up a place in the queue."""
        self._aside.pop(entry.number, None)
        kind = _kind(entry.request)
        line = self._lines.get(kind)
        if line is not None and line.pop(entry.number, None) is not None:
            if not line:
                del self._lines[kind]
            self._serve()

    def hold(self, grant: Grant) -> None:
        """Count something that runs already, even where that makes more than there is."""
        self._cpu_free -= grant.cpu_millis
        self._memory_free -= grant.memory_bytes
        held = {(device.resource, device.id) for device in grant.devices}
        self._devices_free = [d for d in self._devices_free if (d.resource, d.id) not in held]

    def release(self, grant: Grant) -> None:
        """Give back what an ended attempt held, and serve those who wait."""
        self._cpu_free += grant.cpu_millis
        self._memory_free += grant.memory_bytes
        known = {(device.resource, device.id) for device in self._devices}
        self._devices_free += [d for d in grant.devices if (d.resource, d.id) in known]
        self._devices_free.sort(key=self._devices.index)
        self._serve()

    def _serve(self) -> None:
        served: list[tuple[Waiting, Grant]] = []
        short: set[str] = set()
        heads = self._heads()
        while heads:
            number, kind = heapq.heappop(heads)
            line = self._lines[kind]
            request = line[number].request
            grant = self._try(request, short)
            if grant is None:
                # What one of them cannot have, none behind it in its line can.
                short |= self._short(request, short)
                continue
            served.append((line.pop(number), grant))
            if line:
                heapq.heappush(heads, (next(iter(line)), kind))
            else:
                del self._lines[kind]
        for entry, grant in served:
            entry.on_grant(grant)

    def _held_back(self) -> set[str]:
        short: set[str] = set()
        for number, kind in sorted(self._heads()):
            short |= self._short(self._lines[kind][number].request, short)
        return short

    def _heads(self) -> list[tuple[int, _Kind]]:
        """The first in each line, as a heap by arrival."""
        heads = [(next(iter(line)), kind) for kind, line in self._lines.items()]
        heapq.heapify(heads)
        return heads

    def _try(self, request: Request, held_back: set[str]) -> Grant | None:
        if self._short(request, held_back):
            return None
        chosen: list[Device] = []
        for resource, count in request.devices.items():
            chosen += self._free(resource, request.accelerator)[:count]
        grant = Grant(request.cpu_millis, request.memory_bytes, tuple(chosen))
        self.hold(grant)
        return grant

    def _short(self, request: Request, held_back: set[str]) -> set[str]:
        """Of what this request asks for, the things it cannot have now."""
        short: set[str] = set()
        if request.cpu_millis and (request.cpu_millis > self._cpu_free or CPU in held_back):
            short.add(CPU)
        if request.memory_bytes and (request.memory_bytes > self._memory_free or MEMORY in held_back):
            short.add(MEMORY)
        for resource, count in request.devices.items():
            if count and (count > len(self._free(resource, request.accelerator)) or resource in held_back):
                short.add(resource)
        return short

    def _free(self, resource: str, accelerator: str) -> list[Device]:
        return [d for d in self._devices_free if d.resource == resource and fits_kind(d, accelerator)]

    def _impossible(self, request: Request) -> str:
        if request.cpu_millis > self._cpu_total:
            return f"needs {_cores(request.cpu_millis)} cpu, this machine has {_cores(self._cpu_total)}"
        if request.memory_bytes > self._memory_total:
            return f"needs {_bytes(request.memory_bytes)} memory, this machine has {_bytes(self._memory_total)}"
        for resource, count in request.devices.items():
            there = [d for d in self._devices if d.resource == resource]
            fitting = [d for d in there if fits_kind(d, request.accelerator)]
            if count > len(there):
                return f"needs {count} {resource}, this machine has {len(there)}"
            if count > len(fitting):
                kinds = ", ".join(sorted({d.product or "unknown" for d in there}))
                return f"needs {count} {resource} of kind {request.accelerator}, this machine has {kinds}"
        return ""

    def _shortage(self, request: Request, held_back: set[str]) -> str:
        short = self._short(request, held_back)
        parts: list[str] = []
        if CPU in short:
            parts.append(f"{_cores(request.cpu_millis)} cpu ({_cores(max(self._cpu_free, 0))} free)")
        if MEMORY in short:
            parts.append(f"{_bytes(request.memory_bytes)} memory ({_bytes(max(self._memory_free, 0))} free)")
        for resource, count in request.devices.items():
            if resource in short:
                parts.append(f"{count} {resource} ({len(self._free(resource, request.accelerator))} free)")
        return f"waits for {', '.join(parts)}; {self.waiting} ahead"


def _kind(request: Request) -> _Kind:
    return request.cpu_millis, request.memory_bytes, tuple(sorted(request.devices.items())), request.accelerator


def _cores(millis: int) -> str:
    return f"{Decimal(millis) / 1000:f}".rstrip("0").rstrip(".") if millis % 1000 else str(millis // 1000)


def _bytes(count: int) -> str:
    for unit, size in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + unit
    return str(count)
