"""Whether the best value of a search stands at the edge of its space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rv_discrete

from sk_dlsteps.diagnosis.finding import Finding, uncertainty
from sk_dlsteps.diagnosis.subject import NotLooked, Subject
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
    """The numbers that a parameter could take; of an end at infinity, the last value that was tried stands for it."""

    low: float
    high: float
    inner_low: float
    inner_high: float
    endless: tuple[str, ...] = ()

    def side(self, value: float) -> str | None:
        """At which end a value stands, if at any."""
        return "lower" if value < self.inner_low else "upper" if value > self.inner_high else None

    def with_ends(self, tried: np.ndarray) -> _Range:
        """The same with finite ends."""
        endless = tuple(
            side for side, end in (("lower", self.low), ("upper", self.high)) if not np.isfinite(end) and len(tried)
        )
        low = float(tried.min()) if "lower" in endless else self.low
        high = float(tried.max()) if "upper" in endless else self.high
        return _Range(low, high, self.inner_low, self.inner_high, endless)


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
    results = _Results.of(search)
    for name, value in search.best_params_.items():
        own = name.rpartition("__")[2]
        numbers = _range(_space(search, name, subject))
        if numbers is None or own in UNORDERED or not _is_number(value):
            continue
        numbers = numbers.with_ends(results.values(name))
        side = numbers.side(float(value))
        if side is None or _is_natural(own, side, numbers):
            continue
        ahead = results.over_the_inside(name, numbers)
        if ahead is None or not ahead.exceeds(ERRORS):
            continue
        end = numbers.low if side == "lower" else numbers.high
        at = f"stands at the {side} end of its space, {end:.3g}"
        if side in numbers.endless:
            at = f"stands in the {side} tenth of its distribution, where values as far as {end:.3g} were tried"
        yield Finding(
            3 if own in SEARCHED[3] and own not in SEARCHED[4] else 4,
            "best_at_edge",
            f"the best `{name}`, {value:.3g}, {at}, and scores {ahead} better than the best inside",
            f"search further {'down' if side == 'lower' else 'up'}: `{name}` {'below' if side == 'lower' else 'above'} "
            f"{end:.3g}",
            {
                "parameter": name,
                "value": float(value),
                "side": side,
                "space": (numbers.low, numbers.high),
                "ahead of the inside": ahead.mean,
                **uncertainty(ahead),
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
        return _of_scipy(space)
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


def _of_scipy(space: Any) -> _Range | None:
    """The range of a distribution of scipy's; of whole numbers the first and the last are an edge as in a list."""
    low, high = (float(end) for end in space.support())
    inner_low, inner_high = float(space.ppf(OUTER)), float(space.ppf(1 - OUTER))
    if isinstance(getattr(space, "dist", None), rv_discrete):
        if high - low < _FEWEST - 1:
            return None
        inner_low, inner_high = max(inner_low, low + 1), min(inner_high, high - 1)
    return _Range(low, high, inner_low, inner_high)


def _is_number(value: Any) -> bool:
    """Whether a value is one number and no truth value."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool | np.bool_)


def _is_natural(name: str, side: str, numbers: _Range) -> bool:
    """Whether there is nothing beyond the end."""
    if side == "lower":
        return name in LOWEST and numbers.low <= LOWEST[name]
    return name in HIGHEST and numbers.high >= HIGHEST[name]


@dataclass(frozen=True)
class _Results:
    """The candidates of a search, and their scores in the metric that chose the best."""

    params: list[dict[str, Any]]
    means: np.ndarray
    scores: np.ndarray
    rounds: np.ndarray
    best: int

    @classmethod
    def of(cls, search: Any) -> _Results:
        """Read a search; `NotLooked` if it is not known which of several scores chose the best."""
        results = search.cv_results_
        metric = search.refit if isinstance(search.refit, str) else "score"
        if f"mean_test_{metric}" not in results:
            raise NotLooked("there are several scores, and a function `refit` chose among them; set `refit` to a name")
        params = list(results["params"])
        folds = [key for key in results if key.startswith("split") and key.endswith(f"_test_{metric}")]
        rounds = np.asarray(results["iter"]) if "iter" in results else np.zeros(len(params), dtype=int)
        means = np.array(results[f"mean_test_{metric}"], dtype=float)
        scores = np.array([results[key] for key in folds], dtype=float)
        return cls(params, means, scores, rounds, int(search.best_index_))

    def values(self, name: str) -> np.ndarray:
        """The numbers that were tried of a parameter."""
        return np.array([own[name] for own in self.params if _is_number(own.get(name))], dtype=float)

    def over_the_inside(self, name: str, numbers: _Range) -> Difference | None:
        """The best candidate's scores over those of the best one whose value is inside; None if there is none.

        Of a search by halving, in the last round in which both were: other rounds had other resources.
        """
        values = np.array([own[name] if _is_number(own.get(name)) else np.nan for own in self.params], dtype=float)
        inside = (values >= numbers.inner_low) & (values <= numbers.inner_high) & np.isfinite(self.means)
        winner = np.array([str(own) == str(self.params[self.best]) for own in self.params])
        winner &= self.rounds <= self.rounds[self.best]
        shared = np.intersect1d(self.rounds[winner], self.rounds[inside])
        if not len(shared):
            return None
        own_round = self.rounds == shared[-1]
        chosen = self.best if own_round[self.best] else int(np.flatnonzero(winner & own_round)[0])
        rivals = np.flatnonzero(inside & own_round)
        best = int(rivals[self.means[rivals].argmax()])
        k = len(self.scores)
        return paired_difference(self.scores[:, chosen], self.scores[:, best], 1 / (k - 1) if k > 1 else 0.0)
