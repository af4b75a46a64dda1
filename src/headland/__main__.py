"""`python -m headland` is the `headland` command."""

from headland.cli import main

if __name__ == "__main__":
    main()
