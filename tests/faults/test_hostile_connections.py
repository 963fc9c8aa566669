"""F15: clients that trickle, hang, flood, lie about sizes or speak no HTTP/2 hurt themselves only."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator

import grpc
import pytest
from sparring.v1 import catalog_pb2, catalog_pb2_grpc, jobs_pb2, jobs_pb2_grpc

from services.connection import POOL_SIZE

from .net_gateway import Served, peak, served
from .net_h2 import CONTINUATION, DATA, GOAWAY, H2, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, frame, headers

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

GET = "/sparring.v1.JobService/GetJob"
CREATE = "/sparring.v1.JobService/CreateJob"
UPLOAD = "/sparring.v1.ArtifactService/UploadArtifact"
MEMORY_BYTES = 40 << 20
ANSWER_S = 5.0
UNPACKED_BYTES = 256 << 20
NOTHING = jobs_pb2.GetJobRequest(name="jobs/none").SerializeToString()


@pytest.fixture(scope="module")
def running(fast_folder) -> Iterator[Served]:
    with served(fast_folder / "hostile-connections") as made:
        yield made


@pytest.fixture
def unharmed(running) -> Iterator[Callable[[], None]]:
    """Calls of others are answered at once, meanwhile (whoever calls it) and afterwards; nothing is kept."""
    with grpc.insecure_channel(running.gateway.target) as channel:
        stub = catalog_pb2_grpc.CatalogServiceStub(channel)

        def answers() -> None:
            stub.GetServerInfo(catalog_pb2.GetServerInfoRequest(), timeout=ANSWER_S)

        for _ in range(20):
            answers()
        # Connections to the store are opened for peaks, and kept: here they are opened before anything is counted.
        jobs = jobs_pb2_grpc.JobServiceStub(channel)
        for call in [jobs.ListJobs.future(jobs_pb2.ListJobsRequest(), timeout=30) for _ in range(4 * POOL_SIZE)]:
            call.result()
        memory, descriptors = running.gateway.memory_bytes, running.gateway.descriptors
        yield answers
        answers()
        deadline = time.monotonic() + 20
        while running.gateway.descriptors > descriptors + 5 and time.monotonic() < deadline:
            time.sleep(0.1)
        print(f"memory {memory >> 20} -> {running.gateway.memory_bytes >> 20} MB")
        assert running.gateway.descriptors <= descriptors + 5
        assert running.gateway.memory_bytes - memory < MEMORY_BYTES
        assert "Traceback" not in running.gateway.log.read_text(errors="replace")


def raw(target: str) -> socket.socket:
    host, _, port = target.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def until_closed(connection: H2, seconds: float = 10.0) -> list[int]:
    """The kinds of the frames that come until the server closes, or says that it will."""
    kinds: list[int] = []
    deadline = time.monotonic() + seconds
    with contextlib.suppress(ConnectionError, TimeoutError, OSError):
        while time.monotonic() < deadline and GOAWAY not in kinds:
            kinds += [found.kind for found in connection.read()]
    return kinds


def test_clients_that_send_one_byte_at_a_time_keep_nobody_waiting(running, unharmed):
    block = headers([(":method", b"POST"), (":scheme", b"http"), (":path", GET.encode()), (":authority", b"x")])
    request = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 4, 1, block)
    with contextlib.ExitStack() as resources:
        sockets = [resources.enter_context(raw(running.gateway.target)) for _ in range(100)]
        for index, opened in enumerate(sockets):
            opened.send(request[:index])  # each is at another place of the same words
        for second in range(6):
            for index, opened in enumerate(sockets):
                opened.send(request[index + second : index + second + 1])
            unharmed()
            time.sleep(1.0)


def test_connections_that_say_nothing_keep_nobody_waiting(running, unharmed):
    with contextlib.ExitStack() as resources:
        for number in range(300):
            opened = resources.enter_context(raw(running.gateway.target))
            if number % 2:
                opened.send(PREFACE + frame(SETTINGS, 0, 0))
        unharmed()
        time.sleep(1.0)
        unharmed()


def test_a_flood_of_connections_leaves_no_descriptor_behind(running, unharmed):
    for number in range(1500):
        opened = raw(running.gateway.target)
        if number % 3 == 1:
            opened.send(PREFACE)
        elif number % 3 == 2:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        opened.close()
        if number % 300 == 0:
            unharmed()


def test_streams_that_are_opened_and_reset_at_once_do_not_pile_up(running, unharmed):
    sent = 0
    for _ in range(20):
        with H2(running.gateway.target) as connection, contextlib.suppress(OSError):
            for number in range(2500):
                connection.reset(connection.call(GET, NOTHING))
                sent += 1
                if number % 500 == 0:
                    unharmed()
    print(f"{sent} streams reset")
    assert sent > 1000


def test_more_streams_than_allowed_are_refused(running, unharmed):
    with H2(running.gateway.target) as connection:
        # Calls without an end, none of which the server may answer.
        streams = [connection.begin(UPLOAD) for _ in range(600)]
        refused: set[int] = set()
        deadline = time.monotonic() + 10
        while len(refused) < len(streams) - 300 and time.monotonic() < deadline:
            refused |= {found.stream for found in connection.read() if found.kind == RST_STREAM}
        unharmed()
        assert len(refused) >= len(streams) - 300


def test_headers_without_an_end_are_cut_off(running, unharmed):
    with H2(running.gateway.target) as connection, contextlib.suppress(OSError):
        connection.socket.sendall(frame(HEADERS, 0, 1, headers([(":method", b"POST")])))
        block = headers([("x-many", b"y" * 1000)] * 16)
        for _ in range(2000):
            connection.socket.sendall(frame(CONTINUATION, 0, 1, block[:16384]))
        unharmed()
        until_closed(connection)


def test_metadata_beyond_the_limit_is_refused(running, unharmed):
    with grpc.insecure_channel(running.gateway.target) as channel:
        call = channel.unary_unary(GET)
        for size in (20_000, 200_000):
            with pytest.raises(grpc.RpcError) as caught:
                call(NOTHING, metadata=(("x-big", "y" * size),), timeout=20)
            assert caught.value.code() in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL}, caught.value
    unharmed()


def test_a_message_beyond_the_limit_is_refused_however_it_is_announced(running, unharmed):
    with grpc.insecure_channel(running.gateway.target) as channel:
        for size in ((4 << 20) + 1, 30 << 20):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(CREATE)(bytes(size), timeout=20)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    # A length of 4 GiB, and bytes for as long as the server takes them.
    with H2(running.gateway.target) as connection:
        stream = connection.begin(CREATE)
        with contextlib.suppress(OSError):
            connection.socket.sendall(frame(DATA, 0, stream, b"\0\xff\xff\xff\xff"))
            for _ in range(3):
                connection.socket.sendall(frame(DATA, 0, stream, bytes(16_384)))
        unharmed()


def test_a_small_message_that_unpacks_to_a_lot_is_refused_and_not_unpacked(running, unharmed):
    before = running.gateway.memory_bytes
    with grpc.insecure_channel(running.gateway.target) as channel, peak(running) as highest:
        for _ in range(4):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(CREATE)(bytes(UNPACKED_BYTES), compression=grpc.Compression.Gzip, timeout=30)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, caught.value
    print(f"memory {before >> 20} -> at most {highest[0] >> 20} MB")
    assert highest[0] - before < MEMORY_BYTES


def test_pings_and_settings_without_end_are_cut_off(running, unharmed):
    for kind, payload in ((PING, b"12345678"), (SETTINGS, struct.pack("!HI", 4, 1000))):
        with H2(running.gateway.target) as connection:
            with contextlib.suppress(OSError):
                for _ in range(20_000):
                    connection.socket.sendall(frame(kind, 0, 0, payload))
            unharmed()


def test_noise_in_place_of_http2_closes_the_connection(running, unharmed):
    noise = random.Random(0)
    for number in range(300):
        with raw(running.gateway.target) as opened, contextlib.suppress(OSError):
            if number % 3:
                opened.sendall(PREFACE + frame(SETTINGS, 0, 0))
            if number % 3 == 2:
                kind, flags, stream = noise.randrange(12), noise.randrange(256), noise.choice([0, 1, 2, 3, 2**31 - 1])
                opened.sendall(frame(kind, flags, stream, noise.randbytes(noise.choice([0, 1, 4, 8, 100, 16_384]))))
            else:
                opened.sendall(noise.randbytes(200))
            opened.shutdown(socket.SHUT_WR)
        if number % 50 == 0:
            unharmed()


def test_a_client_that_disappears_in_the_middle_of_an_upload_leaves_nothing_behind(running, unharmed):
    for _ in range(100):
        with H2(running.gateway.target) as connection:
            stream = connection.begin(UPLOAD)
            connection.socket.sendall(frame(DATA, 0, stream, b"\0" + struct.pack("!I", 1 << 20) + os.urandom(10_000)))
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    unharmed()
