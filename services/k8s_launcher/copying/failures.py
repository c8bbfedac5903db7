"""What goes wrong with copying, and how it is told: as the attempt's error document (k8s-contract §1.13, §2.7)."""

from __future__ import annotations

from typing import Final

from flyteidl.core import errors_pb2, execution_pb2

INPUTS: Final = "InputDownloadFailed"
OUTPUTS: Final = "OutputUploadFailed"
USER_ERROR: Final = "UserError"

FAILED_EXIT_CODE: Final = 65
"""The attempt's error document says what happened. Whoever sees this code of the process that copies may read it."""


class CopyingFailed(Exception):
    """Inputs or outputs cannot be copied. `system`: not the user's fault. `recoverable`: another attempt may help."""

    def __init__(self, code: str, message: str, *, system: bool = False, recoverable: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.system = system
        self.recoverable = recoverable

    def document(self) -> errors_pb2.ErrorDocument:
        """What is to be written to `error.pb` of the attempt."""
        document = errors_pb2.ErrorDocument()
        document.error.code = self.code
        document.error.message = self.message
        document.error.kind = (
            errors_pb2.ContainerError.RECOVERABLE if self.recoverable else errors_pb2.ContainerError.NON_RECOVERABLE
        )
        document.error.origin = (
            execution_pb2.ExecutionError.SYSTEM if self.system else execution_pb2.ExecutionError.USER
        )
        return document
