"""`visionkit versions` from a checkout; `--help` lists what it can be told."""

import sys

from visionkit.cli import main

if __name__ == "__main__":
    sys.exit(main(["versions", *sys.argv[1:]]))
