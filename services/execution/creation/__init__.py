"""From a request to the first fact of an execution: checks, inputs and the resolved configuration. Pure."""
