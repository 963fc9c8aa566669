"""An artifact's bytes as they come: in order through disconnects, and never passed for whole where they are not."""

from __future__ import annotations

import pytest
from sparring import errors

MIB = 2**20
CONTENT = bytes(range(256)) * (3 * MIB // 256) + b"the last half chunk" * 1000


def test_chunks_go_on_where_a_disconnect_cut_them_off(either, service):
    name = service.keep(CONTENT)
    service.cuts["DownloadArtifact"].extend([3, 0, 2])
    got = list(either.artifacts.chunks(name))
    assert b"".join(got) == CONTENT
    assert max(map(len, got)) <= MIB
    asked = [request.offset for request in service.requests("DownloadArtifact")]
    assert asked == [0, 3 * MIB // 2, 3 * MIB // 2, 5 * MIB // 2]


def test_chunks_of_a_damaged_artifact_end_in_a_loss_of_data(either, service):
    name = service.keep(CONTENT)
    service.corrupt = True
    with pytest.raises(errors.DataLoss, match="another SHA-256"):
        list(either.artifacts.chunks(name))


def test_chunks_from_an_offset_are_the_rest(either, service):
    assert b"".join(either.artifacts.chunks(service.keep(CONTENT), offset=2 * MIB + 5)) == CONTENT[2 * MIB + 5 :]


def test_chunks_give_up_when_the_outage_outlasts_patience(connect, service):
    client = connect(timeout_s=10, patience_s=0.3)
    name = service.keep(CONTENT)
    service.cuts["DownloadArtifact"].extend([0] * 100)
    with pytest.raises(errors.Unreachable):
        list(client.artifacts.chunks(name))


def test_chunks_of_what_is_not_there_are_not_found(either):
    with pytest.raises(errors.NotFound):
        list(either.artifacts.chunks("0" * 64))
