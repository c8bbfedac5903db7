"""Filters and pages of DataCatalog's lists, turned into SQL with arguments (engine-semantics §4.7)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from flyteidl.datacatalog import datacatalog_pb2 as datacatalog

from flightlog_read import Page, SqlWhere
from flightlog_rpc import invalid
from services.catalog.api.checks import named
from services.catalog.projection.queries import Listing
from services.catalog.projection.rows import clipped

MOST: Final = 50
"""Rows of a page, and the default."""
_UINT32: Final = range(2**32)
_Filter = datacatalog.SinglePropertyFilter


def of_datasets(request: datacatalog.ListDatasetsRequest) -> Listing:
    """Raises INVALID_ARGUMENT."""
    listing = _page(request.HasField("pagination"), request.pagination)
    for one in request.filter.filters:
        for kind, name in (("tag_filter", "Tag"), ("partition_filter", "Partition"), ("artifact_filter", "Artifact")):
            if one.HasField(kind):
                raise invalid(f"Dataset cannot be filtered by {name} properties")
    return _filtered(listing, [_dataset(one) for one in request.filter.filters])


def of_artifacts(request: datacatalog.ListArtifactsRequest) -> Listing:
    """Raises INVALID_ARGUMENT."""
    if any(one.HasField("dataset_filter") for one in request.filter.filters):
        raise invalid("Artifact cannot be filtered by Dataset properties")
    listing = _page(request.HasField("pagination"), request.pagination)
    return _filtered(listing, [_artifact(one) for one in request.filter.filters])


def _filtered(listing: Listing, conditions: Sequence[SqlWhere]) -> Listing:
    where = SqlWhere()
    for condition in conditions:
        where = where & condition
    return Listing(where, listing.order, listing.page)


def _dataset(one: _Filter) -> SqlWhere:
    column = one.dataset_filter.WhichOneof("property")
    if column not in ("project", "domain", "name", "version"):
        raise _no_entity()
    value = getattr(one.dataset_filter, column)
    named(value, column)
    return SqlWhere(f"r.{column} = $1", (clipped(value),))


def _artifact(one: _Filter) -> SqlWhere:
    match one.WhichOneof("property_filter"):
        case "partition_filter" if one.partition_filter.HasField("key_val"):
            pair = one.partition_filter.key_val
            named(pair.key, "PartitionKey")
            named(pair.value, "PartitionValue")
            document = json.dumps({clipped(pair.key): clipped(pair.value)}, ensure_ascii=False)
            return SqlWhere("r.partitions @> $1::text::jsonb", (document,))
        case "tag_filter" if one.tag_filter.HasField("tag_name"):
            named(one.tag_filter.tag_name, "TagName")
            return SqlWhere(
                "EXISTS (SELECT FROM catalog.entries e WHERE e.dataset_key = r.dataset_key "
                "AND e.artifact_id = r.artifact_id AND e.tag = $1)",
                (clipped(one.tag_filter.tag_name),),
            )
        case "artifact_filter" if one.artifact_filter.HasField("artifact_id"):
            named(one.artifact_filter.artifact_id, "artifactID")
            return SqlWhere("r.artifact_id = $1", (clipped(one.artifact_filter.artifact_id),))
        case _:
            raise _no_entity()


def _no_entity() -> Exception:
    """Flyte's words for a filter that says nothing it knows."""
    return invalid("no such entity ")


def _page(present: bool, options: datacatalog.PaginationOptions) -> Listing:
    offset = 0
    token = options.token
    if token.strip(" "):
        if not re.fullmatch(r"[0-9]{1,10}", token) or int(token) not in _UINT32:
            raise invalid(f"Invalid token value: {token}")
        offset = int(token)
    if options.sortKey != datacatalog.PaginationOptions.CREATION_TIME:
        raise invalid(f"Invalid sort key {options.sortKey}")
    if options.sortOrder not in datacatalog.PaginationOptions.SortOrder.values():
        raise invalid(f"Invalid sort order {options.sortOrder}")
    direction = "ASC" if options.sortOrder == datacatalog.PaginationOptions.ASCENDING else "DESC"
    limit = min(options.limit, MOST) if present and options.limit else MOST
    return Listing(SqlWhere(), f"r.created_at {direction}, r.id {direction}", Page(limit, offset))
