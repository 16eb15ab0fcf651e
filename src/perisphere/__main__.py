"""``python -m perisphere`` is the command line."""

from perisphere.cli.main import main

if __name__ == "__main__":
    main()
