"""`python -m stack` is the `everline` command."""

from stack.commands.cli import main

if __name__ == "__main__":
    main()
