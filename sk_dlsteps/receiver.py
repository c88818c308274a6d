"""How tables come into an estimator: checked, counted, and without a trace in the estimator itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sk_dlsteps.base import Parameters
from sk_dlsteps.inheritance import check_columns, fitted_source, with_inherited
from sk_dlsteps.inputs.data import Data
from sk_dlsteps.inputs.door import receive_table, receive_training_table
from sk_dlsteps.inputs.weights import CountedRows, check_weight, without_zeros

# What the door notes of a table.
_OF_INPUTS = ("n_features_in_", "feature_names_in_", "input_shape_")


class Receiver(Parameters):
    """What both estimators take in, for `fit`, for chunks of a stream, and to predict."""

    def _receive(
        self, X, y, sample_weight=None, X_val=None, y_val=None, sample_weight_val=None, *, further: bool = False
    ) -> tuple[Data, dict[str, Any]]:
        """Checked data, and the attributes that the check leaves; the estimator itself stays untouched.

        A `further` table is for the networks that are there: its columns are what theirs are.
        """
        if (X_val is None) != (y_val is None):
            raise ValueError("`X_val` and `y_val` belong together, got only one of them")
        if sample_weight_val is not None and X_val is None:
            raise ValueError("`sample_weight_val` is given without `X_val` and `y_val`, whose rows it counts")
        self._check_descent(self.init_from)
        own = self.get_params(deep=False)
        door = type(self)(**({**own, **self._memory.settings} if further else with_inherited(own)))
        weight = check_weight(sample_weight, X)
        known = self if further else fitted_source(self.init_from)
        if known is not None:
            raw, categorical, accepted = known._encodes_columns, None, known._accept_sparse
            X, y = receive_table(door, X, y, raw=raw, reset=True, ensure_min_samples=2, accept_sparse=accepted)
        else:
            X, y, categorical = receive_training_table(door, X, y, self.categorical_features, weight)
            raw, accepted = categorical is not None, "csr" if sparse.issparse(X) else False
        counted = CountedRows(X, y, weight)
        target = self._counted_target(counted, y)
        on_sparse = sparse.issparse(X) if known is None else known._trained_on_sparse
        data, names = _admitted(door, X, counted, target, categorical, on_sparse)
        if known is not None and not further:
            check_columns(known, names)
        if X_val is None:
            return data, names
        try:
            X_val, y_val = receive_table(door, X_val, y_val, raw=raw, accept_sparse=accepted)
        except (TypeError, ValueError) as error:
            raise ValueError(f"`X_val` and `y_val` do not fit: {error}") from error
        weight_val = check_weight(sample_weight_val, y_val, "sample_weight_val")
        X_val, y_val, weight_val = without_zeros(X_val, y_val, weight_val)
        y_val = self._validation_target(target, y_val)
        return replace(data, X_valid=X_val, y_valid=y_val, weight_valid=weight_val), names

    def _counted_target(self, counted: CountedRows, y: np.ndarray, classes: np.ndarray | None = None) -> Any:
        """The target of the rows that count."""
        try:
            return self._target(counted.of(y), classes)
        except ValueError as error:
            if not counted.leaves_out:
                raise
            raise ValueError(f"{error} Rows whose `sample_weight` is 0 are left out.") from error

    def _receive_chunk(self, X, y, sample_weight, classes) -> tuple[Data, dict[str, Any]]:
        """A checked chunk of a stream, and the attributes that the check leaves; later ones are like the first."""
        door = type(self)(**self.get_params(deep=False))
        known = {name: value for name, value in vars(self).items() if name in _OF_INPUTS}
        for name, value in known.items():
            setattr(door, name, value)
        least = self.pipeline_[-1].module_.least_rows if known else 2 if self.batch_norm else 1
        categorical, weight = None, check_weight(sample_weight, X)
        if known:
            X, y = receive_table(
                door, X, y, raw=self._encodes_columns, ensure_min_samples=least, accept_sparse=self._accept_sparse
            )
        else:
            X, y, categorical = receive_training_table(door, X, y, self.categorical_features, weight, least)
        counted = CountedRows(X, y, weight)
        several_labels = y.ndim == 2 and y.shape[1] > 1
        target = self._counted_target(counted, y, None if several_labels else self._stream_classes(classes))
        on_sparse = self._trained_on_sparse if known else sparse.issparse(X)
        return _admitted(door, X, counted, target, categorical, on_sparse)

    @property
    def _accept_sparse(self) -> str | bool:
        """What scikit-learn is told of further tables: networks of a dense table know no sparse one."""
        return "csr" if self._trained_on_sparse else False

    @property
    def _encodes_columns(self) -> bool:
        """Whether the fitted pipeline begins with an encoder, which gets tables as they are."""
        return "columns" in self.pipeline_.named_steps

    def _stream_classes(self, classes: Any) -> np.ndarray | None:
        """The labels of a stream, sorted; None where the target has none."""
        return None

    def __sklearn_tags__(self):
        """Tables of any kind are welcome, sparse ones and such with gaps too."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def _network_inputs(self, X) -> Any:
        """Checked rows for `pipeline_`."""
        check_is_fitted(self)
        return receive_table(self, X, raw=self._encodes_columns, accept_sparse=self._accept_sparse)


def _admitted(
    door: Any, X: Any, counted: CountedRows, target: Any, categorical: np.ndarray | None, on_sparse: bool
) -> tuple[Data, dict[str, Any]]:
    """The table of the rows that count, and the attributes that the door and the target leave."""
    names = {name: value for name, value in vars(door).items() if name.endswith("_")}
    if target.classes is not None:
        names["classes_"] = target.labels
    names["_trained_on_sparse"] = on_sparse
    data = Data(counted.of(X), target, weight=counted.weight, counted=counted, categorical=categorical)
    return replace(data, shape=door.input_shape_), names
