import json
from typing import NamedTuple

import pytest

from accelsim.cli.main import main

SMALL = ("--input-shape", "1,3,64,64")


class Outcome(NamedTuple):
    """How a command line ended, and what it said where."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def run(capsys):
    """Runs a command line in this process."""

    def run(*argv):
        capsys.readouterr()
        status = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


@pytest.fixture
def done(run):
    """The same for one that must succeed."""

    def done(*argv):
        outcome = run(*argv)
        assert outcome.status == 0, outcome.err
        return outcome

    return done
