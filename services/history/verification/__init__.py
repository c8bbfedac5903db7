"""Whether the log, the archive and the tables still are what was written.

What a stream has is checked by pure code, one message after another (`stream.py`, with `chains.py` and `gaps.py`); the
other modules bring it the messages, the archive's rows and the ends that others remember, and tell what it finds.
"""

from collections.abc import Mapping

from flightlog_archive import Archive
from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_read import Database
from flightlog_rpc import StreamImplementation
from services.history.verification.calls import VerificationCalls
from services.history.verification.verifying import Verification
from services.history.verification.vouchers import Tables

_SERVICE = "/flightlog.history.v1.HistoryService/"


def methods(log: Log, blobs: BlobStore, archive: Archive, database: Database) -> Mapping[str, StreamImplementation]:
    """The calls, by full name."""
    calls = VerificationCalls(Verification(log, blobs, archive, Tables(database)))
    return {f"{_SERVICE}VerifyChain": calls.verify_chain}
