"""The two loops: `attack` runs any attack over many samples, `train` any defense. Cost, seeds and stopping are theirs."""
