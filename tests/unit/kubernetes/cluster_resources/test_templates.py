"""Templates of what projects have in the cluster: variables in, objects out (k8s-contract §7)."""

from __future__ import annotations

import pytest

from services.k8s_launcher.kubernetes.cluster_resources.templates import (
    BUILT_IN,
    BadTemplate,
    objects,
    render,
    values_for,
)

QUOTA = """
apiVersion: v1
kind: ResourceQuota
metadata:
  name: project-quota
  namespace: {{ namespace }}
spec:
  hard:
    limits.cpu: {{ projectQuotaCpu }}
    limits.memory: "{{ projectQuotaMemory }}"
"""
VALUES = {"namespace": "p-d", "projectQuotaCpu": "8", "projectQuotaMemory": "4000Mi"}


def test_variables_are_replaced_wherever_they_are() -> None:
    (quota,) = objects(render(QUOTA, VALUES))
    assert quota["metadata"] == {"name": "project-quota", "namespace": "p-d"}
    assert quota["spec"]["hard"] == {"limits.cpu": 8, "limits.memory": "4000Mi"}


@pytest.mark.parametrize("written", ["{{ unknown }}", "{{namespace}}", "{{  namespace  }}", "{{ namespace}}", "{{}}"])
def test_variables_without_a_value_and_those_written_otherwise_are_named(written: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        render(f"a: {written}\nb: {{{{ namespace }}}}\nc: {written}", VALUES)
    assert str(caught.value) == f"without a value: {written}"


def test_what_stands_in_a_value_is_no_variable() -> None:
    assert render("a: {{ x }}", {"x": "{{ y }}", "y": "no"}) == "a: {{ y }}"


def test_a_file_may_hold_several_objects_and_empty_documents() -> None:
    documents = [
        "",
        "apiVersion: v1\nkind: A\nmetadata: {name: a}",
        "# nothing",
        "apiVersion: v1\nkind: B\nmetadata: {name: b}",
    ]
    text = "\n---\n".join(documents)
    assert [found["kind"] for found in objects(text)] == ["A", "B"]


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "just words",
        "- apiVersion: v1",
        "apiVersion: v1\nkind: A\nmetadata: {}",
        "apiVersion: v1\nmetadata: {name: a}",
        "apiVersion: 1\nkind: A\nmetadata: {name: a}",
        "apiVersion: v1\nkind: A\nmetadata: {name: a}\nspec: {when: 2024-01-01}",
        "a: !!python/object/apply:os.getcwd []",
    ],
)
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(BadTemplate):
        objects(text)


def test_attributes_come_before_settings_and_nothing_before_names() -> None:
    shared = {"a": "settings", "b": "settings", "project": "settings"}
    values = values_for("p", "d", "p-d", shared, {"b": "attributes", "namespace": "attributes"})
    assert values == {"a": "settings", "b": "attributes", "project": "p", "domain": "d", "namespace": "p-d"}


@pytest.mark.parametrize("newline", ["\n", "\r", "\x85", "\u2028"])
def test_attributes_put_no_lines_into_templates(newline: str) -> None:
    """Whoever may set attributes of a project may not therefore make objects with the launcher's rights."""
    with pytest.raises(BadTemplate, match="cpu"):
        values_for("p", "d", "p-d", {}, {"cpu": f"1{newline}--- "})
    shared = {"ca": f"1{newline}2"}
    assert values_for("p", "d", "p-d", shared, {})["ca"] == shared["ca"]


def test_without_templates_there_is_a_namespace() -> None:
    made = [found for text in BUILT_IN.values() for found in objects(render(text, {"namespace": "123"}))]
    assert made == [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "123"}}]
