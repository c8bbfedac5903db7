"""Clients that tag an artifact and clients that update it, all at once: in the end all tags have the same data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from flyteidl.cacheservice.cacheservice_pb2 import GetCacheRequest
from flyteidl.datacatalog import datacatalog_pb2 as pb

from tests.integration.catalog.conftest import refusal
from tests.integration.catalog.test_datacatalog import by_id, by_tag, create, data, numbers, tag


def test_all_tags_of_an_artifact_have_its_latest_data(catalog: Any, cache: Any, dataset: pb.DatasetID) -> None:
    """What nodes would find is what CacheService finds: the entry's own data."""
    catalog.CreateDataset(pb.CreateDatasetRequest(dataset=pb.Dataset(id=dataset)))
    for _ in range(3):
        artifact_id = create(catalog, dataset, o0=0)
        tags = [f"flyte_cached-{artifact_id}-{number}" for number in range(8)]

        def update(number: int, artifact_id: str = artifact_id) -> None:
            request = pb.UpdateArtifactRequest(dataset=dataset, artifact_id=artifact_id, data=data(o0=number))
            catalog.UpdateArtifact(request)

        def add(name: str, artifact_id: str = artifact_id) -> None:
            tag(catalog, dataset, artifact_id, name)

        with ThreadPoolExecutor(16) as pool:
            done = [pool.submit(add, name) for name in tags] + [pool.submit(update, number) for number in range(1, 9)]
            for one in done:
                one.result()
        found = by_id(catalog, dataset, artifact_id)
        assert numbers(found)["o0"] > 0
        assert sorted(one.name for one in found.tags) == tags
        for name in tags:
            key = "/".join((dataset.project, dataset.domain, dataset.name, dataset.version, name))
            literals = cache.Get(GetCacheRequest(key=key)).output.output_literals.literals
            assert literals["o0"].scalar.primitive.integer == numbers(found)["o0"]


def test_of_many_who_create_or_tag_the_same_one_is_first(catalog: Any, dataset: pb.DatasetID) -> None:
    request = pb.CreateDatasetRequest(dataset=pb.Dataset(id=dataset))
    name = uuid4().hex

    def at_once(call: Any, requests: list[Any]) -> list[str]:
        def code(request: Any) -> str:
            try:
                call(request)
            except Exception:  # noqa: BLE001 - whatever it is, it is looked at
                return refusal(call, request)[0]
            return "OK"

        with ThreadPoolExecutor(8) as pool:
            return sorted(pool.map(code, requests))

    one_of_eight = ["ALREADY_EXISTS"] * 7 + ["OK"]
    assert at_once(catalog.CreateDataset, [request] * 8) == one_of_eight
    artifact = pb.Artifact(id=uuid4().hex, dataset=dataset, data=data(o0=1))
    assert at_once(catalog.CreateArtifact, [pb.CreateArtifactRequest(artifact=artifact)] * 8) == one_of_eight
    artifacts = [create(catalog, dataset, o0=number) for number in range(8)]
    tagging = [pb.AddTagRequest(tag=pb.Tag(name=name, artifact_id=one, dataset=dataset)) for one in artifacts]
    assert at_once(catalog.AddTag, tagging) == one_of_eight
    assert by_tag(catalog, dataset, name).id in artifacts
