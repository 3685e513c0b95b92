"""Learns the starter weights; `--help` lists what it can be told (conf/pretrain.yaml)."""

import logging
import sys

from visionkit.cli.commands import Command
from visionkit.cli.compose import ConfigError, compose
from visionkit.cli.entry import read_request, show
from visionkit.cli.help import command_help
from visionkit.training.pretrain.settings import PretrainConfig


def main(words: list[str]) -> int:
    """The exit status: 0 done, 2 bad input."""
    # No command of visionkit: who uses it never needs this.
    command = Command("pretrain", PretrainConfig, lambda *_: None, None)
    try:
        request = read_request(command, words)
        if request.help:
            text = command_help(command, request.words, request.config_folder)
            return show(text.replace("visionkit pretrain", "python scripts/pretrain.py"))
        composed = compose("pretrain", PretrainConfig, request.words)
    except ConfigError as error:
        print(f"pretrain: {error}", file=sys.stderr)
        return 2
    from visionkit.training.pretrain.stages import pretrain  # here, so that help comes at once

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    print(f"what was learned is in {pretrain(composed.config)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
