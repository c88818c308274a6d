"""DriftDetector: whether new rows are like those that a model was trained on."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from sk_dlsteps.fitted import Fitted
from sk_dlsteps.inputs.columns import as_frame, is_frame
from sk_dlsteps.inputs.shapes import as_rows, check_shape
from sk_dlsteps.step6_real_world.column_reader import ColumnReader, ColumnValues
from sk_dlsteps.step6_real_world.column_tests import ColumnTest, compare_columns, smallest_shift
from sk_dlsteps.step6_real_world.domain import MIN_DOMAIN_ROWS, DomainTest, compare_domains
from sk_dlsteps.step6_real_world.door import as_table, categorical_columns, check_columns, check_length, understood
from sk_dlsteps.step6_real_world.drift_report import DriftReport
from sk_dlsteps.step6_real_world.output_tests import TargetKind, compare_outputs
from sk_dlsteps.step6_real_world.reference import Reference, target_columns
from sk_dlsteps.step6_real_world.sketches import MAX_KNOTS, some_rows
from sk_dlsteps.step6_real_world.timeline import DriftTimeline, batch_row


class DriftDetector(BaseEstimator):
    """Step 6: check whether new rows are like the training rows, and whether a model does on them as it should.

    Each column is tested by itself, all columns are tested together by a classifier that tries to tell new
    rows from old ones, and, of a model, its predictions and its score are. A fitted model keeps what is needed for it,
    a sketch without any row, in `reference_`: see `from_estimator`.

    Parameters
    ----------
    alpha : float, default=0.01
        Probability of a verdict other than "no drift" for rows that have not drifted, over all tests together.
    n_bins : int, default=10
        Bins of the population stability index of a column of numbers.
    max_samples : int, default=10_000
        Rows of each kind that the domain classifier is trained on, and new rows that the model predicts.
    domain_estimator : classifier or None, default=None
        Tells new rows from old ones; takes numbers with gaps. None is a small
        HistGradientBoostingClassifier.
    random_state : int, RandomState instance or None, default=0
        Draws rows, halves and networks. None takes fresh entropy. Global random states are never touched.

    Attributes
    ----------
    reference_ : Reference
        A sketch of the training table.
    n_features_in_ : int
        Columns of the table.
    model_ : Fitted or None
        The model whose predictions are checked.

    See Also
    --------
    DriftDisplay : Draws the columns that drifted most.

    Examples
    --------
    >>> from sk_dlsteps import DriftDetector
    >>> rng = np.random.default_rng(0)
    >>> X_train, X_new = rng.normal(size=(500, 4)), rng.normal(size=(300, 4))
    >>> detector = DriftDetector().fit(X_train)
    >>> detector.check(X_new).verdict
    'no drift'
    >>> X_new[:, 2] += 1
    >>> report = detector.check(X_new)
    >>> report.verdict, report.drifted_columns
    ('inputs drifted', ('column 2',))

    """

    def __init__(
        self,
        *,
        alpha: float = 0.01,
        n_bins: int = 10,
        max_samples: int = 10_000,
        domain_estimator: Any = None,
        random_state: Any = 0,
    ) -> None:
        self.alpha = alpha
        self.n_bins = n_bins
        self.max_samples = max_samples
        self.domain_estimator = domain_estimator
        self.random_state = random_state

    @classmethod
    def from_estimator(cls, model_or_search: Any, X: Any = None, y: Any = None, **parameters: Any) -> Self:
        """Make a detector of a fitted model.

        Parameters
        ----------
        model_or_search : estimator object
            A fitted StepwiseRegressor or StepwiseClassifier, a pipeline that ends with one, or a search over either;
            with `X` any other fitted estimator, of which then only the inputs are checked.
        X : array-like of shape (n_rows, n_columns), default=None
            The training rows. A model keeps none of them, and the domain classifier needs some.
        y : array-like of shape (n_rows,), default=None
            Their targets; of a model that has no `reference_`.
        **parameters : object
            Of the detector.

        Returns
        -------
        detector : DriftDetector
            Fitted.

        Raises
        ------
        ValueError
            If the model has no `reference_`, and no `X` is given.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sk_dlsteps import DriftDetector, StepwiseRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = StepwiseRegressor(max_epochs=20, random_state=0).fit(X[:300], y[:300])
        >>> report = DriftDetector.from_estimator(model).check(X[300:], y[300:])
        >>> report.verdict
        'no drift'
        >>> sorted(report.p_values)
        ['columns', 'predictions', 'score', 'target']

        """
        detector = cls(**parameters)
        fitted = Fitted.of(model_or_search)
        reference = getattr(fitted.model, "reference_", None)
        if reference is None:
            if X is None:
                raise ValueError(
                    f"{type(fitted.model).__name__} has no `reference_`, since another version or another package "
                    "fitted it; fit it again, give its training rows as `X`, or use DriftDetector().fit(X_train)"
                )
            detector.fit(fitted.rows(X), y)
            detector.model_ = Fitted(fitted.whole, fitted.search, fitted.leading, None)
            return detector
        detector._check_parameters()
        detector.model_, detector.reference_ = fitted, reference
        detector.n_features_in_ = fitted.model.n_features_in_
        detector._target_kind = TargetKind.of(fitted.model, reference)
        detector._old_rows = None if X is None else detector._some_columns(detector._admit(X))
        return detector

    def fit(self, X: Any, y: Any = None) -> Self:
        """Sketch the training table.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns) or (n_rows, ...)
            The rows that new ones are compared with. `max_samples` of them are kept for the domain classifier.
        y : array-like of shape (n_rows,) or (n_rows, n_targets), default=None
            Their targets, to see whether those of new rows have drifted.

        Returns
        -------
        self : DriftDetector
            Fitted.

        Raises
        ------
        ValueError
            If a parameter is not what it may be, a column holds what is neither a number nor a category, or there are
            no two rows.

        """
        self._check_parameters()
        X, shape = as_rows(as_frame(X), None)
        X = as_table(X)
        if X.shape[0] < 2:
            raise ValueError(f"`X` has {X.shape[0]} rows; give at least 2 to compare new ones with")
        reference = Reference.of(X, categorical_columns(X), None, shape, is_kept=False)
        self._target_kind: TargetKind | None = None
        if y is not None:
            task, values, labels = understood(y)
            check_length(values, X.shape[0], "y", "X")
            columns = target_columns(values, task, labels)
            reference = reference.with_target(
                {name: column.sketch(None, MAX_KNOTS) for name, column in columns.items()}
            )
            self._target_kind = TargetKind(task, labels, values.size // len(values))
        self.reference_ = reference
        self.model_: Fitted | None = None
        self.n_features_in_ = X.shape[1]
        self._names = list(X.columns) if is_frame(X) else None
        self._old_rows: list[ColumnValues] | None = self._some_columns(X)
        return self

    def check(self, X_new: Any, y_new: Any = None) -> DriftReport:
        """Compare new rows with the training rows.

        Parameters
        ----------
        X_new : DataFrame, array-like or sparse matrix of shape (n_rows, n_columns) or (n_rows, ...)
            Columns as in the training table.
        y_new : array-like of shape (n_rows,), default=None
            Their true values; NaN or None where one is not known yet.

        Returns
        -------
        report : DriftReport
            The verdict, the tests and the next step.

        Raises
        ------
        ValueError
            If there are no rows, other columns, infinite numbers, or text in a column of numbers.

        """
        check_is_fitted(self)
        self._check_parameters()
        X = self._admit(X_new)
        if X.shape[0] == 0:
            raise ValueError("`X_new` has no rows; give at least 1")
        rng = self._generator()
        reference = self.reference_
        new = list(reference.reader.columns(X))
        columns = compare_columns(reference.reader.names, reference.columns, new, self.n_bins)
        outputs = compare_outputs(
            reference,
            None if self.model_ is None else self.model_.model,
            self._target_kind,
            X,
            y_new,
            max_samples=self.max_samples,
            n_bins=self.n_bins,
            rng=rng,
        )
        found = bool(outputs.predictions), bool(outputs.target), outputs.score is not None
        n_kinds = 1 + (self._old_rows is not None) + sum(found)
        domain, notes = self._domain(new, columns, self.alpha / n_kinds, rng)
        shift = smallest_shift(reference.n_rows, X.shape[0], self.alpha / n_kinds / max(len(columns), 1))
        return DriftReport(
            float(self.alpha),
            X.shape[0],
            reference.n_rows,
            columns,
            domain,
            outputs.predictions,
            outputs.target,
            outputs.score,
            shift,
            (*notes, *_notes_on(reference.reader, columns), *outputs.notes),
        )

    def check_batches(self, batches: Iterable[Any], times: Iterable[Any] | None = None) -> DriftTimeline:
        """Check batches of new rows, one after the other.

        Parameters
        ----------
        batches : iterable
            Of tables, or of pairs ``(X, y)``; any number of them, each of which is looked at once and let go.
        times : iterable, default=None
            What each batch is called; None: 0, 1, 2, and so on.

        Returns
        -------
        timeline : DriftTimeline
            A row for each batch, with its verdict. `alpha` holds for each batch, so that among 1 / `alpha` clean
            batches one false alarm is to be expected; the timeline says how many alarms are more than that.

        Raises
        ------
        ValueError
            As `check`, or if there are fewer times than batches.

        Examples
        --------
        >>> from sk_dlsteps import DriftDetector
        >>> rng = np.random.default_rng(0)
        >>> detector = DriftDetector().fit(rng.normal(size=(500, 3)))
        >>> timeline = detector.check_batches(rng.normal(shift, size=(200, 3)) for shift in (0, 0, 0.5))
        >>> [row["verdict"] for row in timeline.table]
        ['no drift', 'no drift', 'inputs drifted']

        """
        check_is_fitted(self)
        if isinstance(times, str) or not (times is None or isinstance(times, Iterable)):
            raise ValueError(f"`times` must be an iterable with a name for each batch, or None, got {times!r}")
        names = None if times is None else iter(times)
        rows = []
        for number, batch in enumerate(batches):
            time = number if names is None else next(names, _NONE)
            if time is _NONE:
                raise ValueError(f"`times` has {number} entries, and there are more batches; give one for each")
            X, y = batch if isinstance(batch, tuple) and len(batch) == 2 else (batch, None)
            n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
            rows.append(batch_row(time, None if n_rows == 0 else self.check(X, y)))
        if not rows:
            raise ValueError("`batches` holds no batch; give at least one table")
        return DriftTimeline(float(self.alpha), self.reference_.n_rows, tuple(rows))

    def _check_parameters(self) -> None:
        """Raise for parameters that are not what they may be."""
        if not isinstance(self.alpha, Real) or not 0 < self.alpha < 1:
            raise ValueError(f"`alpha` must be a number above 0 and below 1, got {self.alpha!r}")
        for name, least in (("n_bins", 2), ("max_samples", MIN_DOMAIN_ROWS)):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
                raise ValueError(f"`{name}` must be an integer of at least {least}, got {value!r}")
        seed = self.random_state
        is_seed = isinstance(seed, Integral) and not isinstance(seed, bool) and seed >= 0
        if not (seed is None or is_seed or isinstance(seed, np.random.RandomState)):
            raise ValueError(f"`random_state` must be an integer of at least 0, a RandomState or None, got {seed!r}")

    def _generator(self) -> np.random.Generator:
        """The same random numbers for every check with the same seed."""
        seed = self.random_state
        if isinstance(seed, np.random.RandomState):
            seed = int(seed.randint(2**31))
        return np.random.default_rng(seed)

    def _admit(self, X: Any) -> Any:
        """A checked table, as the model or the sketch knows it."""
        if self.model_ is not None:
            X = self.model_.rows(X)
            if self.model_.model is not None:
                return self.model_.model._network_inputs(X)
        X, shape = as_rows(as_frame(X), None)
        if shape is not None or self.reference_.reader.shape is not None:
            check_shape(shape, self.reference_.reader.shape)
        X = as_table(X)
        if sparse.issparse(X) != self.reference_.reader.is_sparse:
            kinds = ("dense", "sparse") if sparse.issparse(X) else ("sparse", "dense")
            raise ValueError(f"`X_new` is {kinds[1]}, and the training table was {kinds[0]}; make them alike")
        check_columns(X, self._names, self.n_features_in_)
        return X

    def _some_columns(self, X: Any) -> list[ColumnValues]:
        """Columns of some rows, for the domain classifier; not of those that chose the columns."""
        reader = self.reference_.reader
        allowed = np.arange(X.shape[0])[reader.rows_to_sketch(X.shape[0])]
        rows = allowed[some_rows(len(allowed), self.max_samples)]
        return list(reader.columns(_safe_indexing(X, rows)))

    def _domain(
        self, new: list[ColumnValues], columns: tuple[ColumnTest, ...], level: float, rng: np.random.Generator
    ) -> tuple[DomainTest | None, tuple[str, ...]]:
        """The domain classifier's test, or a note why there is none."""
        if self._old_rows is None:
            return None, ("all columns together: a model keeps no rows; give the training rows as `X`",)
        n = len(new[0].values)
        drawn = np.sort(rng.permutation(n)[: self.max_samples])
        first = np.argsort([test.p_value for test in columns], kind="stable").tolist()
        names = self.reference_.reader.names
        rows = [column.of(drawn) for column in new]
        found = compare_domains(names, self._old_rows, rows, self.domain_estimator, level, rng, first)
        if found is None:
            return None, (f"all columns together: {MIN_DOMAIN_ROWS} old and new rows are needed",)
        return found, ()


_NONE = object()


def _notes_on(reader: ColumnReader, columns: tuple[ColumnTest, ...]) -> tuple[str, ...]:
    """What of the columns is not looked at."""
    notes = []
    if reader.is_partial:
        notes.append(f"{len(reader.places)} of {reader.n_columns} columns are looked at")
    blind = [repr(test.name) for test in columns if test.is_blind]
    if blind:
        more = f" and {len(blind) - 5} more" if len(blind) > 5 else ""
        notes.append(f"levels of {', '.join(blind[:5])}{more}: none is more frequent than another")
    return tuple(notes)
