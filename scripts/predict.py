"""`visionkit predict` from a checkout; `--help` lists what it can be told."""

import sys

from visionkit.cli import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
