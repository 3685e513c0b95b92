"""Learns the starter weights; conf/pretrain.yaml lists what it can be told (key=value)."""

import logging
import sys

from visionkit.cli.compose import ConfigError, compose
from visionkit.training.pretrain.run import pretrain
from visionkit.training.pretrain.settings import PretrainConfig

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        composed = compose("pretrain", PretrainConfig, sys.argv[1:])
    except ConfigError as error:
        sys.exit(f"error: {error}")
    print(f"the weights are in {pretrain(composed.config)}")
