"""The execution service: decides what executions do, and answers for executions, nodes, tasks, data and signals."""
