"""What is measured of decisions."""

from prometheus_client import Counter, Histogram

decision_seconds = Histogram(
    "flightlog_decision_seconds",
    "Time the engine took to decide, without input and output",
    ["command"],
    buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
)
facts_total = Counter("flightlog_execution_facts_total", "Facts decided")
created_total = Counter("flightlog_executions_created_total", "Executions created")
admissions_total = Counter(
    "flightlog_execution_admissions_total",
    "Executions where it is limited how many may run at once, by how they stood at first",
    ["standing"],
)
requests_total = Counter(
    "flightlog_execution_requests_total", "Executions that other services asked for, by answer", ["answer"]
)
