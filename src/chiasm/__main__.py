"""`python -m chiasm` is the `chiasm` command."""

from chiasm.cli.main import main

if __name__ == "__main__":
    main()
