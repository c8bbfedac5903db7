"""Who asked for what, and whether it was done or refused.

What was done is every envelope whose actor is not a service; what was refused is `CallRefused` on the stream AUDIT.
Whoever imports a history makes no envelope of their own by that: there, it is `HistoryImported`.
Each stream has a projection (`projection.py`) into a schema of its own; ListAudit (`listing.py`) asks all of them.
"""

from collections.abc import Mapping, Sequence

from flightlog_log import Log
from flightlog_read import Database, Projector
from flightlog_rpc import Implementation
from services.history.audit.listing import Listing
from services.history.audit.projection import projections
from services.history.audit.queries import Reads

__all__ = ["methods", "projections"]

_SERVICE = "/flightlog.history.v1.HistoryService/"


def methods(log: Log, database: Database, projectors: Sequence[tuple[str, Projector]]) -> Mapping[str, Implementation]:
    """The calls, by full name, over the tables that these projectors keep, by stream."""
    return {f"{_SERVICE}ListAudit": Listing(Reads(log, database, dict(projectors))).list_audit}
