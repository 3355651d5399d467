"""How a check of code that is tried goes: it passes, fails or does not apply, and says why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmark.errors import BROKEN, UsageError, describe, one_line


@dataclass(frozen=True)
class Result:
    """How one check went; `reason` is one sentence or a figure, and may be empty."""

    check: str
    state: Literal["passed", "failed", "skipped"]
    reason: str = ""


class Skip(Exception):  # noqa: N818 -- no error
    """The check does not apply; the message says why."""


def attempt(name: str, check: Callable[[], str | None], *spared: type[BaseException]) -> Result:
    """How a check goes that returns what to tell, raises Skip, or fails an assertion whose message is the reason.

    Args:
        spared: what is raised as it is; whatever else another's code raises is a failure.
    """
    try:
        return Result(name, "passed", one_line(check() or ""))
    except Skip as reason:
        return Result(name, "skipped", one_line(str(reason)))
    except spared:
        raise
    except (AssertionError, UsageError) as error:
        return Result(name, "failed", one_line(str(error)) or f"it raises {describe(error)}")
    except BROKEN as error:
        return Result(name, "failed", f"it raises {describe(error)}")
