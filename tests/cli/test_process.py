"""The installed command: streams, statuses, and what asking for help loads."""

import json
import os
import subprocess
import sys

import pytest

from accelsim.cli.main import COMMANDS
from tests.cli.conftest import SMALL

COMMAND = (sys.executable, "-m", "accelsim")
HEAVY = ("numpy", "numba", "polars", "pydantic", "onnx", "matplotlib", "ruamel", "networkx", "rich.console")


def accelsim(*argv, **environment):
    return subprocess.run(
        [*COMMAND, *argv], capture_output=True, text=True, env=os.environ | environment, timeout=120, check=False
    )


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from accelsim.cli.main import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(json.loads(done.stderr.replace("'", '"')))
    assert not loaded.intersection(HEAVY)
    for command in COMMANDS:
        assert command in done.stdout


def test_json_alone_on_standard_output():
    done = accelsim("simulate", "mobilenet_v3_small", *SMALL, "--source", "greedy", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["source"] == "greedy"
    assert done.stderr.startswith("warning: ")


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (("--version",), 0),
        (("simulate", "nothing"), 2),
        (("simulate", "resnet18", "--granularity", "word"), 2),
        (("simulate", "resnet18", "--target-fps", "1e9"), 3),
    ],
)
def test_statuses_reach_the_shell(argv, status):
    done = accelsim(*argv)
    assert done.returncode == status
    assert len((done.stdout + done.stderr).splitlines()) == 1


def test_processes_give_the_same_bytes():
    command = ("simulate", "efficientnet_b0", *SMALL, "--tile-attention", "2")
    first, second = (accelsim(*command, "--json", PYTHONHASHSEED=seed).stdout for seed in ("1", "2"))
    assert first == second
    plain, wide = accelsim(*command, COLUMNS="40"), accelsim(*command, FORCE_COLOR="1", NO_COLOR="")
    assert plain.stdout == wide.stdout


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_any_encoding_will_do(tmp_path, encoding):
    done = accelsim("simulate", str(tmp_path / "größe.onnx"), PYTHONIOENCODING=encoding)
    assert done.returncode == 2
    assert "no such file" in done.stderr


def _on_a_terminal(columns, argv, **environment):
    """What a command prints when it runs on a terminal that wide."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    env = plain | {"TERM": "xterm-256color"} | environment
    process = subprocess.Popen([*COMMAND, *argv], stdout=theirs, stderr=theirs, stdin=theirs, env=env)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    process.wait(timeout=60)
    return b"".join(parts).decode()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize("columns", [72, 140])
def test_a_terminal_gets_colour_and_its_width(columns):
    import re

    shown = _on_a_terminal(columns, ("inspect", "streaming-asic"))
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    longest = max(len(line) for line in plain.split("\r\n"))
    assert (80 if columns > 80 else 40) < longest <= columns
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", _on_a_terminal(columns, ("inspect", "streaming-asic"), NO_COLOR="1"))


@pytest.mark.parametrize("place", [0, 1, 99])
def test_quiet_says_what_matters_alone(tmp_path, place):
    argv = ["simulate", "mobilenet_v3_small", *SMALL, "--source", "greedy", "-o", str(tmp_path / "run")]
    said = accelsim(*argv)
    argv.insert(place, "--quiet")
    quiet = accelsim(*argv)
    assert "wrote" in said.stderr
    assert quiet.stderr == said.stderr.replace(f"wrote {tmp_path / 'run'}\n", "")
    assert quiet.stdout == said.stdout
    assert "warning: " in quiet.stderr


def test_quiet_shows_no_progress_on_terminals():
    argv = ("simulate", "mobilenet_v3_small", *SMALL, "--json")
    assert "simulating" in _on_a_terminal(100, argv)
    assert "simulating" not in _on_a_terminal(100, (*argv, "--quiet"))
