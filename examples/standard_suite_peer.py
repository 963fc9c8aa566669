"""The other side of examples/standard_suite.py: AutoAttack as pyautoattack has it, in that library's own environment.

    python examples/standard_suite_peer.py GIVEN KEPT EPSILON

Reads x, y and the weights of the net from the safetensors file GIVEN, and writes to KEPT which digits the attack left.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import torch
from pyautoattack import AutoAttack
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from workers.models import Signature, build

SIGNATURE = Signature("wong_cnn", (1, 28, 28), 10)


def main() -> None:
    """Attack, check by a fresh forward, write."""
    given, kept, epsilon = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    torch.set_num_threads(1)
    logging.getLogger("auto-attack").setLevel(logging.ERROR)
    tensors = load_file(given)
    net = build(SIGNATURE, seed=0)
    net.network.load_state_dict({name[4:]: tensor for name, tensor in tensors.items() if name.startswith("net.")})
    net.eval()
    x, y, begun = tensors["x"], tensors["y"], time.process_time()
    whole = AutoAttack(net, norm="Linf", eps=epsilon, version="standard", seed=0, device=torch.device("cpu"))
    whole.verbose = False
    found = whole.run_standard_evaluation(x, y, batch_size=len(x))[0]
    seconds = time.process_time() - begun
    with torch.no_grad():
        robust = net(found).argmax(dim=1) == y
    save_file({"robust": robust, "seconds": torch.tensor(seconds)}, kept)


if __name__ == "__main__":
    main()
