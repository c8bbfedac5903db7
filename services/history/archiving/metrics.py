"""How far the archive is."""

from prometheus_client import Counter, Gauge

position = Gauge("flightlog_archive_sequence", "Last sequence in the archive.", ["stream"])
lag_messages = Gauge("flightlog_archive_lag", "Sequences of the stream behind the archive.", ["stream"])
age_seconds = Gauge(
    "flightlog_archive_age_seconds", "How long the oldest message that is not archived has waited.", ["stream"]
)
size_bytes = Gauge("flightlog_archive_bytes", "Bytes of all segments.", ["stream"])
segments = Gauge("flightlog_archive_segments", "How many segments there are.", ["stream"])
leading = Gauge("flightlog_archive_leading", "1 in the process that writes the archive.")
refused = Gauge("flightlog_archive_refused", "1 while the archive is another log's, so that nothing is written.")
failures_total = Counter("flightlog_archive_failures_total", "Tries to write the archive that failed.")
erased_total = Counter("flightlog_archive_erased_total", "Messages of deleted executions that were erased.")
trimmed_total = Counter("flightlog_archive_trimmed_total", "Executions whose events have left the hot log.")
