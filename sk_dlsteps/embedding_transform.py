"""A classifier with a metric loss as a transformer: rows become what its networks embed them as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_dlsteps.step1_cost.choice import learns_embeddings

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from sk_dlsteps.plan import Plan


def _embeds(estimator: Any) -> bool:
    """True with a metric loss; otherwise an error that says what is missing."""
    if learns_embeddings(estimator.loss):
        return True
    raise AttributeError(
        f"an embedding is what a metric loss learns, and this estimator has `loss={estimator.loss!r}`; "
        "use loss='triplet' or loss='contrastive'"
    )


class Embedding:
    """`transform` and what belongs to it, of an estimator whose loss may be a metric one; see there."""

    loss: Any
    pipeline_: Pipeline
    plan_: Plan

    @available_if(_embeds)
    def transform(self, X: Any) -> np.ndarray:
        """Embed rows: the networks' embeddings, side by side. Only with a metric loss.

        Rows of one class lie near each other, and so do, as far as that carries over, rows of one class
        that no network has seen.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, ...)
            Columns as in `fit`; values may be missing.

        Returns
        -------
        embedding : ndarray of shape (n_samples, n_networks * embedding_size)
            In float64.

        Raises
        ------
        ValueError
            If the last `fit` had another loss.

        """
        inputs = self._network_inputs(X)  # type: ignore[attr-defined]
        net = self.pipeline_[-1]
        if net.module_.class_centers is None:
            raise ValueError(f"The networks learnt with loss={self.plan_.loss!r} and embed nothing; call `fit` again.")
        embedding = net.embeddings(self.pipeline_[:-1].transform(inputs))
        flat = embedding.reshape(len(embedding), -1).astype(np.float64, copy=False)
        return _wrap_data_with_container("transform", flat, X, self)

    @available_if(_embeds)
    def fit_transform(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> np.ndarray:
        """Fit, then embed the training rows. Only with a metric loss.

        The parameters are those of `fit`. Most networks have trained on any of these rows, which therefore lie
        nearer to their class than new rows will.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val : array-like
            As in `fit`.

        Returns
        -------
        embedding : ndarray of shape (n_samples, n_networks * embedding_size)
            What `transform` gives for `X`.

        """
        validation = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
        return self.fit(X, y, sample_weight, **validation).transform(X)  # type: ignore[attr-defined]

    @available_if(_embeds)
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns of `transform`: "stepwiseclassifier0" and so on, network after network.

        Parameters
        ----------
        input_features : object
            Ignored, as the names do not depend on those of the inputs.

        Returns
        -------
        names : ndarray of str objects
            One for each column.

        """
        check_is_fitted(self)
        prefix, n_columns = type(self).__name__.lower(), self.plan_.n_networks * self.plan_.n_outputs
        return np.array([f"{prefix}{column}" for column in range(n_columns)], dtype=object)
