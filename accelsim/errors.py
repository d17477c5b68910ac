"""Every fault a user can cause, and the exit status it ends with."""

from __future__ import annotations

from collections.abc import Sequence


class AccelsimError(Exception):
    """Base of all errors that are the user's to mend; `exit_status` is what the command line returns."""

    exit_status = 2


class InputError(AccelsimError):
    """A file, option or argument that cannot be used as given."""


class UnsupportedError(InputError):
    """A network uses operators that cannot be read; `problems` names every one of them."""

    def __init__(self, place: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        noun = "operator" if len(self.problems) == 1 else "operators"
        super().__init__(f"{place}: {len(self.problems)} unsupported {noun}: " + "; ".join(self.problems))


class NotModelled(AccelsimError):
    """A figure was asked for that no part of the model computes."""


class NotTimed(NotModelled):
    """It goes through without standing still for ever, but when is nothing that this granularity tells."""


class InfeasibleError(AccelsimError):
    """The machine cannot hold or run the network: demand, limit, gap and cure are in the message."""

    exit_status = 3


class DeadlockError(InfeasibleError):
    """The pipeline stops with work outstanding; the message is its cycle of waits."""


def collected(problems: Sequence[str]) -> InputError:
    """One error that carries all `problems`, a line each."""
    return InputError("\n".join(problems))
