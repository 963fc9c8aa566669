"""The two loops: `attack` runs any attack over many samples, `train` runs any defense."""
