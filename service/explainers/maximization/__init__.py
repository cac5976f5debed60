"""Filter and class maximization: the images that excite a part of the network most, made by gradient ascent."""

from service.explainers.maximization.display import displayed
from service.explainers.maximization.method import Maximization
from service.explainers.maximization.params import MaximizationParams

__all__ = ["Maximization", "MaximizationParams", "displayed"]
