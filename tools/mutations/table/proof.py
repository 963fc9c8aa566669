"""The check of every adversarial example before it is kept."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

SHARDS = "workers/run/shards.py"
BETWEEN = ("tests/workers/run/results/test_damage.py::test_what_goes_wrong_between_engine_and_shard_is_caught",)
KINDS = ("tests/workers/evaluation/test_proof.py::test_each_kind_of_damage_is_counted",)
NO_SUCCESS = (
    "tests/workers/run/results/test_no_success.py::test_a_sample_outside_the_box_is_no_success_though_the_attack_says_so",
)

MUTATIONS = (
    Mutation(
        name="proof: violations are not recorded",
        removes="a result says of itself how many samples break a promise",
        file=SHARDS,
        old="violations, failed = examine(claim, samples.data, samples.first)",
        new="violations, failed = (0,) * 6, examine(claim, samples.data, samples.first)[1]",
        tests=BETWEEN,
    ),
    Mutation(
        name="proof: a sample that breaks a promise is a success",
        removes="only what is in ball and box counts as a success",
        file=SHARDS,
        old="success=result.success & ~failed,",
        new="success=result.success,",
        tests=NO_SUCCESS,
    ),
    Mutation(
        name="proof: the ball is not measured",
        removes="every adversarial example is in its ball",
        file="workers/evaluation/proof.py",
        old="return ball & finite, ((low < 0) | (high > 1)) & finite, ~finite",
        new="return ball & False, ((low < 0) | (high > 1)) & finite, ~finite",
        tests=KINDS,
    ),
    Mutation(
        name="proof: the box is not measured",
        removes="every adversarial example is a picture",
        file="workers/evaluation/proof.py",
        old="return ball & finite, ((low < 0) | (high > 1)) & finite, ~finite",
        new="return ball & finite, ((low < -1) | (high > 2)) & finite, ~finite",
        tests=KINDS,
    ),
)
