"""Principal components, and what is built on them."""

from collections.abc import Mapping
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from methods import register
from methods.base import Method, Networks

ROUNDING = 1e-20  # of the greatest variance: of standard deviations, float64's rounding of a million pixels


@register("pca")
class PCA(Method):
    """Principal component analysis: the D directions in which images vary most, each scaled to unit variance.

    Reference: Higgins et al. 2017, table 1 ("PCA"); scikit-learn's randomised solver.
    """

    def build(self) -> dict[str, nn.Module]:
        pixels = prod(self.image_shape)
        return {"encoder": nn.Linear(pixels, self.latents), "decoder": nn.Linear(self.latents, pixels)}

    def objection(self) -> str:
        images, pixels = self.images, prod(self.image_shape)
        if not images or (self.latents < images and self.latents <= pixels):
            return super().objection()
        needs = f"more than {self.latents} images of {self.latents} pixels or more"
        return f"{self.name} finds {self.latents} components, which takes {needs}; the data have {images} of {pixels}."

    def fit(self, networks: Mapping[str, nn.Module], images: Tensor, seed: int) -> None:
        pixels = images.flatten(1).cpu().double().numpy()
        mean = pixels.mean(0)
        unmixing = self.unmix(pixels - mean, seed % 2**32)
        weights = {"encoder": (unmixing, -unmixing @ mean), "decoder": (np.linalg.pinv(unmixing), mean)}
        for name, (weight, bias) in weights.items():
            state = {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
            networks[name].load_state_dict(state)

    def unmix(self, pixels: np.ndarray, seed: int) -> np.ndarray:
        """The matrix (D, pixels) that takes centred images (N, pixels) to their codes.

        Raises:
            ValueError: the images vary in fewer directions than there are to be codes.
        """
        from sklearn import decomposition

        components = decomposition.PCA(self.latents, svd_solver="randomized", random_state=seed).fit(pixels)
        variances = components.explained_variance_
        varying = int((variances > ROUNDING * variances.max()).sum())
        if varying < self.latents:
            raise ValueError(
                f"the images vary in {varying} directions only; {self.name} finds {self.latents} components"
            )
        return components.components_ / np.sqrt(variances)[:, None]

    def encode(self, networks: Networks, images: Tensor) -> Tensor:
        """The components (B, D) in standard deviations."""
        return networks["encoder"](images.flatten(1))

    def decode(self, networks: Networks, codes: Tensor) -> Tensor:
        """The images (B, C, H, W) nearest to these codes, cut to [0, 1]."""
        return networks["decoder"](codes).view(-1, *self.image_shape).clamp(0, 1)
