"""The error of a request that is wrong in itself."""


class InvalidArgument(ValueError):
    """A request that no state of the server could make right; clients see INVALID_ARGUMENT with this message."""

    grpc_code = "INVALID_ARGUMENT"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def missing(field: str) -> InvalidArgument:
    """The error for an empty required field (admin-contract §0.1)."""
    return InvalidArgument(f"missing {field}")


def invalid_value(field: str) -> InvalidArgument:
    """The error for an illegal value (admin-contract §0.1)."""
    return InvalidArgument(f"invalid value for {field}")
