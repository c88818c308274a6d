"""A table's columns encoded as the estimator's encoder does it, as a torch module."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np
import torch
from scipy.linalg import block_diag
from torch import Tensor, nn

from sk_dlsteps.inputs.encoder import TableEncoder
from sk_dlsteps.inputs.levels import Levels


class TorchColumns(nn.Module):
    """Numbers, then an indicator for each that may be missing, then a column for each level of a category.

    Parameters
    ----------
    numbers, indicated : sequence of int
        Columns of the rows that are numbers, and those of them whose gaps have an indicator.
    places : sequence of int
        Column of the rows in which each level occurs.
    values : Tensor of shape (n_levels,) or None
        The levels themselves, NaN where what is missing is one; None if there are no categories.
    one_hot : Tensor of shape (n_levels, n_one_hot) or None
        1 in the new column of each level, which rare levels share.

    """

    values: Tensor | None
    one_hot: Tensor | None

    def __init__(
        self,
        numbers: Sequence[int],
        indicated: Sequence[int],
        places: Sequence[int],
        values: Tensor | None,
        one_hot: Tensor | None,
    ) -> None:
        super().__init__()
        self.numbers, self.indicated, self.places = list(numbers), list(indicated), list(places)
        self.register_buffer("values", values)
        self.register_buffer("one_hot", one_hot)

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Encoded rows (rows, n_numbers + n_indicated + n_one_hot) of a dtype."""
        parts = []
        if self.numbers:
            parts.append(x[:, self.numbers].to(dtype))
        if self.indicated:
            parts.append(x[:, self.indicated].isnan().to(dtype))
        if self.values is not None and self.one_hot is not None:
            own = x[:, self.places]
            is_level = (own == self.values.to(x.dtype)) | (own.isnan() & self.values.isnan())
            parts.append(is_level.to(dtype) @ self.one_hot.to(dtype))
        return torch.cat(parts, -1)


def columns_of(encoder: TableEncoder) -> TorchColumns:
    """What a fitted encoder does; an error for categories that are no numbers, or that networks learn vectors of."""
    names = encoder._names_in(None)
    beyond = [names[i] for i, own in encoder._one_hot.items() if not _is_numeric(own)]
    beyond += [names[i] for i in encoder._embedded]
    if beyond:
        raise ValueError(
            "`to_torch` takes numbers, and categories that are truth values or a few different numbers; others are in "
            f"{', '.join(map(repr, beyond))}. Encode them before the estimator in a Pipeline, for example by "
            "sklearn.preprocessing.OneHotEncoder in a ColumnTransformer, fit again, and give the module what the "
            "pipeline's other steps make of the rows."
        )
    known = {i: _known(own) for i, own in encoder._one_hot.items()}
    places = [i for i, (values, _) in known.items() for _ in values]
    values = [value for values, _ in known.values() for value in values]
    one_hot = block_diag(np.zeros((0, 0)), *(own for _, own in known.values()))
    indicated = [encoder._numbers_at[j] for j in encoder._missing_at]
    # torch.export warns as it saves empty tensors.
    as_tensors = (torch.tensor(values, dtype=torch.float64), torch.from_numpy(one_hot)) if places else (None, None)
    return TorchColumns(encoder._numbers_at, indicated, places, *as_tensors)


def _known(levels: Levels) -> tuple[list[float], np.ndarray]:
    """The levels of a category, NaN for a missing one, and the row of 0 and 1 that each becomes."""
    codes = {**levels.code_of, **({np.nan: levels.missing} if levels.missing else {})}
    return [float(level) for level in codes], np.eye(levels.n_codes)[[*codes.values()], 1:]


def _is_numeric(levels: Levels) -> bool:
    """Whether the levels of a category are numbers or truth values."""
    return all(isinstance(level, Real | np.bool_) for level in levels.code_of)
