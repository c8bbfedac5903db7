"""What the services agree on about Flyte's types, texts and limits. Pure: no input or output, no clock."""

from flightlog_types import cache_keys, quantities, urls, validation
from flightlog_types.casting import accepts_none, castable, is_none
from flightlog_types.descriptions import describe
from flightlog_types.digests import digest
from flightlog_types.invalid import InvalidArgument
from flightlog_types.labels import require_project_id, validate_labels
from flightlog_types.literals import is_known, literal_type_of, scalar_type
from flightlog_types.prototext import prototext
from flightlog_types.resources import validate_resources

__all__ = [
    "InvalidArgument",
    "accepts_none",
    "cache_keys",
    "castable",
    "describe",
    "digest",
    "is_known",
    "is_none",
    "literal_type_of",
    "prototext",
    "quantities",
    "require_project_id",
    "scalar_type",
    "urls",
    "validate_labels",
    "validate_resources",
    "validation",
]
