"""Tasks that connectors run: services of flyteidl's agent protocol, as flytekit's are (k8s-contract §5.7)."""
