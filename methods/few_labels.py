"""What methods share that are told the factors of some images."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from methods.base import Batches, Independent, Labelled, Networks, Noise, Terms, hyperparameter
from methods.groupvae import one_latent_a_factor
from methods.vae import VAE

STUDY_BATCH = 64  # over which the study's code sums the labels' loss, where all else is a mean


def weight_of_labels() -> Any:
    """The hyperparameter by that name in the study."""
    meaning = f"weight of the labels' cross-entropy, times {STUDY_BATCH}"
    return hyperparameter(1.0, meaning, grid=(1, 2, 4, 6, 8, 16))


def number_of_labels(default: int = 100) -> Any:
    """The hyperparameter that says how many images have labels."""
    return hyperparameter(default, "images with labels; 0: all", grid=(100, 1000), structural=True)


class FewLabels(VAE):
    """A method built on the VAE that besides sees some images with the values of their factors.

    The first latents stand for the factors, one each in their order: the loss has `gamma_sup` times the cross-entropy
    of the sigmoid of a latent's posterior mean with its factor's value, v / n for the value v of n, summed over
    factors. In the study's code it is summed over a batch of 64 labelled images too, where everything else is a mean;
    here it is a mean, times 64.

    Reference: Locatello et al. 2020, "Disentangling factors of variation using few labels", eq. 2 and section 4.
    """

    def batches(self) -> Batches:
        beside = super().batches()
        assert isinstance(beside, Independent)
        return Labelled(self.structure["labels"], beside.number)

    def objection(self) -> str:
        return super().objection() or one_latent_a_factor(self.name, self.latents, len(self.factor_sizes))

    def loss(self, networks: Networks, batch: Tensor, noise: Noise, hyperparameters: Any, step: Tensor) -> Terms:
        unlabelled, labelled = parted(batch, noise)
        terms = super().loss(networks, unlabelled, noise, hyperparameters, step)
        of_labels = self.surprise_of_labels(self.posteriors(networks, labelled)[0], noise["labels"])
        return terms | {
            "loss": terms["loss"] + STUDY_BATCH * hyperparameters.gamma_sup * of_labels,
            "labels": of_labels,
        }

    def surprise_of_labels(self, means: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy in nats an image of the first K means (B, D), as logits, with the labels (B, K)."""
        wanted = torch.stack([labels[:, k] / size for k, size in enumerate(self.factor_sizes)], 1).to(means.dtype)
        each = binary_cross_entropy_with_logits(means[:, : labels.shape[1]], wanted, reduction="none")
        return each.sum(1).mean()


def parted(batch: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """The images without labels and those with them."""
    labelled = len(noise["labels"])
    return batch[:-labelled], batch[-labelled:]
