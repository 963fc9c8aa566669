"""A store that forgets what it has acknowledged."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

VALKEY = "services/local/valkey.py"
DURABLE = ("tests/services/jobs/test_durability.py::test_a_server_of_ours_is_durable_and_bounded",)
REFUSED = ("tests/services/gateway/test_server.py::test_a_store_that_would_lose_data_is_refused",)

MUTATIONS = (
    Mutation(
        name="store: written to disk once a second",
        removes="what was acknowledged is on disk",
        file=VALKEY,
        old="appendfsync always",
        new="appendfsync everysec",
        tests=DURABLE,
    ),
    Mutation(
        name="store: nothing is written to disk",
        removes="what was acknowledged survives a store that is killed",
        file=VALKEY,
        old="appendonly yes",
        new="appendonly no",
        tests=(*DURABLE, "tests/services/jobs/test_durability.py::test_every_acknowledged_change_survives_kill_9"),
    ),
    Mutation(
        name="store: drops keys when it is full",
        removes="a full store forgets nothing",
        file=VALKEY,
        old="maxmemory-policy noeviction",
        new="maxmemory-policy allkeys-lru",
        tests=DURABLE,
    ),
    Mutation(
        name="preflight: appendfsync everysec is let pass",
        removes="the gateway refuses a store that loses acknowledged writes",
        file="services/gateway/preflight.py",
        old='    "appendfsync": "always",\n',
        new="",
        tests=REFUSED,
    ),
    Mutation(
        name="preflight: a store without its file is let pass",
        removes="the gateway refuses a store that forgets everything at a restart",
        file="services/gateway/preflight.py",
        old='    "appendonly": "yes",\n',
        new="",
        tests=REFUSED,
    ),
)
