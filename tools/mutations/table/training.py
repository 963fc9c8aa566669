"""What a checkpoint has to bring back so that a training that was killed ends with the same bytes."""

from __future__ import annotations

from tools.mutations.mutation import Mutation

LOOP = "workers/engine/train_loop.py"
FEED = "workers/engine/feed.py"
CHECKPOINT = "workers/engine/checkpoint.py"
CUT_OFF = ("tests/workers/engine/test_train_resume.py::test_trap_09_cut_off_within_an_epoch",)
WATCHED = (
    "tests/workers/engine/test_train_watched.py::test_cut_off_at_any_moment_it_ends_as_if_it_had_been_left_alone",
)
ROLLED_BACK = ("tests/workers/engine/test_train_watched.py::test_a_roll_back_survives_being_cut_off",)
PHASES = ("tests/workers/engine/test_train_resume.py::test_cut_off_in_every_phase_of_distillation",)

MUTATIONS = (
    Mutation(
        name="checkpoint: dropout draws from where it was",
        removes="random numbers of the model follow from seed and step",
        file=LOOP,
        old="        seed_model_noise(self.team.noise(self.seed), number, samples.device)\n",
        new="",
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: inner attacks draw from where they were",
        removes="random numbers of an inner attack follow from seed and step",
        file=LOOP,
        old="generator=self.team.stream(key(self.seed, number, _CRAFTING), batch),",
        new='generator=self.__dict__.setdefault("drawing", torch.Generator().manual_seed(self.seed)),',
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: the order of samples is drawn on",
        removes="the order of an epoch follows from seed and epoch",
        file=FEED,
        old="generator = torch.Generator().manual_seed(key(self._seed, epoch, _ORDER))",
        new='generator = self.__dict__.setdefault("shuffling", torch.Generator().manual_seed(self._seed))',
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: the place within the epoch is lost",
        removes="every sample is seen once an epoch",
        file=FEED,
        old="return tuple(parts[number // self._replays] for number in range(done, self.steps))",
        new="return tuple(parts[number // self._replays] for number in range(self.steps - done))",
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
        old="rate = learning_rate(how, state.step, self._steps(state))",
        new=(
            'self.__dict__["taken"] = self.__dict__.get("taken", -1) + 1\n'
            '        rate = learning_rate(how, self.__dict__["taken"] % self._steps(state), self._steps(state))'
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
        old='state.network.network.load_state_dict(_under(tensors, "network/"))',
        new=(
            "state.network.network.load_state_dict("
            '{k: v for k, v in _under(tensors, "network/").items() if "running" not in k}, strict=False)'
        ),
        tests=CUT_OFF,
    ),
    Mutation(
        name="checkpoint: the teacher is lost",
        removes="a distillation goes on with the teacher that it had",
        file=CHECKPOINT,
        old='        teacher.network.load_state_dict(_under(tensors, f"teacher/{number}/"))\n',
        new="        del teacher, number\n",
        tests=PHASES,
    ),
    Mutation(
        name="checkpoint: the running average starts again",
        removes="an averaged training goes on with its average",
        file=CHECKPOINT,
        old='        state.average.network.load_state_dict(_under(tensors, "average/"))\n',
        new="        pass\n",
        tests=WATCHED,
    ),
    Mutation(
        name="checkpoint: the selected weights are lost",
        removes="the epoch that was best stays the result",
        file=CHECKPOINT,
        old='best=_under(tensors, "best/", device),',
        new="best={},",
        tests=WATCHED,
    ),
    Mutation(
        name="checkpoint: the weights to go back to are lost",
        removes="a training that goes astray goes back wherever it was cut off",
        file=CHECKPOINT,
        old='steady=_under(tensors, "steady/", device),',
        new="steady=state.network.network.state_dict(),",
        tests=ROLLED_BACK,
    ),
    Mutation(
        name="checkpoint: the probes are forgotten",
        removes="what was best is known after an interruption",
        file=CHECKPOINT,
        old='probes=[Probe(**probe) for probe in content["probes"]],',
        new="probes=[],",
        tests=WATCHED,
    ),
    Mutation(
        name="checkpoint: roll-backs are not counted on",
        removes="a defense is told how often the training went back",
        file=CHECKPOINT,
        old='rollbacks=content["rollbacks"],',
        new="rollbacks=0,",
        tests=ROLLED_BACK,
    ),
    Mutation(
        name="augmentation: drawn from where it was",
        removes="shifts and mirrorings follow from seed and step",
        file=FEED,
        old="generator = torch.Generator().manual_seed(key(self._seed, turn, purpose))",
        new='generator = self.__dict__.setdefault("moving", torch.Generator().manual_seed(self._seed))',
        tests=WATCHED,
    ),
    Mutation(
        name="checkpoint: what the defense keeps is lost",
        removes="a perturbation that lasts from batch to batch goes on",
        file=CHECKPOINT,
        old='    state.memory = _under(tensors, "memory/", device)\n',
        new="",
        tests=CUT_OFF,
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
