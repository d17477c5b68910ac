"""The machines of NVDLA that come along, compared once for all tests."""

from functools import cache

import accelsim as acs
from accelsim.validation.papers.compare import FOLDER
from accelsim.validation.papers.frames import compare_machine
from accelsim.validation.papers.machines import read_machines


@cache
def machines():
    return tuple(machine for machine in read_machines(FOLDER) if machine.key.startswith("nvdla/"))


@cache
def rows():
    net = acs.load_network("resnet50_v1")
    assert {machine.network for machine in machines()} == {net.name}
    return tuple(row for machine in machines() for row in compare_machine(machine, net))
