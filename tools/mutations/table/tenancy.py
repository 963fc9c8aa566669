"""Who may come in, whose everything is, and how much of it each may have."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

INTERCEPTOR = "services/gateway/interceptor.py"
TENANCY = "services/gateway/tenancy.py"
TENANTS = "services/jobs/functions/3_tenants.lua"
QUEUE = "services/jobs/functions/2_queue.lua"
ISOLATION = ("tests/security/test_isolation.py::test_no_rpc_gives_away_or_touches_what_is_anothers",)

MUTATIONS = (
    Mutation(
        name="keys: nobody is asked",
        removes="no RPC but health answers without a known key",
        file=TENANCY,
        old="        if self._file is None:\n            return ANYBODY\n",
        new="        if self._file is None or credential not in self._file.value.keys:\n            return ANYBODY\n",
        tests=("tests/security/test_doors.py::test_without_a_known_key_every_rpc_is_unauthenticated",),
    ),
    Mutation(
        name="keys: streams are not asked",
        removes="streaming RPCs ask for a key as others do",
        file=INTERCEPTOR,
        old="        credential, who = self._admit(call, context, rule)\n\n",
        new=(
            "        credential, who = Credential(), identity.ANYBODY\n"
            "        identity.enter(who)\n"
            "        self._tenancy.recheck = lambda *_: None\n\n"
        ),
        tests=("tests/security/test_doors.py::test_without_a_known_key_every_rpc_is_unauthenticated",),
    ),
    Mutation(
        name="keys: strangers learn which methods there are",
        removes="whether a method exists is told to callers with a key only",
        file=INTERCEPTOR,
        old="                self._admit(call, context, None)\n",
        new="",
        tests=("tests/security/test_doors.py::test_whether_a_method_exists_is_told_to_callers_with_a_key_only",),
    ),
    Mutation(
        name="keys: good for ever",
        removes="an expired key is refused",
        file="services/tenants/table.py",
        old="if key.expires_s is not None and key.expires_s <= now_s:",
        new="if key.expires_s is not None and key.expires_s < 0:",
        tests=("tests/security/test_keys.py::test_an_expired_key_says_so",),
    ),
    Mutation(
        name="keys: streams are not looked at again",
        removes="streams of a key that was taken away end",
        file="services/gateway/open_streams.py",
        old="            for stream in list(streams):\n                stream.recheck()",
        new="            del streams",
        tests=("tests/security/test_keys.py::test_streams_of_a_key_that_ends_meanwhile_end",),
    ),
    Mutation(
        name="keys: several in one call",
        removes="one call shows one key",
        file=TENANCY,
        old="    if len(headers) > 1:\n",
        new="    if len(headers) > 2:\n",
        tests=("tests/security/test_doors.py::test_two_keys_are_as_good_as_none",),
    ),
    Mutation(
        name="roles: not compared",
        removes="a key may do what its role says and no more",
        file=TENANCY,
        old="if identity.role < least:",
        new="if identity.role < 0 * least:",
        tests=("tests/security/test_doors.py::test_a_role_may_call_what_the_contract_says_and_no_more",),
    ),
    Mutation(
        name="roles: a new RPC without one is served",
        removes="no RPC is forgotten when roles are set",
        file="services/gateway/access.py",
        old="    if missing:\n",
        new="    if len(missing) > 1000:\n",
        tests=("tests/security/test_doors.py::test_a_method_without_a_row_keeps_the_gateway_from_starting",),
    ),
    Mutation(
        name="exposure: anywhere without TLS and keys",
        removes="plaintext and keyless gateways listen on this machine only",
        file="services/gateway/exposure.py",
        old="    else:\n        raise SettingsError(",
        new="    else:\n        SettingsError(",
        tests=(
            "tests/security/test_exposure.py::test_beyond_it_tls_and_keys_are_asked_for",
            "tests/security/test_exposure.py::test_the_gateway_itself_refuses",
        ),
    ),
    Mutation(
        name="tenant: not compared when a job is read",
        removes="no tenant reads another's job",
        file="services/jobs/calls.py",
        old='if reply.get(b"tenant") != tenant.encode():',
        new='if reply.get(b"tenant") is None:',
        tests=(
            "tests/services/jobs/test_endings.py::test_a_job_that_is_not_there_or_of_another_tenant_is_not_found",
            *ISOLATION,
        ),
    ),
    Mutation(
        name="tenant: artifacts of another are read",
        removes="equal bytes of two tenants are two artifacts, and nobody reads another's",
        file="services/artifacts/calls.py",
        old='return ("HMGET", key(f"a:{tenant}:{sha256}:m"),',
        new="return (\"HMGET\", key(f\"a:{'a' if tenant == 'b' else tenant}:{sha256}:m\"),",
        tests=("tests/services/artifacts/test_tenants.py::test_what_one_tenant_has_another_one_does_not_see",),
    ),
    Mutation(
        name="tenant: caches of a worker are everybody's",
        removes="what a worker has loaded for one tenant is not lent to another",
        file="workers/run/unit.py",
        old="whole = (self.tenant, key)",
        new='whole = ("", key)',
        tests=(
            "tests/workers/run/test_tenants.py::test_a_model_that_the_worker_still_holds_is_not_lent_to_another_tenant",
            "tests/workers/run/test_tenants.py::test_samples_that_the_worker_still_holds_are_not_lent_to_another_tenant",
        ),
    ),
    Mutation(
        name="quota: jobs that wait",
        removes="a tenant has so many jobs waiting and no more",
        file=TENANTS,
        old="if most_queued > 0 and queued >= most_queued then",
        new="if false then",
        tests=("tests/services/jobs/test_quotas.py::test_jobs_that_wait_are_limited_until_one_begins",),
    ),
    Mutation(
        name="quota: jobs that run",
        removes="a tenant has so many jobs running and no more",
        file=QUEUE,
        old="local list = (most > 0 and running >= most and 'going:' or 'ready:') .. pool .. ':' .. tenant",
        new="local list = 'ready:' .. pool .. ':' .. tenant",
        tests=(
            "tests/services/jobs/test_quotas.py::test_jobs_beyond_those_that_may_run_wait_and_units_of_running_ones_do_not",
        ),
    ),
    Mutation(
        name="quota: compute",
        removes="a tenant has so much compute accepted and no more",
        file=TENANTS,
        old="if used + mega_ops > most_mega_ops then",
        new="if false then",
        tests=("tests/services/jobs/test_quotas.py::test_compute_is_charged_from_the_submit_to_the_end",),
    ),
    Mutation(
        name="quota: bytes of uploads",
        removes="a tenant's uploads stay within its bytes",
        file=TENANTS,
        old="if most > 0 and bytes_of(tenant) + size > most then",
        new="if false then",
        tests=("tests/services/artifacts/test_tenants.py::test_an_upload_beyond_the_quota_is_refused",),
    ),
    Mutation(
        name="quota: a retry is free",
        removes="a retry is charged like a submit",
        file="services/jobs/functions/4_jobs.lua",
        old="\n    or job_refused(tenant, tonumber((get(id, 'mega_ops'))))\n",
        new="\n",
        tests=("tests/services/jobs/test_quotas.py::test_a_retry_is_charged_like_a_submit_and_refused_like_one",),
    ),
    Mutation(
        name="quota: what has ended is still charged",
        removes="what a tenant uses follows from its jobs",
        file="services/jobs/functions/1_state.lua",
        old="      redis.call('HINCRBY', tenant_key(tenant), was, -1)\n",
        new="      redis.call('HINCRBY', tenant_key(tenant), was, 0)\n",
        tests=("tests/services/jobs/test_quotas.py::test_jobs_that_wait_are_limited_until_one_begins",),
    ),
    Mutation(
        name="shares: first come, first served",
        removes="a tenant with one job does not wait for another's thousand",
        file=QUEUE,
        old="return {leased / weight, math.max(turn, served), tonumber(place)}, id, tenant, weight",
        new="return {tonumber(place)}, id, tenant, weight",
        tests=(
            "tests/services/jobs/test_shares.py::test_one_job_beside_a_thousand_is_the_next_to_be_served",
            "tests/services/jobs/test_shares.py::test_two_busy_tenants_share_the_claims",
        ),
    ),
    Mutation(
        name="shares: weights are not looked at",
        removes="workers are shared by weight",
        file=QUEUE,
        old="    weight = weight > 0 and weight or 1\n",
        new="    weight = 1\n",
        tests=("tests/services/jobs/test_shares.py::test_they_share_them_by_weight",),
    ),
    Mutation(
        name="shares: taking turns is all",
        removes="long units count as long as they run",
        file=QUEUE,
        old="return {leased / weight, math.max(turn, served), tonumber(place)}, id, tenant, weight",
        new="return {math.max(turn, served), tonumber(place)}, id, tenant, weight",
        tests=("tests/services/jobs/test_shares.py::test_long_units_count_as_long_as_they_run",),
    ),
    Mutation(
        name="streams: as many as one likes",
        removes="no tenant takes all the streams of a gateway",
        file="services/gateway/open_streams.py",
        old="if len(others) >= self._most:",
        new="if len(others) >= 1000 * self._most:",
        tests=("tests/security/test_streams.py::test_a_tenant_has_so_many_streams_and_another_its_own",),
    ),
    Mutation(
        name="audit: changes are not noted",
        removes="who changed what is kept",
        file=INTERCEPTOR,
        old="        if refused or (rule is not None and rule.changes and call.identity is not None):\n",
        new="        if refused:\n",
        tests=("tests/security/test_audit.py::test_every_change_is_kept_with_who_and_what_and_what_came_of_it",),
    ),
)
