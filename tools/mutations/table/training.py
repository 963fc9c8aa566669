"""What a checkpoint has to bring back so that a training that was killed ends with the same bytes."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

LOOP = "workers/engine/train_loop.py"
CHECKPOINT = "workers/engine/checkpoint.py"
CUT_OFF = ("tests/workers/engine/test_train_resume.py::test_trap_09_cut_off_within_an_epoch",)
PHASES = ("tests/workers/engine/test_train_resume.py::test_cut_off_in_every_phase_of_distillation",)

MUTATIONS = (
    Mutation(
        name="checkpoint: dropout draws from where it was",
        removes="random numbers of the model follow from seed and step",
        file=LOOP,
        old="        seed_model_noise(self.seed, number, batch.device)\n",
        new="",
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: inner attacks draw from where they were",
        removes="random numbers of an inner attack follow from seed and step",
        file=LOOP,
        old="generator=torch.Generator().manual_seed(key(self.seed, number, _CRAFTING)),",
        new='generator=self.__dict__.setdefault("drawing", torch.Generator().manual_seed(self.seed)),',
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: the order of samples is drawn on",
        removes="the order of an epoch follows from seed and epoch",
        file=LOOP,
        old="generator = torch.Generator().manual_seed(key(self.seed, self._epochs_before(state), _ORDER))",
        new='generator = self.__dict__.setdefault("shuffling", torch.Generator().manual_seed(self.seed))',
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: the place within the epoch is lost",
        removes="every sample is seen once an epoch",
        file=LOOP,
        old="return order.tensor_split(self.batches)[state.step % self.batches :]",
        new="return order.tensor_split(self.batches)[: self.batches - state.step % self.batches]",
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: the step is lost",
        removes="no step is done twice",
        file=CHECKPOINT,
        old='    state.step = content["step"]\n',
        new="",
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: the learning rate starts again",
        removes="the learning rate follows from the step",
        file=LOOP,
        old="rate = learning_rate(self.optimization, state.step, self._steps(state))",
        new=(
            'self.__dict__["taken"] = self.__dict__.get("taken", -1) + 1\n'
            '        step = self.__dict__["taken"] % self._steps(state)\n'
            "        rate = learning_rate(self.optimization, step, self._steps(state))"
        ),
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: the optimiser starts again",
        removes="the optimiser goes on with its moments",
        file=CHECKPOINT,
        old="state.optimizer.state[parameter] = {name: _like(value, parameter) for name, value in kept.items()}",
        new="del kept",
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: weights only, no buffers",
        removes="batch normalisation goes on with its statistics",
        file=CHECKPOINT,
        old='network.network.load_state_dict(_under(tensors, "network/"))',
        new=(
            "network.network.load_state_dict("
            '{k: v for k, v in _under(tensors, "network/").items() if "running" not in k}, strict=False)'
        ),
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: the teacher is lost",
        removes="a distillation goes on with the teacher that it had",
        file=CHECKPOINT,
        old='        teacher.network.load_state_dict(_under(tensors, "teacher/"))\n',
        new="",
        tests=PHASES,
    ),
    Mutation(
        name="checkpoint: the sum of losses starts again",
        removes="the figures of a resumed training are those of an undisturbed one",
        file=CHECKPOINT,
        old='    state.total.copy_(tensors["total"])\n',
        new="",
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: one of another training is taken",
        removes="trainings are never mixed",
        file=CHECKPOINT,
        old='if content["version"] != _VERSION or content["plan"] != _digest(plan):',
        new="if False:",
        tests=("tests/workers/engine/test_train_resume.py::test_a_checkpoint_of_another_training",),
    ),
    Mutation(
        name="checkpoint: never handed to the lease",
        removes="a killed training loses minutes at most",
        file="workers/run/training.py",
        old="        heartbeat.keep_checkpoint(digest)\n",
        new="",
        tests=(
            "tests/workers/run/test_resume.py::test_a_shutdown_takes_a_checkpoint_at_the_next_step_and_hands_the_training_on",
        ),
    ),
)
