"""The process runtime: a container's command as a local process, no container needed."""
