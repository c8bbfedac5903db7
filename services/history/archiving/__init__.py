"""The archive: all streams that are kept, written to the object store as closed segments, and how far that is.

One process at a time writes (`leading.py`, `archiver.py`); any instance answers how far it is (`published.py`). What is
old can then leave the hot log (`trimming.py`). The files themselves are a library's, `libs/flightlog_archive`.
"""

from collections.abc import Mapping

from flightlog_archive import Archive
from flightlog_log import Log
from flightlog_rpc import Implementation
from services.history.archiving.published import Published

_SERVICE = "/flightlog.history.v1.HistoryService/"


def methods(log: Log, archive: Archive) -> Mapping[str, Implementation]:
    """The calls, by full name."""
    return {f"{_SERVICE}GetArchive": Published(log, archive).get_archive}
