"""StepwiseRegressor."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.exceptions import DataConversionWarning

from sk_dlsteps.base import showing_shared_parameters
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.exceptions import level_of_the_caller
from sk_dlsteps.inputs.target import RegressionTarget
from sk_dlsteps.plan import StepRecord
from sk_dlsteps.preparation import Prepared
from sk_dlsteps.recipe import StepwiseEstimator
from sk_dlsteps.step1_cost.cost import Cost
from sk_dlsteps.step1_cost.quantile import QuantileLoss
from sk_dlsteps.step4_validation.intervals import calibrate_intervals
from sk_dlsteps.stream import learn_chunk


class StepwiseRegressor(RegressorMixin, StepwiseEstimator):
    """A regressor that follows the article's steps: cost, architecture, training.

    Without any settings, a small ensemble of networks is sized, its learning rate is found,
    and it is trained with early stopping; every decision is recorded with its reason.

    Parameters
    ----------
    loss : str, Cost or torch criterion (class or instance) or callable, default="auto"
        The cost (step 1). "auto" is the squared error; "absolute_error",
        "huber" and "poisson" (a log link, for targets >= 0) are others.
        A criterion is given as `torch.nn` class or instance; a callable takes
        ``(output, target)`` and returns one loss per row, the
        target being standardised.
        "quantile" learns several quantiles in one network.
    hidden_units : {"auto", "midpoint"}, int or sequence of int, default="auto"
        Units of the hidden layers (step 2). "auto" follows the rule
        N_h = N_s / (a (N_i + N_o)), rounded and bounded on both sides, "midpoint" takes
        the mean of N_i and N_o; a sequence has one entry per layer.
    hidden_size_factor : float, default=2.0
        The rule's a; the article advises 2 to 10.
    n_hidden_layers : int, default=1
        How often a single width is repeated; without effect on a sequence.
    activation : {"relu", "tanh", "silu", "gelu"}, default="relu"
        Non-linearity of the hidden layers.
    module : str, torch.nn.Module class or instance, or callable, default="mlp"
        The network: "mlp", the built-in one; "resnet18", "resnet34" or "resnet50" for images (extra
        `vision`, docs/images.md); "lstm" or "gru" for sequences (docs/sequences.md); or one of your own,
        as a class, as a factory ``(n_inputs, n_outputs) -> module``, or as a ready instance, of which
        every network gets a copy. Sizes are passed by name if a class or factory takes them:
        `n_inputs`, `n_outputs`, `input_shape`, `in_channels`, `in_features`, `out_features`,
        `num_classes`. The parameters for hidden layers have no effect on it.
    input_shape : sequence of int or None, default=None
        Shape of one row for the network, such as (1, 28, 28), where a tool can pass only flat rows of
        shape (n_samples, n_features). None takes the rows as they come.
    scaler : {"standard", "robust"}, transformer or None, default="standard"
        Scales the inputs (step 4). "standard" takes mean and standard deviation, "robust"
        median and quartile range, of each network's own training rows. None leaves the
        inputs alone. Of any scikit-learn transformer a clone is fitted to the rows, with
        their targets, that train any network (with several networks that is all rows, as
        for a transformer that stands before the estimator in a Pipeline), and its output is
        taken as it comes.
    input_clip : float or None, default=3.0
        Inputs x that are scaled by "standard" or "robust" are squashed to
        ``x / sqrt(1 + (x / input_clip)**2)``; None leaves them as they are.
    numeric_encoding : {"auto", "piecewise_linear"} or None, default="auto"
        "piecewise_linear" adds ramps between the training rows' quantiles to each column
        of many values (Gorishniy et al. 2022), None adds nothing. "auto" encodes for
        regression and not for classification, where it made no difference
        (docs/benchmarks.md).
    optimizer : {"adam", "adamw", "sgd"} or torch.optim.Optimizer class, default="adam"
        The optimizer (step 3).
    learning_rate : float or "auto", default="auto"
        Rate before the schedule. "auto" finds it by a range test, see
        `find_learning_rate`.
    momentum : float, default=0.9
        Momentum of "sgd".
    lr_schedule : str or callable, default="auto"
        How the rate changes over the fit: "constant", "exponential", "staircase",
        "plateau", "cosine", "cosine_restarts", or a function of the progress in [0, 1]
        that gives a factor. "auto" is "cosine_restarts".
    restart_period : int or "auto", default="auto"
        Epochs of the first cycle of "cosine_restarts"; "auto" fits whole cycles into
        `max_epochs`.
    restart_mult : int, default=2
        How many times longer each cycle is than the one before.
    batch_size : int or "auto", default="auto"
        Rows of a minibatch; "auto" takes a power of two that grows with the rows.
    max_epochs : int or "auto", default="auto"
        Passes through the training rows at the most; "auto" derives them from a budget
        of optimisation steps.
    dropout : float or sequence of float, default=0.0
        Share of activations that are zeroed in training (step 4). A number acts before the
        last linear layer; a pair ``(earlier, last)`` also acts on the outputs of the hidden
        layers before, if there are any; a longer sequence has one entry per hidden layer.
        Rounded to a 256th.
    weight_decay : float, default=0.0
        The lambda in lambda/2 times the sum of the squared weights (step 4); biases are
        spared. Decoupled from the gradient for "adamw".
    batch_norm : bool, default=False
        Normalise hidden activations over each minibatch in training, and by the
        exponentially weighted averages of its statistics in prediction (step 4).
    max_grad_norm : float, "auto" or None, default="auto"
        Each network's gradient is scaled down to this norm where it is longer (step 4). "auto" is 1
        for "lstm" and "gru", and none for others.
    max_grad_value : float or None, default=None
        Every entry of a gradient is clipped to ``[-max_grad_value, max_grad_value]``, before
        its norm is.
    augmentation : {"gaussian_noise", "image", "mixup", "swap_noise"}, callable, transform or None, default=None
        Changes each training minibatch, in standardised space (step 4); validation rows
        are left alone. A callable ``(X, y, generator) -> (X, y)`` gets one network's
        tensors, X of shape (n_rows, n_features) and standardised y of shape (n_rows, n_targets),
        and a `torch.Generator`, and returns new tensors of the same shapes.
        `sk_dlsteps.step4_validation.augmentation` has the named ones, in any strength. "image" and
        torchvision's transforms, which get one image at a time, are for images (docs/images.md).
    init_from : fitted estimator, state dict, torch.nn.Module or None, default=None
        What the networks begin from (docs/transfer.md). Of a fitted StepwiseClassifier or StepwiseRegressor
        columns, scaling, statistics of the inputs, architecture and weights are taken over, and the last layer
        too if it stands for the same outputs. Of a state dict those tensors are taken that `module` has by
        name and shape; a torch module is the architecture too if `module` is "mlp". It stays as it is, and
        clones keep it.
    unfreeze : "auto", bool, int or dict, default="auto"
        Which layers train from when on. "auto" with `init_from` trains the new last layer alone, then the
        upper half of the others with it, then all; without it all from the start, as True does. False
        leaves all but the last layer as they are; an integer trains that alone for so many epochs; a dict
        ``{pattern: epoch}`` lets the layers whose name fits a pattern such as "layer4*" join after so many
        epochs, others never. Each of these stages has a range test, a schedule and early stopping of its own.
    differential_rates : "auto", float or dict, default="auto"
        What multiplies the rate from each layer to the one before it, at most 1; or a dict
        ``{pattern: factor}`` of the layers' rates. "auto" gives the first layer of the
        built-in network 1 / 2.6 of the last one's rate with `init_from`, and all layers one rate otherwise.
    early_stopping : bool, default=True
        Whether networks hold out rows, keep their best epoch and may stop early (step 4).
        False trains every network on all rows to the end; with `X_val` the best epoch is
        kept all the same.
    n_iter_no_change : int or "auto", default="auto"
        Epochs without a better validation loss after which a network stops. "auto" asks
        at the end of each cycle whether it was worth its epochs, or, where the
        schedule has no growing cycles, waits for a fixed number of epochs.
    validation_fraction : float, default=0.15
        Share of the rows held out with `n_estimators=1`.
    n_estimators : int or "auto", default="auto"
        Networks. With two or more each holds out a fold of its own and their
        predictions are averaged; 1 is the article's single network.
    categorical_features : "from_dtype", None or array-like of bool, int or str, default="from_dtype"
        Which columns hold categories. "from_dtype" takes a DataFrame's columns of strings,
        categories and truth values, None none; or a mask, places or names of columns.
        Categories of few levels become one-hot columns, those of many an entity embedding
        that is learnt with the network (docs/inputs.md).
    device : str, default="auto"
        Torch device; "auto" takes CUDA where there is such, else Apple's MPS, else the CPU, and
        with an `accelerator` the accelerator's.
    mixed_precision : {"bf16", "fp16"} or None, default=None
        Floats of the products in training steps; parameters, losses and validation stay in
        float32. "bf16" trains anywhere, and faster on GPUs made for it; "fp16" needs CUDA. None is the
        accelerator's, if there is one, else float32.
    accelerator : accelerate.Accelerator or None, default=None
        Trains in several processes, each on its share of every minibatch, to the result
        of one process (docs/distributed.md). Every process calls `fit` with the same
        parameters and data. It belongs to its process: a pickled estimator comes back
        with None.
    n_threads : int or "auto", default="auto"
        Torch threads for training; "auto" takes as many as the work of a step pays for.
        Torch's own setting is restored. A forked process takes one in any case (docs/robustness.md).
    callbacks : list or None, default=None
        Callbacks of skorch, or pairs ``(name, callback)``. Those of scikit-learn are set by `set_callbacks`.
    warm_start : bool, default=False
        True lets a further `fit` go on from the networks, the optimizer's state and the scaling
        that the last one left, for `max_epochs` more epochs with a schedule that begins anew;
        the same rows are held out by the same networks, and the best epoch so far stays in the
        running. Architecture and learning rate stay as they are.
    checkpoint : str, path or None, default=None
        Folder in which `fit` stores its training while it runs: the same fit in a new process goes on from
        there, and ends with the same weights (docs/long_fits.md). None stores nothing.
    checkpoint_every : int, default=10
        Epochs from one time to the next.
    on_interrupt : {"raise", "keep"}, default="raise"
        What Ctrl-C in `fit` does: "raise" leaves the estimator as it was before; "keep" ends training, and
        the best networks of the whole epochs so far become the model.
    random_state : int, RandomState instance or None, default=None
        Seeds folds, weights and shuffles. An int gives the same fit every time; None
        takes fresh entropy. Global random states are never touched.
    verbose : int, default=0
        1 prints a row per epoch.
    quantiles : sequence of float, default=(0.05, 0.25, 0.5, 0.75, 0.95)
        Levels that ``loss="quantile"`` learns, strictly increasing, above 0 and below 1;
        without effect on other losses. They never cross.

    Attributes
    ----------
    pipeline_ : sklearn.pipeline.Pipeline
        The fitted scaler, with the statistics of the training rows, and the skorch net.
    plan_ : Plan
        Every decision of the fit; nothing in it is "auto".
    steps_ : tuple of StepRecord
        Steps 1 to 4: what was decided, why, and the figures behind it.
    loss_ : str
        Name of the cost.
    hidden_units_ : tuple of int
        Units of each hidden layer; empty for a module of your own.
    learning_rate_ : float
        The rate found or given.
    lr_curve_ : LRCurve or None
        What the range test saw, of several stages that of the last one (the others have theirs in
        ``plan_.stages``); None if the rate was given.
    history_ : skorch.history.History
        One row per epoch or call of `partial_fit`: losses, rate, duration.
    loss_curves_ : LossCurves
        Losses of each network in every epoch, shape (`n_iter_`, K): `train`, `valid`, and `best_epochs`.
    n_iter_ : int
        Epochs trained, over all warm starts and calls of `partial_fit`.
    oof_prediction_ : ndarray of shape (n_samples,) or (n_samples, n_outputs), or None
        Predictions for training rows by the networks that held them out.
        NaN for rows that no network held out, None if all rows are such.
    validation_score_ : float or None
        R squared of `oof_prediction_`, or on `X_val`; None without validation.
    validation_error_ : float or None
        Standard error of `validation_score_`, from the rows behind it; None without validation.
    n_validation_rows_ : int
        Rows behind it.
    validation_weighted_ : bool
        Whether they count differently, by `sample_weight` or `sample_weight_val`.
    training_score_ : float
        R squared of the networks on the rows that each was trained on.
    n_features_in_ : int
        Columns of `X`, or numbers of a row of any shape.
    input_shape_ : tuple of int or None
        Shape of a row, if `X` had more than two dimensions or `input_shape` was given.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if `X` had names and all were strings.

    See Also
    --------
    StepwiseClassifier : The same for labels.
    find_learning_rate : The range test by hand.

    Notes
    -----
    Where this departs from the article [1]_:

    - Inputs are divided by their standard deviation; the article prints the variance.
    - Weights start as a zero-mean Gaussian with standard deviation sqrt(2 / fan_in) [2]_;
      the article prints another denominator.
    - The width rule has a floor and a ceiling, without which it gives no units at all or
      tens of thousands. N_s counts the rows trained on, after the validation split.
    - Several cross-fitted networks are averaged by default, and standardised inputs are
      smoothly clipped. Both were chosen by measurement, as were all default numbers;
      see "docs/step2_architecture.md" and "docs/step3_training.md".

    With fewer rows than folds need there is no validation, and all rows train all
    networks.

    References
    ----------
    .. [1] "Structuring Deep Learning Projects: A Step-by-Step Guide", 2018.
    .. [2] K. He, X. Zhang, S. Ren, J. Sun. "Delving deep into rectifiers: surpassing
       human-level performance on ImageNet classification." ICCV 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import train_test_split
    >>> from sk_dlsteps import StepwiseRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = StepwiseRegressor(random_state=0).fit(X_train, y_train)
    >>> bool(model.score(X_test, y_test) > 0.2)
    True
    >>> print(model.steps_[0].decision, "because", model.steps_[0].because)
    MSE because the target is a number
    >>> y_pred, y_std = model.predict(X_test, return_std=True)
    >>> y_std.shape
    (111,)
    >>> model = StepwiseRegressor(loss="quantile", random_state=0).fit(X_train, y_train)
    >>> low, high = model.predict(X_test, quantiles=[0.05, 0.95]).T
    >>> bool(((low < y_test) & (y_test < high)).mean() > 0.7)
    True

    """

    @showing_shared_parameters
    def __init__(self, *, quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95), **shared: Any) -> None:
        super().__init__(**shared)
        self.quantiles = quantiles

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn a chunk of a stream: every network goes once through its rows.

        The first call decides as `fit` does, on the rows of this chunk. The statistics of the inputs and
        the target are those of all chunks so far; when they change, the networks' first and last layers
        change with them, so that predictions stay. No rows are held out. After `fit` its networks learn on.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, ...)
            The rows, as for `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The target.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts: in the statistics as much as so many copies, in the loss
            beside the other rows of the chunk.

        Returns
        -------
        self : object
            The estimator. If the call fails or is interrupted, it stays as it was.

        Raises
        ------
        ValueError
            If a parameter or the data are not what they may be.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sk_dlsteps import StepwiseRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = StepwiseRegressor(random_state=0)
        >>> for _ in range(15):
        ...     for start in range(0, len(X), 150):
        ...         chunk = slice(start, start + 150)
        ...         _ = model.partial_fit(X[chunk], y[chunk])
        >>> model.n_iter_
        45
        >>> bool(model.score(X, y) > 0.4)
        True

        """
        learn_chunk(self, X, y, sample_weight)
        return self

    def predict(self, X: Any, return_std: bool = False, *, quantiles: ArrayLike | None = None) -> Any:
        """Predict values: the mean of the networks.

        With ``loss="quantile"`` these are medians, or the quantiles asked for.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, ...)
            Columns as in `fit`; values may be missing.
        return_std : bool, default=False
            Also give the standard deviation between the networks, in the units of `y`: what
            they disagree about, not the noise of the target.
        quantiles : float, sequence of float or None, default=None
            Levels of the quantiles to predict instead, between the lowest and the highest
            that were learnt with ``loss="quantile"``; those between learnt ones are
            interpolated. None gives the median, interpolated too if it was not learnt, or
            the learnt quantile nearest to it.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predicted values. With a sequence of quantiles there is one more axis for them:
            (n_samples, n_quantiles) or (n_samples, n_outputs, n_quantiles).
        y_std : ndarray, shaped as `y`
            Only with ``return_std=True``.

        Raises
        ------
        ValueError
            If `quantiles` were not learnt, or are no numbers between those that were.

        """
        X = self._network_inputs(X)
        if quantiles is None and not return_std:
            return self.pipeline_.predict(X)
        net = self.pipeline_[-1]
        cost = net.module_.cost
        levels = None if quantiles is None else self._levels(cost, quantiles)
        predictions = net.network_predictions(self.pipeline_[:-1].transform(X))
        predictions = cost.point(predictions) if levels is None else cost.at(levels, predictions)
        if quantiles is not None and np.ndim(quantiles) == 0:
            predictions = predictions[..., 0]
        if predictions.shape[2] == 1:
            predictions = predictions[:, :, 0]
        mean = predictions.mean(1)
        return (mean, predictions.std(1)) if return_std else mean

    def _calibrate(self, net: FleetNet, prepared: Prepared) -> tuple[dict[str, Any], tuple[StepRecord, ...]]:
        """Widen or narrow the intervals between quantiles until held-out rows lie in them as often as they should."""
        cost, data, predict = net.module_.cost, prepared.data, prepared.on_table(net.network_predictions)
        if not isinstance(cost, QuantileLoss):
            return {}, ()
        weights = data.weight, data.weight_valid
        found = calibrate_intervals(predict, cost, prepared.Z, data.target.values, prepared.rows, *weights)
        if found is None:
            return {}, ()
        net.calibrate(found.factors)
        return {}, (found.record,)

    def _levels(self, cost: Cost, quantiles: Any) -> np.ndarray:
        """Levels to predict, or an error if they were not learnt."""
        if isinstance(cost, QuantileLoss):
            return cost.check_levels(quantiles)
        raise ValueError(
            f"`quantiles={quantiles!r}` needs a model that learnt quantiles, this one has `loss={self.loss!r}`; "
            "fit StepwiseRegressor(loss='quantile'), or use `return_std=True`"
        )

    def __sklearn_tags__(self):
        """Several targets are welcome."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _target(self, y: np.ndarray, classes: None = None) -> RegressionTarget:
        """The target for the recipe; numbers have no classes."""
        if y.ndim == 2 and y.shape[1] == 1:
            warnings.warn(
                "A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
                "(n_samples,), for example using ravel().",
                DataConversionWarning,
                stacklevel=level_of_the_caller(),
            )
        return RegressionTarget(_numbers(y))

    def _validation_target(self, target: RegressionTarget, y: np.ndarray) -> np.ndarray:
        """Validation values, shaped as the training ones."""
        values = _numbers(y).reshape(len(y), -1)
        if values.shape[1] != target.n_columns:
            raise ValueError(f"`y_val` has {values.shape[1]} columns, `y` has {target.n_columns}")
        return values


def _numbers(y: np.ndarray) -> np.ndarray:
    """The target as float64."""
    try:
        return np.asarray(y, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError("`y` must hold numbers for a regressor; use StepwiseClassifier for labels") from error
