"""What can go wrong with the log."""


class LogError(Exception):
    """Anything the log refuses or cannot do."""


class LogRestoring(LogError):
    """A restore has not filled the log yet: nobody else may use it."""


class LogNotEmpty(LogError):
    """Only an empty log can be restored."""


class Conflict(LogError):
    """Somebody else appended to the subject first: reload, decide again."""

    def __init__(self, subject: str, expected: int) -> None:
        super().__init__(f"{subject}: its last sequence is no longer {expected}")
        self.subject = subject
        self.expected = expected


class PayloadMissing(LogError):
    """An envelope's offloaded facts are not in the object store, or not what was put there."""


class EventsMissing(LogError):
    """Events have left the log, and where they should be kept they are not to be had."""


class Undecodable(LogError):
    """A message that is no envelope, or whose facts this version does not know."""


class LogUnavailable(LogError):
    """The server, or the object store, did not answer in time.

    Whether an append arrived is then unknown. Another append at the same head is safe: one of the two is a `Conflict`.
    """


class BrokenChain(LogError):
    """Envelopes of one subject do not follow one another: some are missing, or were altered."""

    def __init__(self, subject: str, position: int, reason: str) -> None:
        super().__init__(f"{subject} at position {position}: {reason}")
        self.subject = subject
        self.position = position
