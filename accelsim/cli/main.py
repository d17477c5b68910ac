"""The command line: its commands, and how every way of failing ends."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from accelsim.cli.advise import advise_command
from accelsim.cli.attention import attention_command
from accelsim.cli.compare import compare_command
from accelsim.cli.execute import accuracy_command, execute_command
from accelsim.cli.inspect import inspect_command
from accelsim.cli.map import map_command
from accelsim.cli.plot import plot_command
from accelsim.cli.report import report_command
from accelsim.cli.schema import schema_command
from accelsim.cli.simulate import simulate_command
from accelsim.cli.size import size_command
from accelsim.cli.sweep import sweep_command
from accelsim.cli.validate import validate_command
from accelsim.errors import AccelsimError, DeadlockError, InfeasibleError, NotModelled

#: Base of all errors of usage, whether typer brings its own click or not.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

#: What stands before the message of an error, by its class; the first that fits.
PREFIXES: tuple[tuple[type[AccelsimError], str], ...] = (
    (DeadlockError, ""),
    (InfeasibleError, "infeasible: "),
    (NotModelled, "not modelled: "),
    (AccelsimError, ""),
)

#: Flags that every command takes.
FLAGS = ("--quiet", "--debug")

app = typer.Typer(
    name="accelsim",
    help="Simulates dataflow (pipelined, streaming) neural-network accelerators.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "simulate": simulate_command,
    "compare": compare_command,
    "inspect": inspect_command,
    "map": map_command,
    "size": size_command,
    "advise": advise_command,
    "sweep": sweep_command,
    "attention": attention_command,
    "plot": plot_command,
    "report": report_command,
    "validate": validate_command,
    "schema": schema_command,
    "execute": execute_command,
    "accuracy": accuracy_command,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"accelsim {version('accelsim')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="print the version")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="print the traceback of an internal error")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="say nothing but results, warnings and errors")] = False,
) -> None:
    from accelsim.cli.console import be_quiet

    be_quiet(quiet)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit status: 0 done, 1 our bug, 2 bad input, 3 infeasible or deadlock."""
    arguments = _flags_first(sys.argv[1:] if argv is None else argv)
    _make_streams_safe()
    try:
        status = app(args=arguments, prog_name="accelsim", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_output()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return _failed(error, debug="--debug" in arguments)
    return status if isinstance(status, int) else 0


def _flags_first(arguments: Sequence[str]) -> list[str]:
    """The same with flags of all commands in front of the command, wherever they were put."""
    return sorted(arguments, key=lambda argument: argument not in FLAGS)


def _failed(error: Exception, debug: bool) -> int:
    """Says in one line a problem what went wrong; the exit status."""
    from accelsim.cli.console import fail

    if isinstance(error, UsageError):
        fail(_usage_text(error))
        return 2
    if isinstance(error, AccelsimError):
        fail(_prefixed(error))
        return error.exit_status
    if isinstance(error, OSError) and error.strerror is not None:
        fail(f"{error.filename or 'output'}: {error.strerror}")
        return 2
    if isinstance(error, MemoryError):
        fail("infeasible: this computer has not the memory for it; use granularity row, or a smaller input")
        return 3
    if debug:
        traceback.print_exception(error)
    first = (str(error).splitlines() or [""])[0]
    fail(
        f"internal error: {type(error).__name__}: {first}; please report it with this command"
        + ("" if debug else " (accelsim --debug ... shows where)")
    )
    return 1


def _prefixed(error: AccelsimError) -> str:
    prefix = next(text for kind, text in PREFIXES if isinstance(error, kind))
    message = str(error)
    return message if message.startswith(prefix) else prefix + message


def _usage_text(error: Exception) -> str:
    """What is wrong with the arguments, and where help is."""
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", None) or "accelsim"
    text = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    if type(error).__name__ == "NoArgsIsHelpError":
        return f"{command}: a command is needed; see {command} --help"
    return f"{text.rstrip('.')}; see {command} --help"


def _make_streams_safe() -> None:
    """A closed stream, or a name that a terminal's encoding does not have, must not end in an error of its own."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - as below
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _abandon_output() -> None:
    """Whoever read our output has gone: nothing more can be said there, not even at exit."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - open until the process ends


if __name__ == "__main__":
    sys.exit(main())
