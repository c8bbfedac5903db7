"""Room on the machine: first come, first served, and nobody is starved."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.k8s_launcher.process.capacity import Capacity, Grant, Request, Waiting
from services.k8s_launcher.process.devices import Device, parse_listing, visible_devices

GIB = 1 << 30


def _capacity(devices: tuple[Device, ...] = ()) -> Capacity:
    return Capacity(cpu_millis=2000, memory_bytes=4 * GIB, devices=devices)


def _wait(capacity: Capacity, request: Request, granted: list[Grant]) -> Waiting:
    answer = capacity.ask(request, granted.append)
    assert isinstance(answer, Waiting)
    return answer


def _take(capacity: Capacity, request: Request) -> Grant:
    answer = capacity.ask(request, lambda _: None)
    assert isinstance(answer, Grant)
    return answer


def test_small_attempt_does_not_overtake_a_large_one_that_waits() -> None:
    capacity, large, small = _capacity(), list[Grant](), list[Grant]()
    first = _take(capacity, Request(1000, GIB))
    _wait(capacity, Request(2000, GIB), large)
    _wait(capacity, Request(100, GIB), small)
    capacity.release(first)
    assert len(large) == 1
    assert not small
    capacity.release(large[0])
    assert len(small) == 1


def test_attempt_that_waits_for_a_gpu_holds_back_only_those_that_want_one() -> None:
    capacity, waiting = _capacity((Device(id="0"),)), list[Grant]()
    _take(capacity, Request(100, GIB, {"nvidia.com/gpu": 1}))
    _wait(capacity, Request(100, GIB, {"nvidia.com/gpu": 1}), waiting)
    _take(capacity, Request(100, GIB))


def test_request_beyond_the_machine_says_so_and_holds_back_nobody() -> None:
    capacity, granted = _capacity(), list[Grant]()
    assert _wait(capacity, Request(100, 8 * GIB), granted).reason == "needs 8Gi memory, this machine has 4Gi"
    assert _wait(capacity, Request(2500, 0), granted).reason == "needs 2.5 cpu, this machine has 2"
    assert (
        _wait(capacity, Request(0, 0, {"amd.com/gpu": 2}), granted).reason == "needs 2 amd.com/gpu, this machine has 0"
    )
    _take(capacity, Request(2000, 4 * GIB))
    assert not granted


def test_leaving_the_queue_lets_the_next_one_through() -> None:
    capacity, large, small = _capacity(), list[Grant](), list[Grant]()
    _take(capacity, Request(1000, GIB))
    entry = _wait(capacity, Request(2000, GIB), large)
    _wait(capacity, Request(500, GIB), small)
    capacity.leave(entry)
    assert len(small) == 1
    assert not large


def test_accelerator_kind_is_matched_by_product_name() -> None:
    capacity, granted = _capacity((Device(id="0", product="NVIDIA H200"),)), list[Grant]()
    entry = _wait(capacity, Request(0, 0, {"nvidia.com/gpu": 1}, "nvidia-tesla-t4"), granted)
    assert entry.reason == "needs 1 nvidia.com/gpu of kind nvidia-tesla-t4, this machine has NVIDIA H200"
    assert _take(capacity, Request(0, 0, {"nvidia.com/gpu": 1}, "nvidia-h200")).devices[0].id == "0"


def test_adopted_attempts_count_even_beyond_the_total() -> None:
    capacity, granted = _capacity(), list[Grant]()
    adopted = Grant(3000, GIB)
    capacity.hold(adopted)
    _wait(capacity, Request(1000, GIB), granted)
    capacity.release(adopted)
    assert len(granted) == 1


_requests = st.builds(
    Request,
    st.integers(0, 2000),
    st.integers(0, 4 * GIB),
    st.dictionaries(st.just("nvidia.com/gpu"), st.integers(1, 2), max_size=1),
)


@settings(max_examples=100)
@given(st.lists(_requests, max_size=20), st.randoms(use_true_random=False))
def test_room_is_never_given_twice_and_everybody_gets_it_in_the_end(requests: list[Request], random: object) -> None:
    devices = (Device(id="0"), Device(id="1"))
    capacity, running, started = _capacity(devices), list[Grant](), 0

    def begin(grant: Grant) -> None:
        nonlocal started
        started += 1
        running.append(grant)
        assert sum(g.cpu_millis for g in running) <= 2000
        assert sum(g.memory_bytes for g in running) <= 4 * GIB
        held = [device.id for g in running for device in g.devices]
        assert len(held) == len(set(held))

    for request in requests:
        answer = capacity.ask(request, begin)
        if isinstance(answer, Grant):
            begin(answer)
    while running:
        capacity.release(running.pop(random.randrange(len(running))))  # type: ignore[attr-defined]
    assert started == len(requests)
    assert capacity.waiting == 0


def test_listing_of_nvidia_smi_is_read() -> None:
    assert parse_listing("0, NVIDIA H200\n1, Tesla T4\n\nNo devices were found\n") == [
        Device(id="0", product="NVIDIA H200"),
        Device(id="1", product="Tesla T4"),
    ]


def test_task_without_devices_is_shown_none_of_those_there_are() -> None:
    known = (Device(id="0"), Device(id="1"))
    assert visible_devices([], known)["CUDA_VISIBLE_DEVICES"] == ""
    assert visible_devices(known[1:], known)["CUDA_VISIBLE_DEVICES"] == "1"
    assert visible_devices([], []) == {}


def test_those_who_wait_for_the_same_are_served_as_they_came() -> None:
    capacity, served = _capacity(), list[int]()
    taken = [_take(capacity, Request(1000, GIB)) for _ in range(2)]
    for number, cpu in enumerate((1000, 500, 1000, 500)):
        capacity.ask(Request(cpu, GIB), lambda _, number=number: served.append(number))
    capacity.release(taken[0])
    assert served == [0]
    capacity.release(taken[1])
    assert served == [0, 1]
    assert capacity.waiting == 2
