"""Whether the best value of a search stands at the edge of its space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sk_dlsteps.diagnosis.finding import Finding
from sk_dlsteps.diagnosis.subject import Subject
from sk_dlsteps.step4_validation.noise import Difference, paired_difference
from sk_dlsteps.step4_validation.spaces import SEARCHED, Dropout, LogUniform, LogUniformInteger, distributions

# The part of a distribution, on either side, that counts as its edge.
OUTER = 0.1
# Standard errors by which it must be better than the best inside.
ERRORS = 2.0
# Ends beyond which there is nothing to try.
LOWEST = {"dropout": 0, "weight_decay": 0, "n_hidden_layers": 1, "n_estimators": 1, "momentum": 0, "batch_size": 1}
HIGHEST = {"momentum": 1, "dropout": 1}
# Numbers that have no order.
UNORDERED = {"random_state"}
# Values of a list that have a middle.
_FEWEST = 3


@dataclass(frozen=True)
class _Range:
    """The numbers that a parameter could take."""

    low: float
    high: float
    inner_low: float
    inner_high: float

    def side(self, value: float) -> str | None:
        """At which end a value stands, if at any."""
        return "lower" if value < self.inner_low else "upper" if value > self.inner_high else None


def look_at_edges(subject: Subject) -> Iterator[Finding]:
    """Find best values at the edge of their space that are clearly better than those inside.

    Parameters
    ----------
    subject : Subject
        Its rows are not looked at.

    Yields
    ------
    finding : Finding
        best_at_edge, one for each parameter.

    """
    search = subject.fitted.search
    if search is None:
        return
    for name, value in search.best_params_.items():
        own = name.rpartition("__")[2]
        numbers = _range(_space(search, name, subject))
        if numbers is None or own in UNORDERED or not _is_number(value):
            continue
        side = numbers.side(float(value))
        if side is None or _is_natural(own, side, numbers):
            continue
        ahead = _over_the_inside(search, name, numbers)
        if ahead is None or not ahead.exceeds(ERRORS):
            continue
        end = numbers.low if side == "lower" else numbers.high
        yield Finding(
            3 if own in SEARCHED[3] and own not in SEARCHED[4] else 4,
            "best_at_edge",
            f"the best `{name}`, {value:.3g}, stands at the {side} end of its space, {end:.3g}, and scores {ahead} "
            "better than the best inside",
            f"search further {'down' if side == 'lower' else 'up'}: `{name}` {'below' if side == 'lower' else 'above'} "
            f"{end:.3g}",
            {
                "parameter": name,
                "value": float(value),
                "side": side,
                "space": (numbers.low, numbers.high),
                "ahead of the inside": ahead.mean,
                "standard error": ahead.error,
            },
            severity=1,
        )


def _space(search: Any, name: str, subject: Subject) -> Any:
    """The values or the distribution of a parameter; None if they are not known."""
    for attribute in ("param_grid", "param_distributions"):
        space = getattr(search, attribute, None)
        for own in space if isinstance(space, Sequence) else [space]:
            if isinstance(own, Mapping) and name in own:
                return own[name]
    if getattr(search, "param_distributions", False) is None:
        own = name.rpartition("__")[2]
        known = distributions((*SEARCHED[3], *SEARCHED[4]), subject.parameters["optimizer"])
        return known.get(own) if search.strategy == "random" else None
    return None


def _range(space: Any) -> _Range | None:
    """The range of numbers in a space; None where there is no order, or no middle."""
    if hasattr(space, "support") and hasattr(space, "ppf"):
        low, high = (float(end) for end in space.support())
        return _Range(low, high, float(space.ppf(OUTER)), float(space.ppf(1 - OUTER)))
    if isinstance(space, LogUniform | LogUniformInteger):
        step = (space.high / space.low) ** OUTER
        return _Range(space.low, space.high, space.low * step, space.high / step)
    if isinstance(space, Dropout):
        reach = (space.high - space.low) * OUTER
        return _Range(space.low, space.high, space.low + reach, space.high - reach)
    if isinstance(space, Sequence | np.ndarray) and not isinstance(space, str) and all(map(_is_number, space)):
        values = sorted(set(map(float, space)))
        if len(values) >= _FEWEST:
            return _Range(values[0], values[-1], values[1], values[-2])
    return None


def _is_number(value: Any) -> bool:
    """Whether a value is one number and no truth value."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool | np.bool_)


def _is_natural(name: str, side: str, numbers: _Range) -> bool:
    """Whether there is nothing beyond the end."""
    if side == "lower":
        return name in LOWEST and numbers.low <= LOWEST[name]
    return name in HIGHEST and numbers.high >= HIGHEST[name]


def _over_the_inside(search: Any, name: str, numbers: _Range) -> Difference | None:
    """The best candidate's scores over those of the best one whose value is inside; None if there is none."""
    results = search.cv_results_
    metric = search.refit if isinstance(search.refit, str) else "score"
    if f"mean_test_{metric}" not in results:
        return None
    values = np.array(
        [params.get(name, np.nan) if _is_number(params.get(name)) else np.nan for params in results["params"]]
    )
    means = np.array(results[f"mean_test_{metric}"], dtype=float)
    folds = [key for key in results if key.startswith("split") and key.endswith(f"_test_{metric}")]
    scores = np.array([results[key] for key in folds], dtype=float)
    inside = (values >= numbers.inner_low) & (values <= numbers.inner_high) & np.isfinite(means)
    if not inside.any():
        return None
    best = int(np.flatnonzero(inside)[means[inside].argmax()])
    ratio = 1 / (len(folds) - 1) if len(folds) > 1 else 0.0
    return paired_difference(scores[:, search.best_index_], scores[:, best], ratio)
