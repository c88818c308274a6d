"""How much the best of several candidates owes to luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# Candidates farther behind the best than so many standard errors take no part in the luck.
_REACH = 8.0
# So far beyond the best reach the values, or its own would seem to be the highest there are.
_BEYOND = 3.0
# Values that the scores apart from luck may have, and rounds of the fit of their shares.
_N_VALUES, _N_ROUNDS = 89, 100
# Of the largest score, differences that are rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Optimism:
    """By how much the mean score of the candidate that was taken is too high.

    Attributes
    ----------
    value : float
        Never negative; 0 for a single candidate or a single split.
    error : float
        How far the value may be off: the standard error that a candidate has of its own.

    """

    value: float
    error: float

    @classmethod
    def of(cls, scores: np.ndarray, best: int) -> Optimism:
        """Estimate it from the folds' scores.

        The best of many candidates is partly the luckiest. Two estimates see that in different ways, and the larger
        counts: what `selected_scores` says, and the `shrunken` mean score.

        Parameters
        ----------
        scores : ndarray of shape (n_candidates, n_splits)
            Higher is better, without NaN.
        best : int
            The candidate that was taken.

        Examples
        --------
        >>> import numpy as np
        >>> lucky = np.random.default_rng(0).normal(size=(30, 5))
        >>> best = lucky.mean(1).argmax()
        >>> bool(0.5 < Optimism.of(lucky, best).value / lucky.mean(1).max() < 1.5)
        True
        >>> lucky[best] += 5
        >>> Optimism.of(lucky, best).value < 0.01
        True

        """
        if min(scores.shape) < 2:
            return cls(0.0, 0.0)
        fair = min(float(selected_scores(scores).mean()), shrunken(scores, best))
        value = float(scores[best].mean()) - fair
        # Less than this is rounding.
        least = _ROUNDING * float(np.abs(scores).max())
        return cls(value if value > least else 0.0, own_error(scores))

    @classmethod
    def of_search(cls, results: Mapping[str, Any], scores: np.ndarray, best: int, resource: str) -> Optimism:
        """Estimate it from the results of a search, by halving too.

        Who survives a round of halving is the luckiest of that round in part, and takes its luck along, in so far as
        later rounds score on the same rows: on all of them, or on more, of which they are a share. The round that
        says most counts.

        Parameters
        ----------
        results : dict
            The `cv_results_`.
        scores : ndarray of shape (n_candidates, n_splits)
            Of the results; rows with NaN are left out.
        best : int
            The row that was taken.
        resource : str
            What rounds of halving differ in.

        Examples
        --------
        >>> scores = np.random.default_rng(0).normal(size=(4, 5))
        >>> results = {"params": [{"C": 1}, {"C": 2}, {"C": 3}, {"C": 2}], "iter": [0, 0, 0, 1], "n_resources": [1] * 4}
        >>> Optimism.of_search(results, scores, 3, "max_iter") == Optimism.of(scores[:3], 1)
        True

        """
        known = np.isfinite(scores).all(1)
        rounds = np.asarray(results.get("iter", np.zeros(len(scores), dtype=int)))
        shares_rows = resource == "n_samples"
        names = [_candidate(params, resource) for params in results["params"]] if rounds.any() else [""] * len(scores)
        found = [cls(0.0, 0.0)]
        for number in np.unique(rounds[rounds <= rounds[best]]):
            rows = np.flatnonzero((rounds == number) & known).tolist()
            own = [row for row in rows if row == best or (number < rounds[best] and names[row] == names[best])]
            if own:
                luck = cls.of(scores[rows], rows.index(own[0]))
                share = results["n_resources"][own[0]] / results["n_resources"][best] if shares_rows else 1.0
                found.append(cls(luck.value * share, luck.error * share))
        return max(found, key=lambda luck: (luck.value, luck.error))


def _candidate(params: Mapping[str, Any], resource: str) -> str:
    """The parameters of a candidate without the resource, in a form that can be compared."""
    return repr(sorted((name, repr(value)) for name, value in params.items() if name != resource))


def selected_scores(scores: np.ndarray) -> np.ndarray:
    """Score each fold by the candidate that was the best on the other folds.

    A fold that had no say in the choice knows nothing of its luck, so that the mean is unbiased, but noisy.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_splits)
        Higher is better, without NaN; two splits or more.

    Returns
    -------
    selected : ndarray of shape (n_splits,)

    References
    ----------
    M. Stone: Cross-validatory choice and assessment of statistical predictions. Journal of the Royal
    Statistical Society B 36 (1974), 111-147.

    Examples
    --------
    >>> import numpy as np
    >>> selected_scores(np.array([[0.9, 0.7, 0.8], [0.8, 0.8, 0.7]])).tolist()
    [0.9, 0.7, 0.8]

    """
    chosen = (scores.sum(1, keepdims=True) - scores).argmax(0)
    return scores[chosen, np.arange(scores.shape[1])]


def shrunken(scores: np.ndarray, best: int) -> float:
    """Expect the score of a candidate, given those of all: the empirical Bayes estimate.

    What candidates are worth has a distribution, the one that makes their mean scores likeliest. Of the noise
    counts what is left when folds and candidates have had their means subtracted: a fold that is hard for all
    favours none.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_splits)
        Higher is better, without NaN; two of each or more.
    best : int
        The candidate that was taken.

    References
    ----------
    J. Kiefer, J. Wolfowitz: Consistency of the maximum likelihood estimator in the presence of infinitely many
    incidental parameters. Annals of Mathematical Statistics 27 (1956), 887-906. B. Efron: Tweedie's formula and
    selection bias. Journal of the American Statistical Association 106 (2011), 1602-1614.

    """
    means = scores.mean(1)
    error = own_error(scores)
    if not error > 1e-9 * np.abs(means).max():
        return float(means[best])
    standard = np.maximum((means - means[best]) / error, -_REACH)
    values = np.linspace(standard.min(), standard.max() + _BEYOND, _N_VALUES)
    likelihood = np.exp(-0.5 * (standard[:, None] - values) ** 2) + 1e-300
    shares = np.full(_N_VALUES, 1 / _N_VALUES)
    for _ in range(_N_ROUNDS):
        posterior = likelihood * shares
        shares = (posterior / posterior.sum(1, keepdims=True)).mean(0)
    posterior = likelihood[best] * shares
    return float(means[best] + error * (posterior @ values) / posterior.sum())


def own_error(scores: np.ndarray) -> float:
    """Standard error of the mean scores, without what a fold does to all candidates; of the better half of them.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_splits)
        Without NaN; two of each or more.

    """
    means = scores.mean(1)
    contenders = scores[means >= np.median(means)] if len(scores) > 3 else scores
    if len(contenders) < 2:
        contenders = scores
    rest = contenders - contenders.mean(1, keepdims=True) - contenders.mean(0) + contenders.mean()
    n, k = contenders.shape
    return float(np.sqrt((rest**2).sum() / ((n - 1) * (k - 1) * k)))
