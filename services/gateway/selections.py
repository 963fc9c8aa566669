"""Which samples of a dataset a job takes: checked against the dataset, and pinned."""

from __future__ import annotations

from collections.abc import Iterator

from sparring.v1 import datasets_pb2, jobs_pb2

from services.errors import Violation
from services.gateway.names import did_you_mean, shown


def default_split(dataset: datasets_pb2.Dataset, wanted: str) -> str:
    """Return the split that an empty name stands for: `wanted`, or "all" where there is only that."""
    names = [split.name for split in dataset.splits]
    return "all" if names == ["all"] else wanted


def split_named(dataset: datasets_pb2.Dataset, name: str) -> datasets_pb2.Split | None:
    """Return a split by its name."""
    return next((split for split in dataset.splits if split.name == name), None)


def check_selection_of(
    selection: datasets_pb2.DataSelection, dataset: datasets_pb2.Dataset, path: str, *, wanted: str, max_samples: int
) -> Iterator[Violation]:
    """Check that the selection lies within a split of the dataset, and that one job may take as many samples."""
    name = selection.split or default_split(dataset, wanted)
    split = split_named(dataset, name)
    if split is None:
        names = [split.name for split in dataset.splits]
        there = f"{dataset.name} has {', '.join(names)}"
        yield Violation(f"{path}.split", f"there is no split {shown(name)}; {there}{did_you_mean(name, names)}")
    elif not 0 <= selection.offset < split.count:
        yield Violation(f"{path}.offset", f"must be in [0, {split.count}), not {selection.offset}")
    elif selection.offset + selection.count > split.count:
        yield Violation(
            f"{path}.count",
            f"{selection.count} samples from {selection.offset} on reach beyond the {split.count} of split {name!r}",
        )
    elif not selection.count and split.count - selection.offset > max_samples:
        yield Violation(
            f"{path}.count",
            f"all from offset on are {split.count - selection.offset} samples, one job may take {max_samples}",
        )


def pin(selection: datasets_pb2.DataSelection, dataset: datasets_pb2.Dataset, *, wanted: str) -> jobs_pb2.ResolvedData:
    """Fill in the selection's split and count, and return what it stands for."""
    if not selection.split:
        selection.split = default_split(dataset, wanted)
    split = split_named(dataset, selection.split)
    assert split is not None, "the selection was checked"
    if selection.count == 0:
        selection.count = split.count - selection.offset
    uploaded = dataset.source == datasets_pb2.DATASET_SOURCE_UPLOADED
    images, labels = split_digest(dataset.digest) if uploaded else ("", "")
    return jobs_pb2.ResolvedData(
        dataset=dataset.name.removeprefix("datasets/"),
        source=dataset.source,
        split=selection.split,
        offset=selection.offset,
        count=selection.count,
        images_sha256=images,
        labels_sha256=labels,
        classes=dataset.classes,
        input_shape=dataset.input_shape,
    )


def join_digests(images: str, labels: str) -> str:
    """Return the `digest` of an uploaded dataset: one SHA-256 where one file holds both, else two joined by '+'."""
    return images if images == labels else f"{images}+{labels}"


def split_digest(digest: str) -> tuple[str, str]:
    """Return the digests of pictures and labels from the `digest` of an uploaded dataset."""
    images, plus, labels = digest.partition("+")
    return images, labels if plus else images
