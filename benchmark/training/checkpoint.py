"""Where a training stands: enough to go on as if it had never stopped, in bytes that tell their own damage."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from benchmark.errors import DamagedError

VERSION = 1
DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Checkpoint:
    """One run's training after so many steps.

    Attributes:
        tensors: weights, optimiser states, random streams and running sums, by names of the harness's own.
        rows: the history so far.
        count: steps that the running sums hold.
        seconds: that the pack has trained so far.
        code: what tells the code of plugins that trained it; empty where there are none.
    """

    step: int
    tensors: Mapping[str, Tensor]
    rows: Sequence[Mapping[str, float]]
    count: int
    seconds: float
    code: str = ""

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with the prefix, without it."""
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}

    def to_bytes(self) -> bytes:
        """A safetensors file, then its SHA-256."""
        told = {
            "version": VERSION,
            "step": self.step,
            "rows": self.rows,
            "count": self.count,
            "seconds": self.seconds,
            "code": self.code,
        }
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.tensors.items()}
        content = save(tensors, {"training": json.dumps(told)})
        return content + hashlib.sha256(content).digest()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Checkpoint":
        """The checkpoint that `to_bytes` wrote; DamagedError where it is not whole or of another version."""
        content, digest = content[:-DIGEST], content[-DIGEST:]
        if hashlib.sha256(content).digest() != digest:
            raise DamagedError("the checkpoint's checksum does not match its content")
        try:
            told = json.loads(_metadata(content)["training"])
            if told.pop("version") != VERSION:
                raise DamagedError("the checkpoint is of another version of this program")
            return cls(tensors=load(content), **told)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"the checkpoint cannot be read ({error})") from error


def _metadata(content: bytes) -> dict[str, Any]:
    """The texts that stand beside the tensors in a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]
