"""Tensors and arrays of other libraries, as numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def as_numpy(values: Any, name: str) -> Any:
    """Numpy's view of a tensor or of an array of another library; whatever else is given stays as it is.

    Parameters
    ----------
    values : object
        The user's.
    name : str
        What to call it in an error.

    Raises
    ------
    ValueError
        If they are not in the memory that numpy reads, or are sparse.

    Examples
    --------
    >>> as_numpy(torch.ones(2, requires_grad=True), "y")
    array([1., 1.], dtype=float32)
    >>> as_numpy([1, 2], "y")
    [1, 2]

    """
    if isinstance(values, torch.Tensor):
        return _of_tensor(values, name)
    if isinstance(values, np.ndarray | np.generic) or not hasattr(values, "__array_namespace__"):
        return values
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"`{name}` is an array that numpy cannot read ({error}); give it as a numpy array") from error


def _of_tensor(values: torch.Tensor, name: str) -> np.ndarray:
    """Numpy's view of a dense tensor on the CPU."""
    if values.device.type == "meta":
        raise ValueError(f"`{name}` is a tensor on the device 'meta', which holds no values; give it with its values")
    if values.device.type != "cpu":
        raise ValueError(
            f"`{name}` is a tensor on the device '{values.device}', and rows come in on the CPU, whatever `device` the "
            f"networks are on; give `{name}.cpu()`"
        )
    if values.layout is not torch.strided:
        raise ValueError(f"`{name}` is a sparse tensor; give a scipy.sparse array, or `{name}.to_dense()`")
    # numpy has no bfloat16.
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy(force=True)
