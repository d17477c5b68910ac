"""Primitives of an FPGA, counted by hand from their shapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import accelsim as acs
from accelsim.errors import InputError
from accelsim.hardware.fpga import (
    Device,
    Placed,
    Ram,
    bram18,
    dsps_a_product,
    lutram,
    placed,
    products_together,
    uram,
)

DEVICE = Device(name="small", dsp=100, bram36=50, uram=10, lut=10_000)


@pytest.mark.parametrize(
    ("width", "words", "count"),
    [
        (36, 512, 1), (37, 512, 2), (36, 513, 2), (18, 1024, 1), (9, 2048, 1), (8, 2048, 1), (4, 4096, 1), (2, 8192, 1),
        (1, 16384, 1), (1, 16385, 2), (72, 512, 2), (32, 1024, 2), (8, 16384, 8), (64, 4608, 18), (27, 512, 1),
    ],
)  # fmt: skip
def test_block_rams(width, words, count):
    assert bram18(width, words) == count


@pytest.mark.parametrize(("width", "words", "count"), [(72, 4096, 1), (73, 4096, 2), (72, 4097, 2), (8, 100_000, 25)])
def test_ultra_rams(width, words, count):
    assert uram(width, words) == count


@pytest.mark.parametrize(("width", "words", "count"), [(8, 64, 8), (8, 65, 16), (1, 1, 1), (100, 128, 200)])
def test_memories_of_luts(width, words, count):
    assert lutram(width, words) == count


@given(st.integers(1, 500), st.integers(1, 100_000))
def test_no_memory_is_smaller_than_its_bits(width, words):
    assert bram18(width, words) * 18 * 1024 >= width * words
    assert uram(width, words) * 288 * 1024 >= width * words
    assert lutram(width, words) * 64 >= width * words


@pytest.mark.parametrize(
    ("weight", "activation", "together"), [(1, 1, 4), (4, 4, 4), (4, 5, 2), (8, 8, 2), (8, 9, 1), (16, 8, 1)]
)
def test_products_that_share_an_operand(weight, activation, together):
    assert products_together(weight, activation) == together


@pytest.mark.parametrize(
    ("core", "weight", "activation", "count"),
    [
        ("dsp48", 8, 8, 1), ("dsp48", 27, 18, 1), ("dsp48", 18, 27, 1), ("dsp48", 28, 18, 2), ("dsp48", 19, 19, 2),
        ("dsp48", 27, 19, 2), ("dsp48", 53, 35, 4), ("dsp48", 54, 35, 6), ("dsp58", 27, 24, 1), ("dsp58", 24, 25, 1),
        ("dsp58", 25, 25, 2),
    ],
)  # fmt: skip
def test_one_product_by_itself(core, weight, activation, count):
    assert dsps_a_product(core, weight, activation) == count


def test_shallow_memories_are_luts_and_others_keep_both_kinds_of_ram_even():
    memories = [Ram(72, 4096), Ram(36, 512), Ram(8, 128), Ram(72, 4096)]
    # a block RAM is a hundredth of the device and an UltraRAM a tenth: 72 x 4096 is 16 hundredths or one tenth
    assert placed(memories, DEVICE) == [Placed("uram", 1), Placed("bram18", 1), Placed("lut", 16), Placed("bram18", 16)]


def test_without_ultra_rams_or_a_device_all_are_block_rams():
    bare = Device(name="bare", dsp=1, bram36=1, uram=0, lut=1)
    for device in (None, bare):
        assert placed([Ram(72, 4096)], device) == [Placed("bram18", 16)]


@given(st.lists(st.builds(Ram, st.integers(1, 200), st.integers(1, 20_000)), max_size=12))
def test_every_memory_is_placed_in_what_holds_it(memories):
    for memory, (primitive, number) in zip(memories, placed(memories, DEVICE), strict=True):
        assert number == {"lut": lutram, "bram18": bram18, "uram": uram}[primitive](*memory)
        assert (primitive == "lut") == (memory.words <= 128)


def test_the_preset_names_its_card():
    device = acs.load_accelerator("fpga-stream").device
    assert (device.dsp, device.bram36, device.uram, device.lut) == (12288, 2688, 1280, 1728000)


@pytest.mark.parametrize("value", [0, -1, "many"])
def test_a_device_that_has_none(value):
    with pytest.raises(InputError, match=r"device\.dsp"):
        acs.load_accelerator("fpga-stream", {"device.dsp": value})
