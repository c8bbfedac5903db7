"""What a request must be before anything is decided: pure functions that pass or raise a `Refusal`."""
