"""``python -m spcnet``."""

from spcnet.cli.main import main

if __name__ == "__main__":
    main()
