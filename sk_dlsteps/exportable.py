"""`to_torch` and `to_onnx` of both estimators; `export` stands above those, and is asked when it is needed."""

from __future__ import annotations

import os

from numpy.typing import ArrayLike
from torch import nn


class Exportable:
    """What makes a fitted estimator work where there is no scikit-learn; see the methods."""

    def to_torch(self, *, quantiles: ArrayLike | None = None) -> nn.Module:
        """Give the fitted model as one torch module: raw rows in, predictions out.

        Scaling, networks, their mean and the way back to the target's units are all in it, and none of it
        needs scikit-learn or skorch. docs/export.md shows how to serve it.

        Parameters
        ----------
        quantiles : float, sequence of float or None, default=None
            Of a regressor with ``loss="quantile"``: the levels to predict, as in `predict`.

        Returns
        -------
        module : torch.nn.Module
            On the CPU, in evaluation mode, with tensors of its own. Maps rows, a tensor of shape
            (n_samples, n_features) or (n_samples, ...) with columns as in `feature_names_in_` and NaN for what is
            missing, to what `predict` of a regressor gives, or `predict_proba` of a classifier.
            The networks compute in float32, the scaling of inputs and outputs in float64;
            ``module.double()`` computes all in float64, as `predict` does, except with a `module` of your own.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If columns hold categories that are text or of many levels, if `scaler` is a transformer of which no
            formula is known, or if `quantiles` were not learnt.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> from sklearn.datasets import load_diabetes
        >>> from sk_dlsteps import StepwiseRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = StepwiseRegressor(max_epochs=20, random_state=0).fit(X, y)
        >>> module = model.to_torch()
        >>> with torch.no_grad():
        ...     y_pred = module(torch.from_numpy(X)).numpy()
        >>> np.testing.assert_allclose(y_pred, model.predict(X), rtol=1e-5)

        """
        from sk_dlsteps.export.torch_module import to_torch

        return to_torch(self, quantiles)

    def to_onnx(self, path: str | os.PathLike[str], *, quantiles: ArrayLike | None = None) -> None:
        """Write the fitted model to an ONNX file, for runtimes without Python or torch. Needs the extra `export`.

        The file takes any number of rows: an input "X" in float32 with columns as in `feature_names_in_` and NaN for
        what is missing. A regressor has the output "prediction", a classifier "label" and "probabilities".

        Parameters
        ----------
        path : str or path
            Of the file. One that is there is replaced once the new one is complete.
        quantiles : float, sequence of float or None, default=None
            Of a regressor with ``loss="quantile"``: the levels to predict, as in `predict`.

        Raises
        ------
        ImportError
            If onnx or onnxscript is missing.
        FileNotFoundError
            If there is no such folder.
        ValueError
            As `to_torch` does, and if a `module` of your own cannot be converted.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from onnxruntime import InferenceSession
        >>> from sklearn.datasets import load_iris
        >>> from sk_dlsteps import StepwiseClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = StepwiseClassifier(max_epochs=15, random_state=0).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.to_onnx(f"{folder}/iris.onnx")
        ...     session = InferenceSession(f"{folder}/iris.onnx")
        >>> label, probabilities = session.run(None, {"X": X.astype(np.float32)})
        >>> bool((label == model.predict(X)).all())
        True

        """
        from sk_dlsteps.export.onnx_file import write_onnx

        write_onnx(self, path, quantiles)
