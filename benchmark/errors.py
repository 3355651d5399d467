"""Mistakes that a user can mend, each told in one sentence."""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """The request cannot be carried out; the message is one sentence for the user."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Say that `name` is no `kind`, and which known name is nearest to it."""
    names = sorted(known)
    nearest = get_close_matches(name, names, n=1, cutoff=0.5)
    advice = f"did you mean {nearest[0]!r}?" if nearest else f"choose from {', '.join(names)}."
    return UsageError(f"unknown {kind} {name!r}; {advice}")


class DamagedError(RuntimeError):
    """A stored file is not what was written."""
