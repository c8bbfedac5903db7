"""Entry point of `python -m services.catalog`."""

from services.catalog.main import main

main()
