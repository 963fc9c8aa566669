"""The headers of uploaded files, read at once, so that a wrong file is refused before it costs a worker's time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from services.artifacts import headers
from services.artifacts.headers import LENGTH_BYTES, MAX_HEADER_BYTES, NPY_MAGIC, TensorInfo
from services.artifacts.store import AsyncArtifactStore

# The name under which `read_tensors` gives the one array of a .npy file.
WHOLE = ""


async def read_tensors(artifacts: AsyncArtifactStore, tenant: str, digest: str) -> Mapping[str, TensorInfo]:
    """Return the tensors of a safetensors file by name, or the array of a .npy file under `WHOLE`.

    Raises NotFound; ValueError with what is wrong with the file.
    """
    size_bytes = (await artifacts.stat(tenant, digest)).size_bytes
    pieces = artifacts.read(tenant, digest, 0, MAX_HEADER_BYTES + LENGTH_BYTES)
    head = b"".join([data async for _, data in pieces])
    # A header of the largest size takes a while to parse.
    return await asyncio.to_thread(_parse, head, size_bytes)


def _parse(head: bytes, size_bytes: int) -> Mapping[str, TensorInfo]:
    if head.startswith(NPY_MAGIC):
        return {WHOLE: headers.npy(head, size_bytes)}
    return headers.safetensors(head, size_bytes)
