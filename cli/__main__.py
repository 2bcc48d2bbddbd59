"""`python -m cli` is the `everline` command."""

from cli.main import main

if __name__ == "__main__":
    main()
