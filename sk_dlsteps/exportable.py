"""How both estimators leave as files and modules; `export` stands above them, and is asked when it is needed."""

from __future__ import annotations

import os
from typing import Any, Self

from numpy.typing import ArrayLike
from torch import nn


class Exportable:
    """What takes an estimator to other processes, and to places without scikit-learn; see the methods."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimator, fitted or not, to a file without any code in it.

        The file is one of safetensors: arrays as tensors, and the rest as JSON in its metadata. An earlier file of
        that name is replaced once the new one is complete. See docs/persistence.md.

        Parameters
        ----------
        path : str or path
            The file.

        Raises
        ------
        ValueError
            If the estimator holds code of your own, other than `module`: a function, a callback, a class.
        OSError
            If the file cannot be written; an earlier one stays as it was.
        ImportError
            If safetensors is missing.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sklearn.datasets import load_iris
        >>> from sk_dlsteps import StepwiseClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = StepwiseClassifier(max_epochs=20, random_state=0).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "iris.safetensors"
        ...     model.save(path)
        ...     again = StepwiseClassifier.load(path)
        >>> bool((again.predict_proba(X) == model.predict_proba(X)).all())
        True

        """
        from sk_dlsteps.export import saved_model

        saved_model.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], module: Any = None) -> Self:
        """Read an estimator that `save` has written; nothing in the file is executed.

        Everything is checked, and two rows are predicted: what is returned can predict.

        Parameters
        ----------
        path : str or path
            The file.
        module : torch.nn.Module class or instance or callable, default=None
            The `module` of your own that the estimator was saved with. The file holds its weights only.

        Returns
        -------
        estimator : estimator
            As it was when it was saved, to predict, report and train further.

        Raises
        ------
        ValueError
            If the file is damaged or is none that `save` has written, or holds the other kind of estimator.
        FileNotFoundError
            If there is none.
        ImportError
            If safetensors is missing.

        Warns
        -----
        StepwiseWarning
            If other versions of packages have written the file.

        """
        from sk_dlsteps.export import saved_model

        return saved_model.load(cls, path, module)

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
