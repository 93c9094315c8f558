"""`python -m atts`."""

from atts.cli import main

if __name__ == "__main__":
    main()
