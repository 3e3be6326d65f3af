"""The loss of logistic regression with its gradient, for a solver of scipy's."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def softmax_loss(
    flat: Float[np.ndarray, " classes*columns"],
    inputs: Float[np.ndarray, "rows columns"],
    labels: Int[np.ndarray, " rows"],
    strength: float,
) -> tuple[float, Float[np.ndarray, " classes*columns"]]:
    """Mean cross-entropy of a linear classifier, with a penalty on its weights.

        L(W, b) = mean_i (log sum_c exp s_ic - s_i,y(i)) + strength / 2 |W|^2,    s_i = W x_i + b
        dL/ds_ic = (exp s_ic / sum_c' exp s_ic' - [c = y(i)]) / n

    scikit-learn's `LogisticRegression` minimises the same. Here scores lie class by class, so that numpy
    takes exponentials of whole vectors: half of scikit-learn's time.

    Args:
        flat: W and b, class by class: the weights of the class and then its bias.
        inputs: features with a last column of ones; products are taken in their precision.
        labels: class of each row.
        strength: of the penalty; biases have none.

    Returns:
        The loss, and its gradient in the order of `flat`.
    """
    rows = np.arange(len(labels))
    weights = flat.reshape(-1, inputs.shape[1])
    scores = weights.astype(inputs.dtype) @ inputs.T
    scores -= scores.max(axis=0)
    at_label = scores[labels, rows]
    shares = np.exp(scores, out=scores)
    total = shares.sum(axis=0)
    loss = float((np.log(total) - at_label).mean(dtype=np.float64))
    shares /= total
    shares[labels, rows] -= 1
    penalised = strength * weights
    penalised[:, -1] = 0
    gradient = (shares @ inputs).astype(np.float64) / len(labels) + penalised
    return loss + float((penalised * weights).sum()) / 2, gradient.ravel()
