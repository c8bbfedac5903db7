"""Tasks that an operator runs: one module for each, which builds its object and reads its status."""
