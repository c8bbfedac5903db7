"""The history service: events for clients, the archive, and the check that both are what was written."""
