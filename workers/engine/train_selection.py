"""Which weights are kept of a network that is watched: those to return, and those to go back to."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from workers.data import Dataset
from workers.engine.checkpoint import State
from workers.engine.monitor import Monitor
from workers.engine.train_average import with_buffers
from workers.engine.train_probes import Watch
from workers.engine.train_team import Team
from workers.engine.train_validation import Probe, Validation, best, overfits, steadiest
from workers.models import Classifier

_NETWORK, _AVERAGE = "network/", "average/"


class Keeper:
    """Looks at the network after an epoch, keeps weights of it, and goes back to them."""

    def __init__(
        self, validation: Validation, learned: Dataset, held_out: Dataset | None, seed: int, monitor: Monitor
    ) -> None:
        """The arguments are those of `Watch`; `monitor` hears every figure."""
        self._validation, self._monitor = validation, monitor
        self._watch = Watch(validation, learned, held_out, seed)

    def after_epoch(self, state: State, epoch: int, team: Team) -> bool:
        """Look after this epoch, in the first process of the team, and keep what is best so far; whether it went back.

        Where the training has overfitted to its own examples, the network and its average get back the weights that had
        the highest accuracy under PGD on samples that are learned from.
        """
        astray = self._look(state, epoch) if team.part.rank == 0 else False
        if not team.agreed(wish=astray):
            return False
        state.record.rollbacks += 1
        if team.part.rank == 0:
            _put(state, state.record.steady)
        team.spread(list(_taken(state, clone=False).values()))
        return True

    def _look(self, state: State, epoch: int) -> bool:
        """Note what is right after this epoch, and keep the weights if they are the best; whether they overfit."""
        network, record = current(state), state.record
        probe = self._watch.look(network, epoch)
        astray = overfits(self._validation, record.probes, probe)
        probe = replace(probe, rolled_back=astray)
        record.probes.append(probe)
        self._report(probe)
        if best(self._validation, record.probes) is probe:
            record.best = {name: value.clone() for name, value in network.network.state_dict().items()}
        if self._validation.overfitting_drop and steadiest(record.probes) is probe:
            record.steady = _taken(state, clone=True)
        return astray

    def _report(self, probe: Probe) -> None:
        for name in ("held_out_clean", "held_out_robust", "probe_clean", "probe_robust"):
            value = getattr(probe, name)
            if value is not None:
                self._monitor.metric(name, value, probe.epoch)


def current(state: State) -> Classifier:
    """The network whose weights would be the result now: the trained one, or its running average."""
    return state.network if state.average is None else with_buffers(state.average, state.network)


def result_of(state: State) -> Classifier:
    """The network that a training ends with, with the weights of the epoch that was selected, if one was."""
    network = current(state)
    if state.record.best:
        network.network.load_state_dict(state.record.best)
    return network


def _taken(state: State, *, clone: bool) -> dict[str, Tensor]:
    """Weights and buffers of the network and of its average, by name."""
    tensors = {f"{_NETWORK}{name}": value for name, value in state.network.network.state_dict().items()}
    if state.average is not None:
        tensors |= {f"{_AVERAGE}{name}": value for name, value in state.average.network.state_dict().items()}
    return {name: value.clone() for name, value in tensors.items()} if clone else tensors


def _put(state: State, kept: dict[str, Tensor]) -> None:
    """Give the network and its average the weights and buffers that were taken."""
    for network, prefix in ((state.network, _NETWORK), (state.average, _AVERAGE)):
        if network is not None:
            own = {name.removeprefix(prefix): value for name, value in kept.items() if name.startswith(prefix)}
            network.network.load_state_dict(own)
