"""The registry: projects, tasks, workflows, launch plans, named entities and descriptions (DESIGN §1).

`domain.py` decides, `checks/` refuses, `compiler/` compiles; `store.py` reads and appends; `api/` holds one function
for each RPC; `projection/` keeps the tables that lists are answered from. `main.py` wires them.
"""
