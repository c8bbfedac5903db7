"""Entry point of `python -m services.history`."""

from services.history.main import main

main()
