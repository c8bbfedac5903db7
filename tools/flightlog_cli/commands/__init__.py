"""The commands of `flightlog`, one module each."""
