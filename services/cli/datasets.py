"""`sparring datasets ...`."""

from __future__ import annotations

from typing import Any

import click

from services.cli import listings, options, output, progress
from services.cli.connection import connected


@click.group()
def datasets() -> None:
    """Upload, list, show and delete datasets."""


@datasets.command()
@click.argument("images", type=click.Path(exists=True, dir_okay=False))
@click.argument("labels", type=click.Path(exists=True, dir_okay=False), required=False)
@click.option("--classes", type=click.IntRange(2), metavar="N", required=True, help="Number of classes.")
@click.option(
    "--dataset-id", default="", metavar="ID", help="The id to be known under; left out, made from the digest."
)
@options.check
@options.common
def upload(server: str, images: str, labels: str | None, *, as_json: bool, **given: Any) -> None:
    """Upload IMAGES and LABELS (.npy or safetensors) and have a worker check them.

    IMAGES are uint8, or float32 in [0, 1], of shape (N, C, H, W) or (N, H, W). LABELS may be left out where IMAGES is a
    safetensors file that holds "x" and "y".
    """
    with connected(server) as client, progress.Bytes("Uploading") as shown:
        made = client.datasets.upload(images, labels, on_progress=shown.report, **given)
    output.result(made, listings.dataset, as_json=as_json)


@datasets.command("list")
@options.common
def list_(server: str, *, as_json: bool) -> None:
    """List datasets: built-in, mounted, then uploaded."""
    with connected(server) as client:
        found = list(client.datasets.list())
    output.result(found, listings.datasets, as_json=as_json)


@datasets.command()
@click.argument("dataset")
@options.common
def get(server: str, dataset: str, *, as_json: bool) -> None:
    """Show a dataset."""
    with connected(server) as client:
        found = client.datasets.get(dataset)
    output.result(found, listings.dataset, as_json=as_json)


@datasets.command()
@click.argument("dataset")
@options.common
def delete(server: str, dataset: str, *, as_json: bool) -> None:
    """Forget an uploaded dataset."""
    with connected(server) as client:
        client.datasets.delete(dataset)
    output.deleted(dataset, as_json=as_json)
