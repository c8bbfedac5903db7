"""The read model of executions: facts folded into the rows clients read, their tables, and the queries on them."""
