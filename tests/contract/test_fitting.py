"""What is said of fits in several places is the same in all: contract, the gateway's tables, the workers' tables."""

import dataclasses

import pytest
from sparring.v1 import defenses_pb2, fitting_pb2, jobs_pb2, models_pb2

from services.artifacts import headers
from services.gateway import catalog, fitting
from services.gateway.check_tensors import check_tensors

KINDS = [name for name, entry in catalog.architectures().items() if entry.fitted]
ABLE = [name for name, entry in catalog.architectures().items() if entry.fitting]


def test_what_is_fitted_is_what_the_workers_fit():
    from workers.engine import fitting as engine
    from workers.models.classical import FITTED

    assert sorted(KINDS) == sorted(FITTED)
    assert sorted(ABLE) == sorted(engine._FITS)
    assert set(fitting.DEFENSES) <= {field.name for field in defenses_pb2.Defense.DESCRIPTOR.fields}


def test_the_options_are_those_of_the_workers():
    from workers.engine.fitting import FitOptions

    names = {field.name for field in dataclasses.fields(FitOptions)}
    assert names == set(fitting_pb2.FitOptions.DESCRIPTOR.fields_by_name)
    defaults = FitOptions()
    for name, option in catalog.fit_options().items():
        if name != "cost":
            assert getattr(defaults, name) == float(option.default_value), name


def test_the_limits_are_those_of_the_workers():
    from workers.models.classical.tables import MOST, MOST_NEIGHBORS, MOST_TREES
    from workers.models.classical.tree import DEEPEST

    assert fitting.MOST_KEPT == MOST
    options = catalog.fit_options()
    assert options["neighbors"].maximum == MOST_NEIGHBORS
    assert options["trees"].maximum == MOST_TREES
    assert options["max_depth"].maximum == DEEPEST


@pytest.mark.parametrize("name", KINDS)
def test_the_header_of_what_the_workers_write_is_what_the_gateway_expects(name):
    from workers.data import builtin
    from workers.defenses import StandardTraining
    from workers.engine.fitting import FitOptions, fit_model
    from workers.models import Signature, save

    digits = builtin("digits", "train").select(0, 100)
    model = fit_model(Signature(name, (1, 8, 8), 10), digits, StandardTraining(), FitOptions(trees=3), seed=0)
    content = save(model)
    signature = models_pb2.ModelSignature(architecture=name, input_shape=[1, 8, 8], classes=10)
    tensors = headers.safetensors(content, len(content))
    assert list(check_tensors(signature, tensors)) == []


def test_no_parameter_of_a_training_has_two_meanings_on_one_command_line():
    common = [*jobs_pb2.Optimization.DESCRIPTOR.fields_by_name, *fitting_pb2.FitOptions.DESCRIPTOR.fields_by_name]
    assert len(common) == len(set(common))
    own = set(common) | set(jobs_pb2.TrainingSpec.DESCRIPTOR.fields_by_name)
    for kind in defenses_pb2.Defense.DESCRIPTOR.oneofs_by_name["kind"].fields:
        assert own.isdisjoint(kind.message_type.fields_by_name), kind.name
