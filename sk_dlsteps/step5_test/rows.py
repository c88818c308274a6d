"""The rows of a test set: checked, predicted and scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from sk_dlsteps.fitted import Fitted
from sk_dlsteps.inputs.arrays import as_numpy
from sk_dlsteps.inputs.weights import check_weight, weights_differ
from sk_dlsteps.step4_validation.scores import row_errors
from sk_dlsteps.step5_test.bootstrap import RowLosses, Units
from sk_dlsteps.step5_test.metric import Metric
from sk_dlsteps.step5_test.targets import check_known

# Numbers of single networks that are held at once.
_CHUNK = 2**19


@dataclass(frozen=True)
class Rows:
    """A test set that has been checked.

    Attributes
    ----------
    X : array-like of shape (n_rows, n_features)
        Inputs, as they were given.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Targets.
    weight : ndarray of shape (n_rows,) or None
        What each row counts; None if all count the same.
    units : Units
        What is drawn together.

    """

    X: Any
    y: np.ndarray
    weight: np.ndarray | None
    units: Units

    @classmethod
    def of(cls, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Rows:
        """Check a test set; rows of weight 0 are left out.

        Raises
        ------
        ValueError
            If lengths differ, if there are fewer than two rows or groups, or if targets are missing.

        """
        X, y = as_numpy(X, "X_test"), as_numpy(y, "y_test")
        y = y.toarray() if sparse.issparse(y) else np.asarray(y)
        n_rows = _num_samples(X)
        for name, given in (("y_test", y), ("groups", groups)):
            if given is not None and (np.ndim(given) == 0 or len(given) != n_rows):
                found = f"{len(given)} rows" if np.ndim(given) else repr(given)
                raise ValueError(f"`{name}` must have a value for each of the {n_rows} rows of `X_test`, got {found}")
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        weight = check_weight(sample_weight, y)
        groups = None if groups is None else np.asarray(groups)
        if weight is not None and not weight.all():
            kept = np.flatnonzero(weight)
            X, y, weight = _safe_indexing(X, kept), y[kept], weight[kept]
            groups = None if groups is None else groups[kept]
        weight = weight if weights_differ(weight) else None
        if len(y) < 2:
            raise ValueError(f"`X_test` must have two rows or more that count, got {len(y)}; give more rows")
        check_known(y)
        units = Units.of(len(y), groups)
        if units.n < 2:
            raise ValueError("`groups` must have two values or more, got 1; leave it out if rows are independent")
        return cls(X, y, weight, units)


def losses_of(fitted: Fitted, metric: Metric, rows: Rows) -> RowLosses | None:
    """Losses of the rows, if the score is made of them.

    Parameters
    ----------
    fitted : Fitted
        What predicts.
    metric : Metric
        The score.
    rows : Rows
        The test set.

    """
    if metric.kind is None:
        return None
    if metric.kind != "log loss":
        predictions = fitted.whole.predict(rows.X)
        return RowLosses(*losses_of_predictions(metric.kind, rows.y, predictions), rows.weight, metric.best)
    classes = getattr(fitted.model, "classes_", None)
    if not isinstance(classes, np.ndarray) or rows.y.ndim > 1:
        return None
    return RowLosses(_log_losses(fitted.whole.predict_proba(rows.X), classes, rows.y), None, rows.weight, metric.best)


def _log_losses(probabilities: np.ndarray, classes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-log of each row's probability of its label, clipped as scikit-learn's log_loss does."""
    place = {label: k for k, label in enumerate(classes.tolist())}
    given = probabilities[np.arange(len(y)), [place[label] for label in y.tolist()]][:, None]
    least = np.finfo(probabilities.dtype).eps
    return -np.log(np.clip(given.astype(float), least, 1 - least))


def losses_of_predictions(kind: str, y: np.ndarray, predictions: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Losses of rows, and the values whose variance they are divided by.

    Parameters
    ----------
    kind : {"R2", "accuracy", "squared error", "absolute error"}
        What the score is made of.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Targets.
    predictions : array-like
        As the targets.

    """
    y = y.reshape(len(y), -1)
    predictions = predictions.toarray() if sparse.issparse(predictions) else np.asarray(predictions)
    predictions = predictions.reshape(len(y), -1)
    if kind == "accuracy":
        return (predictions != y).any(1, keepdims=True).astype(float), None
    y = y.astype(float)
    losses = np.abs(predictions - y) if kind == "absolute error" else row_errors(predictions, y)
    return losses, (y if kind == "R2" else None)


def losses_of_networks(model: Any, X: Any, rows: Rows) -> RowLosses:
    """Losses of single networks, the mean over the networks for each row.

    Parameters
    ----------
    model : StepwiseRegressor or StepwiseClassifier
        Fitted.
    X : array-like of shape (n_rows, n_features)
        The rows as they reach the model.
    rows : Rows
        Their targets and weights.

    """
    *scaling, net = (step for _, step in model.pipeline_.steps)
    Z = model._network_inputs(X)
    for step in scaling:
        Z = step.transform(Z)
    if model.plan_.task == "regression":
        values = rows.y.astype(float).reshape(len(rows.y), -1)
    elif rows.y.ndim == 2:
        values = rows.y.astype(int)
    else:
        values = np.searchsorted(model.classes_, rows.y)
    step = max(1, _CHUNK // (model.plan_.n_networks * max(1, model.plan_.n_outputs)))
    losses = []
    for start in range(0, len(values), step):
        chunk = slice(start, start + step)
        predictions = net.module_.cost.point(net.count(net.votes(Z[chunk])))
        losses.append(row_errors(predictions, values[chunk][:, None]).mean(1))
    regression = model.plan_.task == "regression"
    return RowLosses(np.concatenate(losses), values if regression else None, rows.weight)


def score_of_rows(fitted: Fitted, metric: Metric, rows: Rows) -> Callable[[np.ndarray], float]:
    """Any score of some of the rows, whose predictions are made once; what a scorer makes of them is predicted anew.

    Parameters
    ----------
    fitted : Fitted
        What predicts.
    metric : Metric
        The score.
    rows : Rows
        The test set.

    Returns
    -------
    score : callable
        From row numbers, with repetitions, to the score.

    """
    model = _Remembering(fitted.whole, rows.X)
    # scikit-learn's own scorers look at the predictions only.
    reads_rows = not isinstance(metric.scorer, _BaseScorer)

    def score(which: np.ndarray) -> float:
        X = _safe_indexing(rows.X, which) if reads_rows else which
        model.which, model.given = which, X
        return metric(model, X, rows.y[which], None if rows.weight is None else rows.weight[which])

    return score


class _Remembering:
    """A fitted model that predicts a table once, and looks its predictions up for the rows given to a scorer."""

    def __init__(self, model: Any, X: Any) -> None:
        """Nothing is predicted yet."""
        self.model, self.X, self.which = model, X, np.arange(_num_samples(X))
        self.given = X
        self.known: dict[str, np.ndarray] = {}

    def __getattr__(self, name: str) -> Any:
        """What the model has; its predictions of `given`, which are the rows `which`."""
        if (name.startswith("__") and name != "__sklearn_tags__") or "model" not in vars(self):
            raise AttributeError(name)
        found = getattr(self.model, name)
        if name not in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
            return found

        def looked_up(X: Any, *arguments: Any, **parameters: Any) -> Any:
            if X is not self.given or arguments or parameters:
                # Other rows, or other inputs for these: a scorer may add noise to them, or take a part.
                return found(X, *arguments, **parameters)
            if name not in self.known:
                self.known[name] = found(self.X)
            return self.known[name][self.which]

        looked_up.__name__ = name
        return looked_up
