"""Whether more rows would help, read off the scores at growing numbers of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from sk_dlsteps.plan import StepRecord
from sk_dlsteps.step4_validation.noise import paired_difference

# The law: score = a - b n**-c, the power law with a floor of Hestness et al. (2017) and of the survey of
# Viering & Loog (2022). Five sizes do not settle its exponent, so that all of these are kept, each weighted by
# how well it explains the mean scores. Hestness et al. saw 0.07 to 0.35, theory knows 0.5 and 1; small tables
# fall faster where a model has hardly more rows than coefficients.
EXPONENTS = tuple(np.geomspace(0.1, 2.0, 40).round(4).tolist())
# Twice the rows must take away this share of what is missing to the best score, or they hardly help:
# 1 - 2**-0.07, the flattest curve of Hestness et al.
LEAST_SHARE = 0.05
# Of the interval of the gain. On 672 curves (14 models, 80 to 3,200 rows; docs/benchmarks/more_rows.py) 95 % of
# the intervals held what really twice the rows brought: the noise over folds is estimated on the safe side.
LEVEL = 0.8
# A law with three unknowns asks for as many sizes.
MIN_SIZES = 3
# Scores that differ by less than this share of themselves differ by rounding.
_ROUNDING = 1e-6
# Points of each exponent's distribution of the gain.
_N_POINTS = 100


@dataclass(frozen=True)
class MoreRows:
    """What twice the rows would bring.

    Attributes
    ----------
    help : bool or None
        Whether they would; None if the scores cannot tell.
    gain : float
        Expected difference of the score; NaN if there are too few scores to say.
    interval : tuple of float
        80 % interval of the gain.
    because : str
        The same in words, in the scorer's units.
    record : StepRecord
        Step 4 in words.

    """

    help: bool | None
    gain: float
    interval: tuple[float, float]
    because: str
    record: StepRecord


def judge_more_rows(
    train_sizes: np.ndarray,
    test_scores: np.ndarray,
    *,
    score_name: str = "score",
    best: float | None = 1.0,
    test_share: float | None = None,
) -> MoreRows:
    """Continue a learning curve to twice its rows and judge the difference.

    Per fold and exponent c, the scores are regressed on the law score = a - b n**-c, sizes weighted by the
    inverse variance of their scores' distance from the largest size's, within folds. The gain is the mean over
    folds, its noise that over folds, times Birge's ratio where no exponent explains the scores to their noise.
    Exponents are averaged by their likelihood. As gains shrink, a last step that rose less than the law says, beyond
    noise, extends the interval to what the step promises. More rows help if
    the gain is positive beyond its interval and takes away `LEAST_SHARE` of what is missing to the best score.
    They hardly help if it is below that and the interval ends below twice that. Else the scores cannot tell.

    Parameters
    ----------
    train_sizes : ndarray of shape (n_sizes,)
        Rows trained on, rising.
    test_scores : ndarray of shape (n_sizes, n_folds)
        Higher is better; NaN where a fit failed.
    score_name : str, default="score"
        For the sentence.
    best : float or None, default=1.0
        The score of a perfect model; None if unknown: what is missing is then taken to be as large as the score.
    test_share : float, default=None
        Test rows of a fold by training rows of the largest size; 1/(n_folds - 1) by default, as in k folds.

    Returns
    -------
    more_rows : MoreRows
        The gain, its interval and the verdict.

    References
    ----------
    J. Hestness et al.: Deep Learning Scaling is Predictable, Empirically (2017). arXiv:1712.00409.

    R. T. Birge: The Calculation of Errors by the Method of Least Squares. Physical Review 40 (1932).

    T. Viering, M. Loog: The Shape of Learning Curves: a Review. IEEE TPAMI (2022).

    Examples
    --------
    >>> sizes = np.array([50, 100, 200, 400])
    >>> scores = 0.9 - 6 / sizes[:, None] + np.array([0.02, -0.01, -0.01])
    >>> judge_more_rows(sizes, scores, score_name="R2").because
    'twice the rows (800 for 400) would bring about +0.0075 R2 (0.0075 to 0.0075)'

    """
    sizes, scores, shortage = _usable(np.asarray(train_sizes, dtype=float), np.asarray(test_scores, dtype=float))
    if shortage:
        because = f"{shortage}, so that no law can be fitted"
        return MoreRows(None, np.nan, (np.nan, np.nan), because, _record(None, because, {}))
    share = 1 / (scores.shape[1] - 1) if test_share is None else test_share
    gain, low, high = _extrapolate(sizes, scores, share)
    last = float(scores[-1].mean())
    missing = abs(last) if best is None else max(best - last, 0.0)
    if best is not None:
        gain, low, high = (min(value, missing) for value in (gain, low, high))
    worth = LEAST_SHARE * missing
    verdict: bool | None = None
    if gain >= worth and low > 0:
        verdict = True
    elif (gain < worth and high < 2 * worth) or missing == 0:
        verdict = False
    because = _sentence(verdict, sizes[-1], (gain, low, high), score_name)
    if missing == 0:
        because = f"the {score_name} is as good as it can be already"
    evidence = {
        "score name": score_name,
        "validation": last,
        "gain by twice the rows": gain,
        f"{100 * LEVEL:g} % interval": (low, high),
        "worth from": worth,
        "scores": [
            {"rows": int(n), "validation": float(row.mean()), "standard deviation": float(row.std(ddof=1))}
            for n, row in zip(sizes, scores, strict=True)
        ],
    }
    return MoreRows(verdict, gain, (low, high), because, _record(verdict, because, evidence))


def _usable(sizes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """The folds that reach the largest size, the sizes at which all of those have scores; what is too few."""
    known = np.isfinite(scores)
    folds = known[-1]
    if folds.sum() < 2:
        have = "only one fold has" if folds.any() else "no fold has"
        return sizes, scores, f"{have} a score at {sizes[-1]:g} rows, and two are needed"
    complete = known[:, folds].all(1)
    if complete.sum() < MIN_SIZES:
        at = "one size" if complete.sum() == 1 else f"{complete.sum()} sizes"
        return sizes, scores, f"there are scores at {at} only, and {MIN_SIZES} are needed"
    return sizes[complete], scores[complete][:, folds], ""


def _extrapolate(sizes: np.ndarray, scores: np.ndarray, test_share: float) -> tuple[float, float, float]:
    """The gain by twice the rows, and the bounds of its interval."""
    n_sizes, n_folds = scores.shape
    exponents = np.asarray(EXPONENTS)
    rounding = max(_ROUNDING * float(np.abs(scores).max()), 1e-100) ** 2
    # Fewer rows never score more evenly: a small variance of few folds is luck.
    variance = (scores - scores[-1]).var(axis=1, ddof=1)
    variance[-1] = variance[-2]
    weights = 1 / np.maximum(np.maximum.accumulate(variance[::-1])[::-1], rounding)
    weights /= weights.sum()
    # Of each exponent the law, 0 at the largest size and 1 at twice that: its slope is the gain.
    laws = (1 - (sizes / sizes[-1]) ** -exponents[:, None]) / (1 - 2 ** -exponents[:, None])
    laws = laws - (laws @ weights)[:, None]
    centred = scores - weights @ scores
    slopes = (laws * weights) @ centred / (laws**2 @ weights)[:, None]
    gains = [paired_difference(row, np.zeros(n_folds), test_share) for row in slopes]
    mean, error = np.array([gain.mean for gain in gains]), np.array([gain.error for gain in gains])

    profile = centred.mean(axis=1)
    lack = (profile - mean[:, None] * laws) ** 2 @ weights
    noise = float(((centred - profile[:, None]) ** 2).sum(axis=1) @ weights) / ((n_sizes - 1) * (n_folds - 1))
    misfit = lack / (max(noise, rounding) * (1 / n_folds + test_share))
    likelihood = np.exp(-0.5 * (misfit - misfit.min()))
    likelihood /= likelihood.sum()
    # What the best of the laws leaves unexplained is noise as well, if there are more sizes than its three unknowns.
    if n_sizes > MIN_SIZES:
        error = error * np.sqrt(max(1.0, n_sizes * misfit.min() / (n_sizes - MIN_SIZES)))
    points = t.ppf((np.arange(_N_POINTS) + 0.5) / _N_POINTS, n_folds - 1)
    low, high = _quantiles(mean[:, None] + error[:, None] * points, likelihood)
    gain = float(likelihood @ mean)
    doublings = np.log2(sizes[-1] / sizes[-2])
    step = paired_difference(scores[-1] / doublings, scores[-2] / doublings, test_share)
    reach = step.error * t.ppf((1 + LEVEL) / 2, n_folds - 1)
    if step.mean + reach < gain:
        low = min(low, step.mean - reach)
    return gain, low, high


def _quantiles(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Bounds of the interval of a mixture, given points of each part and the parts' weights."""
    order = np.argsort(values, axis=None)
    reached = np.cumsum(np.repeat(weights / values.shape[1], values.shape[1])[order])
    bounds = np.searchsorted(reached, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    low, high = values.ravel()[order][np.minimum(bounds, values.size - 1)]
    return float(low), float(high)


def _sentence(verdict: bool | None, n_rows: float, gain: tuple[float, float, float], score_name: str) -> str:
    """The verdict in the scorer's units."""
    mean, low, high = gain
    scale = max((high - low) / 2, abs(mean) / 10)
    decimals = 3 if scale == 0 else min(max(0, int(-np.floor(np.log10(scale)))), 6)
    about, low_, high_ = (f"{round(value, decimals) + 0.0:.{decimals}f}" for value in gain)
    sign = "" if about.startswith("-") else "+"
    sentence = f"twice the rows ({2 * n_rows:g} for {n_rows:g}) would bring about {sign}{about} {score_name}"
    sentence += f" ({low_} to {high_})"
    if verdict is None:
        return f"{sentence}, which the folds are too few or too different to settle"
    return sentence if verdict else f"{sentence}, less than {100 * LEAST_SHARE:g} % of what is missing to the best"


def _record(verdict: bool | None, because: str, evidence: dict) -> StepRecord:
    """Step 4's record of the question."""
    decisions = {
        True: "more rows would help",
        False: "more rows would hardly help",
        None: "cannot tell whether more rows would help",
    }
    return StepRecord(4, "more data", decisions[verdict], because, evidence)
