"""``python -m midband`` is ``midband``."""

from midband.cli import main

if __name__ == "__main__":
    main()
