"""Makes the folders that ops mounted into this worker known, so that jobs can name them."""

from __future__ import annotations

import logging
import time

from sparring.v1 import datasets_pb2

from services.errors import Unavailable
from services.jobs.store import JobStore
from workers.data import DatasetInfo, scan
from workers.lease import Drain, Draining

logger = logging.getLogger(__name__)

AGAIN_S = 1.0


def announce(store: JobStore, root: str, drain: Drain) -> None:
    """Tell of every usable folder of `root`; waits for a store that can't be reached yet, unless told to shut down."""
    for info in scan(root):
        record = describe(info).SerializeToString(deterministic=True)
        while True:
            try:
                store.announce_mount(record, info.name)
                break
            except Unavailable as error:
                logger.warning("can't make the folder %s known yet: %s", info.name, error)
                if drain.requested():
                    raise Draining from error
                time.sleep(AGAIN_S)


def describe(info: DatasetInfo) -> datasets_pb2.Dataset:
    """A mounted folder as clients see it."""
    return datasets_pb2.Dataset(
        name=f"datasets/{info.name}",
        state=datasets_pb2.Dataset.STATE_READY,
        source=datasets_pb2.DATASET_SOURCE_MOUNTED,
        input_shape=info.input_shape,
        classes=info.classes,
        splits=[
            datasets_pb2.Split(name=name, count=split.count, class_counts=split.class_counts)
            for name, split in info.splits.items()
        ],
        digest=info.digest,
        description=info.description,
        licence=info.licence,
    )
