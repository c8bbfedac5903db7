"""Answers that refuse a request, raised by the pure parts; the gRPC shell turns `grpc_code` into the status.

The words are Flyte's where a recording has them (tests/recordings/errors.json); clients decide by the code alone
(admin-contract §0.1).
"""

from google.protobuf.message import Message


class Refusal(Exception):
    """A request cannot be granted. `grpc_code` is a gRPC status name; `details` travels in the status."""

    def __init__(self, grpc_code: str, message: str, details: Message | None = None) -> None:
        super().__init__(message)
        self.grpc_code = grpc_code
        self.message = message
        self.details = details


def invalid(message: str, details: Message | None = None) -> Refusal:
    """INVALID_ARGUMENT."""
    return Refusal("INVALID_ARGUMENT", message, details)


def missing(name: str) -> Refusal:
    """INVALID_ARGUMENT: a required field is empty."""
    return invalid(f"missing {name}")


def not_found(message: str) -> Refusal:
    """NOT_FOUND."""
    return Refusal("NOT_FOUND", message)


def already_exists(message: str, details: Message | None = None) -> Refusal:
    """ALREADY_EXISTS."""
    return Refusal("ALREADY_EXISTS", message, details)
