"""Mistakes that a user can mend, each told in one sentence."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

LONGEST = 2_000  # characters of a message
BROKEN = (Exception, SystemExit)  # what another's code may raise: where it calls sys.exit it fails like any other


class UsageError(ValueError):
    """The request cannot be carried out; the message is one sentence for the user."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Say that `name` is no `kind`, and which known name is nearest to it."""
    names = sorted(known)
    nearest = get_close_matches(name, names, n=1, cutoff=0.5)
    advice = f"did you mean {nearest[0]!r}?" if nearest else f"choose from {', '.join(names)}."
    return UsageError(f"unknown {kind} {name!r}; {advice}")


def one_line(text: str) -> str:
    """The text on one line that every terminal can show: what is not printable escaped, a very long one cut."""
    shown = text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]} ... {shown[-LONGEST // 2 :]}"


def describe(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    return one_line(f"{type(error).__name__}: {error}".splitlines()[0])


def reason_of(error: Exception) -> str:
    """What the system, or else the error, says of itself."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__


@contextmanager
def blaming(what: str, *spared: type[BaseException]) -> Iterator[None]:
    """Tell in one sentence, which begins with `what`, whatever another's code raises in the block.

    Args:
        spared: what is raised as it is, beside sentences for the user.
    """
    try:
        yield
    except BROKEN as error:
        if isinstance(error, (UsageError, *spared)):
            raise
        raise UsageError(one_line(f"{what} ({describe(error)}).")) from error


class DamagedError(RuntimeError):
    """A stored file is not what was written."""
