"""Counters of the RPC surface."""

from prometheus_client import Counter, Gauge, Histogram

requests = Counter("flightlog_rpc_requests_total", "Calls answered.", ["method", "code"])
seconds = Histogram(
    "flightlog_rpc_seconds",
    "Time from the first byte of a call to its answer; not of calls that are answered by a stream.",
    ["method"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
streams_open = Gauge("flightlog_rpc_streams", "Calls that are being answered by a stream now.", ["method"])
stream_messages = Counter("flightlog_rpc_stream_messages_total", "Messages sent on streams.", ["method"])
refusals = Counter(
    "flightlog_audit_refusals_total", "Refused calls that were put on the log, or dropped before that.", ["outcome"]
)
# There from the start: an alert on the first one needs the zero before it.
for _outcome in ("recorded", "dropped"):
    refusals.labels(_outcome)
