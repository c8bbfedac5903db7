"""What can go wrong when reading. `grpc_code` and `message` let the RPC shell answer without knowing this package."""


class ReadError(Exception):
    """Base of this package's errors."""

    grpc_code = "INTERNAL"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidQuery(ReadError):
    """A filter, sort key, limit or page token that the client got wrong (admin-contract §0.3-0.5)."""

    grpc_code = "INVALID_ARGUMENT"


class StaleRead(ReadError):
    """The projection did not reach a sequence in time; the same read may succeed soon."""

    grpc_code = "UNAVAILABLE"


class DatabaseUnavailable(ReadError):
    """Postgres is down, starting, or out of connections."""

    grpc_code = "UNAVAILABLE"
