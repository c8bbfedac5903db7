"""Whether a value of one type may be given where another type is declared.

Nothing is converted anywhere: castable means the consumer accepts the literal as it is. Rules: admin-contract §3.4,
engine-semantics §2.3.
"""

from flyteidl.core import types_pb2

from flightlog_types.json_schemas import satisfies

_PARQUET = "parquet"
_COLUMN_SIMPLE = {
    types_pb2.SchemaType.SchemaColumn.INTEGER: types_pb2.INTEGER,
    types_pb2.SchemaType.SchemaColumn.FLOAT: types_pb2.FLOAT,
    types_pb2.SchemaType.SchemaColumn.STRING: types_pb2.STRING,
    types_pb2.SchemaType.SchemaColumn.BOOLEAN: types_pb2.BOOLEAN,
    types_pb2.SchemaType.SchemaColumn.DATETIME: types_pb2.DATETIME,
    types_pb2.SchemaType.SchemaColumn.DURATION: types_pb2.DURATION,
}

_MAX_COMPARISONS = 100_000


class _Comparison:
    """One question and what was worked out on the way to its answer."""

    def __init__(self) -> None:
        # Unions of unions reach the same pair on many paths; without this a nested type would take exponential time.
        self.answers: dict[tuple[bytes, bytes], bool] = {}
        self.left = _MAX_COMPARISONS


def castable(upstream: types_pb2.LiteralType, downstream: types_pb2.LiteralType) -> bool:
    """Whether a value of type `upstream` may be bound to a variable of type `downstream`.

    Reflexive; neither symmetric nor, because of unions and wildcards, transitive. Unions of thousands of variants,
    which no program has, fit nothing but themselves.
    """
    return _castable(upstream, downstream, _Comparison())


def accepts_none(literal_type: types_pb2.LiteralType) -> bool:
    """Whether a variable may be left unbound: its type is a union with a NONE variant (admin-contract §3.4)."""
    return literal_type.WhichOneof("type") == "union_type" and any(
        is_none(variant) for variant in literal_type.union_type.variants
    )


def is_none(literal_type: types_pb2.LiteralType) -> bool:
    """Whether a type is exactly NONE (a type that says nothing is not)."""
    return literal_type.WhichOneof("type") == "simple" and literal_type.simple == types_pb2.NONE


def _castable(upstream: types_pb2.LiteralType, downstream: types_pb2.LiteralType, comparison: _Comparison) -> bool:
    comparison.left -= 1
    if comparison.left < 0:
        return False
    if upstream.WhichOneof("type") != "union_type":
        return _accepts(downstream, upstream, comparison)
    pair = _key(upstream), _key(downstream)
    if pair[0] == pair[1]:
        return True
    answer = comparison.answers.get(pair)
    if answer is None:
        variants = upstream.union_type.variants
        answer = (len(variants) == 1 and _accepts(downstream, variants[0], comparison)) or _accepts(
            downstream, upstream, comparison
        )
        comparison.answers[pair] = answer
    return answer


def _accepts(downstream: types_pb2.LiteralType, upstream: types_pb2.LiteralType, comparison: _Comparison) -> bool:
    match downstream.WhichOneof("type"):
        case "simple" if downstream.simple == types_pb2.NONE:
            return is_none(upstream)
        case "collection_type":
            return upstream.WhichOneof("type") == "collection_type" and _element_accepts(
                downstream.collection_type, upstream.collection_type, comparison
            )
        case "map_value_type":
            return upstream.WhichOneof("type") == "map_value_type" and _element_accepts(
                downstream.map_value_type, upstream.map_value_type, comparison
            )
        case "blob":
            return upstream.WhichOneof("type") == "blob" and _wildcard_equal(
                upstream.blob.format, downstream.blob.format
            )
        case "schema":
            return _schema_accepts(downstream.schema, upstream)
        case "structured_dataset_type":
            return _dataset_accepts(downstream.structured_dataset_type, upstream, comparison)
        case "union_type":
            return _union_accepts(downstream, upstream, comparison)
        case _:
            return _plain_accepts(downstream, upstream)


def _element_accepts(
    downstream: types_pb2.LiteralType, upstream: types_pb2.LiteralType, comparison: _Comparison
) -> bool:
    # The elements of an empty list or map have type NONE: nothing is in it that could be of a wrong type.
    return is_none(upstream) or _castable(upstream, downstream, comparison)


def _plain_accepts(downstream: types_pb2.LiteralType, upstream: types_pb2.LiteralType) -> bool:
    kinds = upstream.WhichOneof("type"), downstream.WhichOneof("type")
    if kinds == ("enum_type", "simple") and downstream.simple == types_pb2.STRING:
        return True
    if kinds == ("simple", "enum_type") and upstream.simple == types_pb2.STRING:
        return True
    if upstream.structure.tag and upstream.structure.tag != downstream.structure.tag:
        return False
    if kinds[0] != kinds[1]:
        return False
    match kinds[1]:
        case "simple":
            if upstream.simple != downstream.simple:
                return False
            return downstream.simple != types_pb2.STRUCT or _struct_accepts(downstream, upstream)
        case "enum_type":
            return list(upstream.enum_type.values) == list(downstream.enum_type.values)
        case _:
            return True


def _struct_accepts(downstream: types_pb2.LiteralType, upstream: types_pb2.LiteralType) -> bool:
    # Old flytekit registered dataclasses without a schema; those are compatible with everything.
    if not upstream.HasField("metadata") or not downstream.HasField("metadata"):
        return True
    return upstream.metadata == downstream.metadata or satisfies(upstream.metadata, downstream.metadata)


def _union_accepts(downstream: types_pb2.LiteralType, upstream: types_pb2.LiteralType, comparison: _Comparison) -> bool:
    variants = downstream.union_type.variants
    if upstream.WhichOneof("type") == "union_type":
        known = {_key(variant) for variant in variants}
        return all(
            _key(given) in known or any(_castable(given, variant, comparison) for variant in variants)
            for given in upstream.union_type.variants
        )
    # A bare value must fit exactly one variant, or nobody could tell which one was meant.
    fitting = 0
    for variant in variants:
        fitting += _castable(upstream, variant, comparison)
        if fitting > 1:
            return False
    return fitting == 1


def _schema_accepts(downstream: types_pb2.SchemaType, upstream: types_pb2.LiteralType) -> bool:
    match upstream.WhichOneof("type"):
        case "schema":
            given = {column.name: column.type for column in upstream.schema.columns}
            wanted = [(column.name, column.type) for column in downstream.columns]
            return not given or not wanted or all(given.get(name) == kind for name, kind in wanted)
        case "structured_dataset_type":
            dataset = upstream.structured_dataset_type
            if not _wildcard_equal(dataset.format.lower(), _PARQUET):
                return False
            simples = {column.name: column.literal_type.simple for column in dataset.columns}
            columns = downstream.columns
            return not simples or not columns or all(_same(simples.get(c.name), c.type) for c in columns)
        case _:
            return False


def _dataset_accepts(
    downstream: types_pb2.StructuredDatasetType, upstream: types_pb2.LiteralType, comparison: _Comparison
) -> bool:
    columns = downstream.columns
    match upstream.WhichOneof("type"):
        case "simple":
            return upstream.simple == types_pb2.NONE
        case "schema":
            if not _wildcard_equal(downstream.format.lower(), _PARQUET):
                return False
            kinds = {column.name: column.type for column in upstream.schema.columns}
            return (
                not kinds
                or not columns
                or all(c.name in kinds and _same(c.literal_type.simple, kinds[c.name]) for c in columns)
            )
        case "structured_dataset_type":
            dataset = upstream.structured_dataset_type
            if not _wildcard_equal(dataset.format.lower(), downstream.format.lower()):
                return False
            if dataset == downstream:
                return True
            given = {column.name: column.literal_type for column in dataset.columns}
            return (
                not given
                or not columns
                or all(c.name in given and _castable(given[c.name], c.literal_type, comparison) for c in columns)
            )
        case _:
            return False


def _same(simple: int | None, column_type: types_pb2.SchemaType.SchemaColumn.SchemaColumnType) -> bool:
    return simple is not None and _COLUMN_SIMPLE.get(column_type) == simple


def _wildcard_equal(left: str, right: str) -> bool:
    return not left or not right or left == right


def _key(literal_type: types_pb2.LiteralType) -> bytes:
    return literal_type.SerializeToString(deterministic=True)
