"""`python -m flightlog_cli`: the same as `flightlog`."""

from .main import main

if __name__ == "__main__":
    main()
