"""F15: without a good key, every method of every service answers that, and nothing else."""

from __future__ import annotations

import base64
import random
from collections import Counter
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf import descriptor_pool

from services.gateway.server import SERVICES
from services.tenants.keys import new_key

from .fuzz_requests import Fuzzer
from .net_calls import call, leaks
from .net_gateway import Served, served
from .net_tenants import write_tenants
from .results import Row

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

CASES = 2000


@pytest.fixture(scope="module")
def guarded(fast_folder) -> Iterator[tuple[Served, str]]:
    """A gateway with a tenants file, and the one key that it takes."""
    folder = fast_folder / "hostile-keys"
    folder.mkdir()
    key = write_tenants(folder / "tenants.toml", ["vision"], role="admin")["vision"]
    with served(folder, environment={"SPARRING_TENANTS_FILE": str(folder / "tenants.toml")}) as running:
        yield running, key


def bad_metadata(rng: random.Random, key: str) -> tuple[tuple[str, str | bytes], ...]:
    """What a client without the key may send in its place."""
    cut, other = rng.randrange(len(key)), new_key("vision")
    flipped = key[:cut] + chr(ord(key[cut]) ^ 1) + key[cut + 1 :]
    values = [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {key[:cut]}",
        f"Bearer {flipped if flipped.isascii() and flipped.isprintable() else other}",
        f"Bearer {other}",
        f"Bearer {key}x",
        f"Bearer {key} {key}",
        f"Basic {base64.b64encode(b'vision:' + key.encode()).decode()}",
        f"Bearer {'k' * 5000}",
        "Bearer " + key.swapcase(),
        "Bearer spk_vision_" + "A" * 43,
        "Bearer ' OR 1=1 --",
        "Bearer {sparring}:tenant:vision",
    ]
    chosen = rng.choice(values)
    shapes: list[tuple[tuple[str, str | bytes], ...]] = [
        (),
        (("authorization", chosen),),
        (("authorization", chosen), ("authorization", rng.choice(values))),
        (("authorization-bin", key.encode()),),
        (("x-authorization", f"Bearer {key}"), ("tenant", "vision"), ("x-tenant", "vision")),
        (("proxy-authorization", f"Bearer {key}"), ("cookie", f"authorization=Bearer {key}")),
    ]
    return rng.choice(shapes)


async def test_no_method_does_anything_without_a_key(guarded, rng, scaled, report):
    running, key = guarded
    pool = descriptor_pool.Default()
    methods = [method for name in SERVICES for method in pool.FindServiceByName(name).methods]
    fuzzer = Fuzzer(str(rng.random()), [])
    answers: Counter[str] = Counter()
    count = scaled(CASES)
    running.redis.delete(*running.redis.keys("*audit*") or ["none"])
    before = sorted(running.redis.keys("*"))
    async with grpc.aio.insecure_channel(running.gateway.target) as channel:
        for number in range(count):
            method = methods[number % len(methods)]
            request = fuzzer.case(method.input_type, [])
            metadata = bad_metadata(rng, key)
            answer = await call(channel, method, [request], metadata)
            answers[answer.code] += 1
            assert answer.code == "UNAUTHENTICATED", (method.full_name, metadata, answer)
            assert not leaks(answer.text), answer
            assert key not in answer.text
    report(Row(fault="F15 bad keys", store="valkey", runs=1, injections=count))
    assert key not in running.gateway.log.read_text(errors="replace"), "no key is ever written down"
    assert sorted(running.redis.keys("*")) == before, "nothing was done"
    good = (("authorization", f"Bearer {key}"),)
    async with grpc.aio.insecure_channel(running.gateway.target) as channel:
        (who,) = [method for method in methods if method.name == "GetTenant"]
        assert (await call(channel, who, [b""], good)).code == "OK"
