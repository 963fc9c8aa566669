"""Pictures and labels: built in, uploaded, or in a folder that ops mount into the workers.

    builtin(name, split)                  a dataset that ships with Sparring; BUILT_IN lists them
    from_arrays(images, labels, classes)  uploaded arrays, once every pixel and label has been checked
    scan(root), mounted(root, name, ...)  folders in the layouts of torchvision's MNIST, CIFAR-10 and ImageFolder

Nothing here unpickles a stranger's file, follows an upload into the file system, or loads anything from a network.
"""

from __future__ import annotations

from workers.data.arrays import from_arrays
from workers.data.built_in import BUILT_IN, builtin
from workers.data.dataset import Dataset, DatasetInfo, SplitInfo
from workers.data.mounted import mounted, scan

__all__ = ["BUILT_IN", "Dataset", "DatasetInfo", "SplitInfo", "builtin", "from_arrays", "mounted", "scan"]
