"""`visionkit retrain` from a checkout; `--help` lists what it can be told."""

import sys

from visionkit.cli import main

if __name__ == "__main__":
    sys.exit(main(["retrain", *sys.argv[1:]]))
