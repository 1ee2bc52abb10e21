"""The command as ``python -m kinpack``."""

from kinpack.cli import main

if __name__ == "__main__":
    main()
