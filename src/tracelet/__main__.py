"""`python -m tracelet`: the command line, where the command itself is not on the path."""

from tracelet.cli import main

if __name__ == "__main__":
    main()
