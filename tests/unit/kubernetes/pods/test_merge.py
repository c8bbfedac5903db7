"""Pods laid over pod templates (k8s-contract §1.9): examples, and the laws that hold for all."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.pods.merge import merged, onto_template, overlaid, template_container

# Each name has values of one kind only, as the fields of Kubernetes' objects have.
_SCALARS = {
    "text": st.text(max_size=3),
    "number": st.integers(0, 3),
    "flag": st.booleans(),
    "list": st.lists(st.integers(0, 9), max_size=3),
    "map": st.dictionaries(st.sampled_from("abc"), st.text("xyz", min_size=1, max_size=2), max_size=3),
}
_INNER = st.fixed_dictionaries({}, optional=_SCALARS)
OBJECTS = st.fixed_dictionaries({}, optional={**_SCALARS, "inner": _INNER})


@given(OBJECTS, OBJECTS, OBJECTS)
def test_merge_is_associative(one: Object, two: Object, three: Object) -> None:
    assert merged(merged(one, two), three) == merged(one, merged(two, three))


@given(OBJECTS)
def test_nothing_changes_nothing(one: Object) -> None:
    assert merged({}, one) == one
    assert merged(one, {}) == one


@given(OBJECTS, OBJECTS)
def test_what_lies_over_wins_where_it_says_something(under: Object, over: Object) -> None:
    result = merged(under, over)
    assert result.keys() == under.keys() | over.keys()
    for name in ("text", "number", "flag"):
        assert result.get(name) == (over.get(name) or under.get(name, over.get(name)))
    assert result.get("list", []) == [*under.get("list", []), *over.get("list", [])]
    assert result.get("map", {}) == {**under.get("map", {}), **over.get("map", {})}
    if "inner" in under and "inner" in over:
        assert result["inner"] == merged(under["inner"], over["inner"])


@given(OBJECTS, OBJECTS)
def test_neither_side_is_changed_or_shared(under: Object, over: Object) -> None:
    before = copy.deepcopy((under, over))
    result = merged(under, over)
    result.setdefault("list", []).append("mine")
    result.setdefault("inner", {}).setdefault("map", {})["mine"] = "mine"
    assert (under, over) == before


def test_alternatives_of_affinities_are_joined() -> None:
    def affinity(zone: str) -> Object:
        terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}]
        return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}

    result = merged({"affinity": affinity("a")}, {"affinity": affinity("b")})
    required = result["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    zones = [term["matchExpressions"][0]["values"] for term in required["nodeSelectorTerms"]]
    assert zones == [["a"], ["b"]]


CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["main", "side", "other", "primary", "default"])},
        optional={"args": st.lists(st.sampled_from("abc"), max_size=2), "image": st.sampled_from("xyz")},
    ),
    max_size=4,
    unique_by=lambda each: each["name"],
)


@given(CONTAINERS, CONTAINERS.filter(lambda found: any(each["name"] == "main" for each in found)))
def test_pod_has_its_own_containers_and_no_others(templates: list[Object], own: list[Object]) -> None:
    result = onto_template({"containers": templates}, {"containers": own}, primary="main")
    assert [each["name"] for each in result["containers"]] == [each["name"] for each in own]
    by_name = {each["name"]: each for each in templates}
    for made, each in zip(result["containers"], own, strict=True):
        layers: list[Any] = [by_name.get("default")]
        if each["name"] == "main":
            layers.append(by_name.get("primary"))
        elif each["name"] != "default":
            layers.append(by_name.get(each["name"]))
        args = [word for layer in (*layers, each) if layer is not None for word in layer.get("args", [])]
        assert made.get("args", []) == args
        images = [layer["image"] for layer in (*layers, each) if layer is not None and "image" in layer]
        assert made.get("image") == (images[-1] if images else None)


def test_command_of_a_template_goes_before_the_tasks() -> None:
    result = onto_template(
        {"containers": [{"name": "default", "command": ["nice"]}]},
        {"containers": [{"name": "main", "command": ["pyflyte-execute"]}]},
        primary="main",
    )
    assert result["containers"][0]["command"] == ["nice", "pyflyte-execute"]


def test_init_containers_have_templates_of_their_own() -> None:
    templates = [
        {"name": "default-init", "args": ["default"]},
        {"name": "primary-init", "args": ["primary"]},
        {"name": "early", "args": ["early"]},
    ]
    own = [{"name": "early"}, {"name": "downloader"}, {"name": "late"}]
    result = onto_template(
        {"initContainers": templates, "containers": [{"name": "default", "args": ["x"]}]},
        {"initContainers": own, "containers": [{"name": "main"}]},
        primary="main",
        primary_init="downloader",
    )
    assert [each["args"] for each in result["initContainers"]] == [
        ["default", "early"],
        ["default", "primary"],
        ["default"],
    ]


def test_template_without_containers_for_a_pods_changes_only_the_pod() -> None:
    result = onto_template(
        {"containers": [{"name": "unlike"}], "initContainers": [{"name": "unlike"}], "dnsPolicy": "None"},
        {"containers": [{"name": "main"}]},
        primary="main",
    )
    assert result == {"containers": [{"name": "main"}], "dnsPolicy": "None"}


def test_fallback_is_the_same_name_then_the_primary_then_the_default() -> None:
    template = {"spec": {"containers": [{"name": name} for name in ("default", "primary", "side")]}}
    assert template_container(template, "side", primary=False) == {"name": "side"}
    assert template_container(template, "main", primary=True) == {"name": "primary"}
    assert template_container(template, "main", primary=False) == {"name": "default"}
    assert template_container(template, "main", primary=False, init=True) is None
    assert template_container(None, "main", primary=True) is None


def test_overlay_reaches_containers_by_name_and_adds_none() -> None:
    base = {"containers": [{"name": "main", "image": "a", "args": ["1"]}, {"name": "side"}], "nodeSelector": {"a": "1"}}
    over = {"containers": [{"name": "main", "image": "b", "args": ["2"]}, {"name": "new"}], "nodeSelector": {"b": "2"}}
    assert overlaid(base, over) == {
        "containers": [{"name": "main", "image": "b", "args": ["1", "2"]}, {"name": "side"}],
        "nodeSelector": {"a": "1", "b": "2"},
    }
