"""Events of the log for clients: a page at a time, and as a stream that goes on.

Which events are meant is a `Selection` (`selection.py`); how one is told is `telling.py`. Both calls read the log
itself and keep nothing, so they can be asked of any instance, and again after a break.
"""

from collections.abc import Mapping

from flightlog_log import Log
from flightlog_rpc import Implementation, StreamImplementation
from services.history.events.listing import Listing
from services.history.events.watching import Watching
from services.history.settings import HistorySettings

_SERVICE = "/flightlog.history.v1.HistoryService/"


def methods(log: Log, settings: HistorySettings) -> Mapping[str, Implementation | StreamImplementation]:
    """The calls, by full name."""
    watching = Watching(log, sign_seconds=settings.watch_sign_seconds, most=settings.watches)
    return {
        f"{_SERVICE}ListEvents": Listing(log).list_events,
        f"{_SERVICE}WatchEvents": watching.watch_events,
    }
