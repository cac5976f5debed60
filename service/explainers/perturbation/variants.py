"""The definitions of the family, in the order of the catalogue; the first is the default."""

from __future__ import annotations

from service.explainers.perturbation.hsic import hsic
from service.explainers.perturbation.kernelshap import kernelshap
from service.explainers.perturbation.lime import lime
from service.explainers.perturbation.partitionshap import partitionshap
from service.explainers.perturbation.rise import rise
from service.explainers.perturbation.sampling import PerturbationVariant
from service.explainers.perturbation.sobol import sobol

VARIANTS: tuple[PerturbationVariant, ...] = (
    rise,
    kernelshap,
    partitionshap,
    lime,
    sobol,
    hsic,
)
