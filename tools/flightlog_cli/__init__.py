"""The `flightlog` command and the embedded stack it starts."""
