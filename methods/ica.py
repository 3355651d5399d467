"""Independent components."""

import warnings

import numpy as np

from methods import register
from methods.pca import PCA


@register("ica")
class ICA(PCA):
    """Independent component analysis: the rotation of the D principal components that are least Gaussian.

    FastICA need not settle on one rotation, and on dSprites does not: the one after 1,000 iterations is taken.

    Reference: Higgins et al. 2017, table 1 ("ICA"); Hyvarinen and Oja 2000, FastICA, of scikit-learn.
    """

    def unmix(self, pixels: np.ndarray, seed: int) -> np.ndarray:
        from sklearn.decomposition import FastICA
        from sklearn.exceptions import ConvergenceWarning

        whitening = super().unmix(pixels, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # see above: it is part of the definition
            rotation = FastICA(whiten=False, random_state=seed, max_iter=1000, tol=1e-4).fit(pixels @ whitening.T)
        return rotation.components_ @ whitening
