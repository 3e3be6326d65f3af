"""Linear probes, one kind a file. A new kind is a file, a line here and a name in the settings.

Each kind minimises a mean loss over the n images plus a penalty on the weights,

    mean_i loss(x_i, y_i) + strength / 2 |w|^2,        strength = lambda = 1 / (C n) in scikit-learn's terms

(ridge: without the half), for a path of strengths from the strongest to the weakest. The best accuracy on
validation images decides, and of equals the stronger penalty.
"""

from __future__ import annotations

from eqssl.config.evaluation import Classifier
from eqssl.evaluation.classifiers import logistic, ridge, svm
from eqssl.evaluation.classifiers.base import Choose

CLASSIFIERS: dict[Classifier, Choose] = {
    "logistic": logistic.choose,
    "ridge": ridge.choose,
    "svm": svm.choose,
}
