"""Tasks that run as one pod: how it is made, and what its status means."""
