"""Independent components."""

import numpy as np

from methods import register
from methods.pca import PCA


@register("ica")
class ICA(PCA):
    """Independent component analysis: the rotation of the D principal components that are least Gaussian.

    Reference: Higgins et al. 2017, table 1 ("ICA"); Hyvarinen and Oja 2000, FastICA, of scikit-learn.
    """

    def unmix(self, pixels: np.ndarray, seed: int) -> np.ndarray:
        from sklearn.decomposition import FastICA

        whitening = super().unmix(pixels, seed)
        rotation = FastICA(whiten=False, random_state=seed, max_iter=1000, tol=1e-4).fit(pixels @ whitening.T)
        return rotation.components_ @ whitening
