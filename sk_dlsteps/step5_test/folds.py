"""What the folds of a search tell: which share of the rows each tests on, and how many rows validate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import (
    BaseShuffleSplit,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneOut,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from sk_dlsteps.fitted import Fitted
from sk_dlsteps.inputs.folds import row_numbers

# Those that test every row.
_PARTITIONS = (
    KFold,
    StratifiedKFold,
    GroupKFold,
    StratifiedGroupKFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    LeaveOneOut,
)


@dataclass(frozen=True)
class Folds:
    """Folds that candidates were compared on.

    Attributes
    ----------
    share : float
        Test rows of a fold, as a share of its test and training rows.
    n_rows : int or None
        Rows that validate in one fold or more; None if unknown.

    """

    share: float
    n_rows: int | None

    @classmethod
    def of(cls, fitted: Fitted) -> Folds | str:
        """Read them off a search; else say why that is not possible, and the way out.

        Folds that we cannot look into count as of k folds without repetition.

        Parameters
        ----------
        fitted : Fitted
            With its `search`.

        """
        search = fitted.search
        cv, k, n_total = search.cv, search.n_splits_, _n_fitted_rows(fitted)
        n_rows = getattr(search, "n_validation_rows_", None)
        if isinstance(cv, list | tuple) and len(cv) == k:
            tests = [row_numbers(test) for _, test in cv]
            n_tests, n_trains = (sum(len(row_numbers(split[side])) for split in cv) for side in (1, 0))
            return cls(n_tests / (n_tests + n_trains), len(np.unique(np.concatenate(tests))))
        if isinstance(cv, BaseShuffleSplit):
            share = _share_of_shuffles(cv, n_total)
            if share is None:
                return (
                    f"`cv` has a `test_size` of {cv.test_size} and a `train_size` of {cv.train_size}, of how many rows "
                    "is not known: in the search, give the sizes as shares of the rows, or the splits as a list"
                )
            return cls(share, n_rows)
        if n_rows is None and (cv is None or isinstance(cv, (int, *_PARTITIONS))):
            n_rows = n_total
        return cls(1 / (getattr(cv, "cvargs", {}).get("n_splits") or k), n_rows)


def _n_fitted_rows(fitted: Fitted) -> int | None:
    """Rows that the model at the end was fitted on, if it is one of ours."""
    if not fitted.is_ours:
        return None
    held_out = fitted.model.oof_prediction_
    return int(fitted.model.plan_.n_rows) if held_out is None else len(held_out)


def _share_of_shuffles(cv: Any, n_total: int | None) -> float | None:
    """Share of the rows that a random split tests on; None if it takes a number of rows, of an unknown total."""
    sizes = cv.test_size, cv.train_size
    if sizes == (None, None):
        return float(getattr(cv, "_default_test_size", 0.1))
    counts = [size is not None and not isinstance(size, float) for size in sizes]
    if any(counts) and not all(counts) and (n_total is None or isinstance(cv, GroupShuffleSplit)):
        return None
    total = n_total or 1
    test, train = (size * total if isinstance(size, float) else size for size in sizes)
    if test is None:
        return 1 - train / total
    return test / (total if train is None else test + train)
