"""The catalog: results that later runs need not make again, and who is making one now."""
