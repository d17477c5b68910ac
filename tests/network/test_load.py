"""What `load_network` takes and refuses."""

import pytest

import accelsim as acs
from accelsim.errors import InputError


@pytest.mark.parametrize("shape", ["1,3,224,224", (1, 3, 224.0, 224), 7, {"image": "1,3,8,8"}, [None]])
def test_shapes_that_are_no_sizes_are_refused(shape):
    with pytest.raises(InputError, match=r"input_shape = .* is not whole numbers"):
        acs.load_network("resnet18", input_shape=shape)


def test_shapes_may_be_lists_or_by_name():
    for shape in ((3, 64, 64), [1, 3, 64, 64], {"image": (3, 64, 64)}):
        assert acs.load_network("resnet18", input_shape=shape).tensors["image"].spatial == (64, 64)


def test_unknown_names_are_refused_with_what_was_meant():
    with pytest.raises(InputError, match=r"did you mean .*resnet18"):
        acs.load_network("resnet81")
    with pytest.raises(InputError, match="no name and no path"):
        acs.load_network(3)


def test_every_registered_name_is_there():
    assert {"efficientdet_d2", "resnet50", "sample_cnn"} <= set(acs.registered_networks())
