"""`python -m services.execution`."""

from services.execution.main import main

if __name__ == "__main__":
    main()
