"""What the gateway refuses."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

MUTATIONS = (
    Mutation(
        name="page tokens: not signed",
        removes="nobody makes up a place in a list, or takes one to another list",
        file="services/gateway/paging.py",
        old="if not hmac.compare_digest(signature, self._sign(body, scope)):",
        new="if not body:",
        tests=(
            "tests/services/gateway/test_paging.py::test_a_token_of_another_list_is_refused",
            "tests/services/gateway/test_paging.py::test_a_token_of_another_key_is_refused",
            "tests/services/gateway/test_paging.py::test_changing_any_byte_breaks_the_token",
        ),
    ),
    Mutation(
        name="admission: no limit",
        removes="a store that is nearly full takes no new work",
        file="services/jobs/aio.py",
        old="        self._gauge.admit()\n",
        new="",
        tests=("tests/services/gateway/test_jobs_service.py::test_a_full_store_takes_no_new_work",),
    ),
    Mutation(
        name="admission: uploads are not counted",
        removes="a store that is nearly full takes no new uploads",
        file="services/artifacts/aio.py",
        old="        self._gauge.admit(size)\n",
        new="",
        tests=("tests/services/artifacts/test_aio.py::test_an_upload_that_would_fill_the_store_is_refused",),
    ),
)
