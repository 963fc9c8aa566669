"""What the gateway thinks that a network's weights take is what they take."""

import pytest

from services.gateway import catalog

OWN = (
    "competing_mlp",
    "dropout_mlp",
    "madry_cnn",
    "maxout_mlp",
    "mlp",
    "mlp_bn",
    "rbf_network",
    "sigmoid_mlp",
    "softmax_regression",
    "threshold_cnn",
    "wong_cnn",
)
TORCHVISION = ("resnet18", "vgg19", "squeezenet1_1", "vit_b_16", "densenet121")


@pytest.mark.parametrize(
    ("names", "shape", "classes"),
    [
        (OWN, (1, 28, 28), 10),
        (OWN, (3, 64, 96), 500),
        (TORCHVISION, (3, 224, 224), 10),
        (TORCHVISION, (3, 64, 64), 5000),
        (TORCHVISION, (1, 224, 224), 2),
    ],
)
def test_weights_take_what_the_catalog_says(names, shape, classes):
    from workers.models.signature import Signature
    from workers.models.weights import skeleton

    for name in names:
        tensors = skeleton(Signature(name, shape, classes)).state_dict().values()
        real = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        assert catalog.architectures()[name].weights_bytes(shape, classes) == pytest.approx(real, rel=0.03), name


def test_every_architecture_has_a_size():
    for architecture in catalog.architectures().values():
        assert architecture.weights_bytes((3, 224, 224), 1000) > 0
