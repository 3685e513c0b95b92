"""Learns the starter weights; conf/pretrain.yaml lists what it can be told (key=value)."""

import logging
import sys

from visionkit.cli.compose import ConfigError, compose
from visionkit.training.pretrain.settings import PretrainConfig
from visionkit.training.pretrain.stages import pretrain

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        composed = compose("pretrain", PretrainConfig, sys.argv[1:])
    except ConfigError as error:
        sys.exit(f"error: {error}")
    print(f"what was learned is in {pretrain(composed.config)}")
