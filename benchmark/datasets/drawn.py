"""Images with a drawn part: a colour, noise, a background or an instance that is no factor.

All randomness of an image follows from one whole number, by arithmetic on integers, so that it is the same on every
device and costs no state.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from benchmark.datasets.base import FactorDataset, Indices

DRAWS = 2**31 - 1  # of an image, beside the one that follows from its index
_MASK = 0xFFFFFFFF


class DrawnDataset(FactorDataset):
    """Images of which a part is drawn: anew whenever a generator is given, else by the index.

    A place is an index with the number of a draw, index + images * draw: what training passes around.
    """

    drawn = True

    @abstractmethod
    def compose(self, indices: Tensor, keys: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] at the indices (B,); what is drawn follows from keys (B,)."""

    def images(self, indices: Indices, generator: torch.Generator | None = None) -> Tensor:
        """Images at the indices (B,), their drawn parts by the generator (on the CPU), or by the index without one."""
        checked = self._on_device(indices)
        return self.at(checked if generator is None else self.draw(checked, generator))

    def draw(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        draws = torch.randint(1, DRAWS + 1, indices.shape, generator=generator)
        return indices + len(self) * draws.to(indices.device)

    def at(self, places: Tensor) -> Tensor:
        places = places.to(self.device)
        return self.compose(places % len(self), keys_of(places))


def keys_of(places: Tensor) -> Tensor:
    """A key (B,), int64 in 0 .. 2^32 - 1, for each place: both halves of its number, mixed."""
    return _mixed(_mixed(places & _MASK) ^ (places >> 32))


def random_bytes(keys: Tensor, count: int, purpose: int = 0) -> Tensor:
    """Uniform bytes, uint8 (B, count), that follow from each key and the purpose (below 128) alone.

    Four bytes at a time are a counter and the key, mixed by multiplications and shifts.
    """
    words = torch.arange(-(-count // 4), device=keys.device, dtype=torch.int32) + (purpose << 24)
    mixed = _mix32(_mix32(words)[None] ^ _as_int32(keys)[:, None])  # both are mixed before they meet, and once after
    return mixed.view(torch.uint8)[:, :count]


def random_below(keys: Tensor, bounds: int, purpose: int) -> Tensor:
    """A uniform whole number (B,), int64 in 0 .. bounds - 1, for each key."""
    words = random_bytes(keys, 4, purpose).long()
    number = words[:, 0] | words[:, 1] << 8 | words[:, 2] << 16 | words[:, 3] << 24
    return number * bounds >> 32


def _as_int32(keys: Tensor) -> Tensor:
    return (keys - ((keys >> 31) << 32)).int()


def _mixed(values: Tensor) -> Tensor:
    """A permutation of 0 .. 2^32 - 1 that spreads each bit over all, in int64."""
    values = (values ^ (values >> 16)) * 0x7FEB352D & _MASK
    values = (values ^ (values >> 15)) * 0x846CA68B & _MASK
    return values ^ (values >> 16)


def _mix32(values: Tensor) -> Tensor:
    """The same in int32 and in place, which is four times as fast; gives the values themselves.

    Shifts bring the sign along, which is masked, and products drop what is beyond 32 bits.
    """
    shifted = torch.empty_like(values)
    for shift, kept, factor in ((16, 0xFFFF, 0x7FEB352D), (15, 0x1FFFF, 0x846CA68B - 2**32)):
        torch.bitwise_right_shift(values, shift, out=shifted)
        values.bitwise_xor_(shifted.bitwise_and_(kept)).mul_(factor)
    torch.bitwise_right_shift(values, 16, out=shifted)
    return values.bitwise_xor_(shifted.bitwise_and_(0xFFFF))
