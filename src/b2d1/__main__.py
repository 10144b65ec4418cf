"""The runner, as `python -m b2d1`."""

from b2d1.cli.commands import main

if __name__ == "__main__":
    main(prog_name="b2d1")
