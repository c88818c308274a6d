"""What StepwiseRegressor and StepwiseClassifier share: `fit`, the steps on one page, and what it is made of."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sk_dlsteps.continuation import Memory, continue_fit, remember
from sk_dlsteps.engine.carried import Carried
from sk_dlsteps.engine.device import threads
from sk_dlsteps.engine.interrupt import deferred_interrupt
from sk_dlsteps.engine.memory import telling_the_way_out
from sk_dlsteps.engine.net import FleetNet
from sk_dlsteps.engine.processes import all_or_none
from sk_dlsteps.epoch_tasks import told_to_callbacks
from sk_dlsteps.exportable import Exportable
from sk_dlsteps.fine_tuning import fit_in_stages, stage_finder
from sk_dlsteps.inputs.parameters import check_parameters
from sk_dlsteps.inputs.weights import weights_differ
from sk_dlsteps.plan import Plan, StepRecord
from sk_dlsteps.preparation import Prepared, prepare, train
from sk_dlsteps.receiver import Receiver
from sk_dlsteps.resuming import leave_checkpoint, open_checkpoint
from sk_dlsteps.step3_training.lr_finder import LRCurve, warn_if_unreliable
from sk_dlsteps.step3_training.record import interruption_record, training_record, warn_of_interruption
from sk_dlsteps.step3_training.transfer import is_staged
from sk_dlsteps.step4_validation.regularisation import regularisation_record
from sk_dlsteps.step4_validation.scores import score_fit
from sk_dlsteps.step4_validation.spaces import distributions, searched_parameters
from sk_dlsteps.step6_real_world.fit_sketch import sketch_fit
from sk_dlsteps.step6_real_world.reference import Reference
from sk_dlsteps.sweep import find_rate
from sk_dlsteps.together import fit_together

if TYPE_CHECKING:
    from sk_dlsteps.report.report import Report


class StepwiseEstimator(Exportable, Receiver):
    """`fit` of both estimators, and what they do alike; see those."""

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Walk through steps 1 to 3 and train.

        With ``warm_start=True`` a fitted estimator goes on from its networks instead: see there.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, ...)
            The table: numbers and categories, see `categorical_features`; values may be
            missing, but not infinite. Images, sequences and other rows of more than one dimension
            hold numbers only.
        y : array-like of shape (n_samples,)
            The target; a regressor also takes (n_samples, n_outputs), a classifier
            zeros and ones of shape (n_samples, n_labels).
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts, in the training and validation losses, the statistics of the
            inputs and the target, the scores and N_s of the width rule: as much as so many
            copies. Rows of weight 0 have no effect. None: each counts 1.
        X_val, y_val : array-like, optional
            Validation data that decide on each network's best epoch; all rows
            of `X` then train all networks.
        sample_weight_val : array-like, optional
            What each row of `X_val` counts.

        Returns
        -------
        self : object
            The fitted estimator. If fitting fails or is interrupted, it stays
            as it was; see `on_interrupt`.

        Raises
        ------
        ValueError
            If a parameter or the data are not what they may be.
        OSError
            If `checkpoint` cannot be written.
        MemoryError
            If memory runs out, and minibatches cannot be cut; the text says what to set.

        """
        with threads(), telling_the_way_out():
            if self.warm_start and hasattr(self, "pipeline_"):
                continue_fit(self, X, y, sample_weight, X_val, y_val, sample_weight_val)
            else:
                self._fit_anew(X, y, sample_weight, X_val, y_val, sample_weight_val, self.on_interrupt)
        return self

    def fine_tune(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        **parameters: Any,
    ) -> Self:
        """Fit a new estimator that begins with the networks of this fitted one.

        The columns of `X` are those of this estimator's table; the target may be another one. By default the last
        layer trains alone at first, then the layers before it join, at smaller rates; see `unfreeze` and
        `differential_rates`. For a target of another kind (values instead of classes) make the other estimator and
        give it this one as `init_from`.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, ...)
            The new rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their target.
        sample_weight, X_val, y_val, sample_weight_val : array-like, optional
            As in `fit`.
        **parameters : dict
            Parameters of the new estimator that differ from this one's.

        Returns
        -------
        tuned : estimator
            Of this one's class, fitted. This one stays as it is.

        Raises
        ------
        ValueError
            If the columns differ, if a parameter contradicts the networks, or as in `fit`.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from sk_dlsteps import StepwiseClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> source = StepwiseClassifier(max_epochs=15, n_estimators=2, random_state=0).fit(X[y < 5], y[y < 5])
        >>> new = y >= 5
        >>> tuned = source.fine_tune(X[new][:100], y[new][:100])
        >>> bool(tuned.score(X[new][100:], y[new][100:]) > 0.8)
        True

        """
        check_is_fitted(self)
        if "init_from" in parameters:
            raise ValueError("`init_from` is the estimator whose `fine_tune` is called; leave it out")
        tuned = self._copy_with(self).set_params(**parameters)
        return tuned.fit(X, y, sample_weight, X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val)

    def param_distributions(
        self, step: int | None = None, X: Any = None, y: Any = None, prefix: str = ""
    ) -> dict[str, Any]:
        """Give the article's ranges to a random search.

        Ready for RandomizedSearchCV, HalvingRandomSearchCV and ParameterSampler. What is set
        in this estimator is not looked at: a parameter that you have fixed is in the space
        all the same; take out what shall stay, or add to it, as from any dict.

        Parameters
        ----------
        step : {3, 4} or None, default=None
            3 searches what helps to fit the training set: `learning_rate`, `lr_schedule`,
            `hidden_units`, `batch_size` and `n_hidden_layers`. 4 searches what helps to fit the
            validation set: `dropout`, `weight_decay`, `batch_norm`, `hidden_units` and
            `n_hidden_layers`. None searches both together.
        X : array-like of shape (n_samples, n_features), optional
            Training rows, for ranges around their own learning rate and width: the rate is found
            by the range test (see `find_learning_rate`), units reach from below the
            rule's with a=10 to above those with a=2, and minibatches leave a few steps
            in an epoch. Without rows the ranges are fixed. Of a pipeline, the rows that reach
            this estimator.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            Their target.
        prefix : str, default=""
            Put before each name, for a pipeline: ``"stepwiseregressor__"``, with or without
            the trailing "__".

        Returns
        -------
        space : dict
            For each name a list of values or a distribution with
            ``rvs(size=None, random_state=None)``. What would have no effect is left out: layers,
            dropout and batch norm with a `module` of your own, decay with an optimizer class
            that knows none, and the schedule if a callback steers the rate.

        Raises
        ------
        ValueError
            If there is nothing to search in `step`, if only one of `X` and `y` is given, or if a
            parameter or the data are not what they may be.

        Warns
        -----
        StepwiseWarning
            If no rate could be found, and the default takes its place.

        Notes
        -----
        HalvingRandomSearchCV with ``resource="max_epochs"`` needs `max_resources` as a number,
        since the default "auto" is none; 240 is the most that "auto" ever takes.
        ``min_resources="exhaust"`` with a number of candidates makes the last round use all of it;
        otherwise the first round has a single epoch. A schedule always fits into the epochs of its round.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sklearn.experimental import enable_halving_search_cv
        >>> from sklearn.model_selection import HalvingRandomSearchCV, RandomizedSearchCV
        >>> from sk_dlsteps import StepwiseRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = StepwiseRegressor(max_epochs=5, n_estimators=2, random_state=0)
        >>> model.param_distributions(step=4)["dropout"]
        Dropout(low=0.25, high=0.5)
        >>> search = RandomizedSearchCV(model, model.param_distributions(), n_iter=3, cv=2, random_state=0)
        >>> sorted(search.fit(X, y).best_params_)[:4]
        ['batch_norm', 'batch_size', 'dropout', 'hidden_units']
        >>> halving = HalvingRandomSearchCV(
        ...     model,
        ...     model.param_distributions(step=3, X=X, y=y),
        ...     resource="max_epochs",
        ...     max_resources=9,
        ...     min_resources="exhaust",
        ...     n_candidates=6,
        ...     cv=2,
        ...     random_state=0,
        ... )
        >>> halving.fit(X, y).n_resources_
        [3, 9]

        """
        parameters = self.get_params(deep=False)
        check_parameters(parameters)
        names = searched_parameters(step, parameters)
        if (X is None) != (y is None):
            missing, given = ("y", "X") if y is None else ("X", "y")
            raise ValueError(f"`{missing}` is missing: `X` and `y` belong together; give both, or leave out `{given}`")
        if X is None:
            return distributions(names, self.optimizer, prefix=prefix)
        data, _ = self._receive(X, y)
        prepared = prepare({**parameters, "random_state": copy.deepcopy(self.random_state)}, data)
        plan = prepared.plan
        if "learning_rate" in names:
            curve = find_rate(stage_finder(prepared, parameters) if is_staged(parameters) else prepared)
            warn_if_unreliable(curve)
            plan = replace(plan, learning_rate=curve.learning_rate)
        return distributions(names, self.optimizer, plan, prefix)

    def report(self) -> Report:
        """Tell what was decided at each step, why, with which figures, and what was not done.

        Returns
        -------
        report : Report
            Prints as text, shows itself in a notebook, and has `to_markdown`, `to_html` and `add`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sk_dlsteps import StepwiseClassifier
        >>> model = StepwiseClassifier(max_epochs=20, random_state=0).fit(*load_iris(return_X_y=True))
        >>> page = model.report().to_html()

        """
        from sk_dlsteps.report.report import Report

        return Report.of(self)

    _fit_together = staticmethod(fit_together)

    def _fit_anew(
        self, X, y, sample_weight=None, X_val=None, y_val=None, sample_weight_val=None, on_interrupt="raise"
    ) -> None:
        """Steps 1 to 4, whatever there was before."""
        parameters = self.get_params(deep=False)
        with all_or_none(self.accelerator):
            check_parameters(parameters)
            data, names = self._receive(X, y, sample_weight, X_val, y_val, sample_weight_val)
        with open_checkpoint(parameters, data) as checkpoint, deferred_interrupt(on_interrupt == "keep") as interrupt:
            prepared = prepare(parameters, data, checkpoint, interrupt)
            with told_to_callbacks(self, prepared, names, X, y, sample_weight) as prepared:
                self._train(prepared, names, parameters)
            leave_checkpoint(self, checkpoint)

    def _train(self, prepared: Prepared, names: dict[str, Any], parameters: dict[str, Any]) -> None:
        """Steps 3 and 4 of what is prepared."""
        if is_staged(parameters):
            fit_in_stages(self, prepared, names)
            return
        rate, curve = self._learning_rate(prepared)
        plan = replace(prepared.plan, learning_rate=rate)
        carried = Carried() if self.warm_start else None
        pipeline = train(prepared, plan, self.callbacks, self.verbose, carried)
        self._conclude(prepared, plan, curve, pipeline, names, remember(prepared, parameters, carried))

    def _plan(self, X, y) -> Plan:
        """What `fit` would decide on these rows, but for the learning rate; nothing is trained or changed."""
        parameters = self.get_params(deep=False)
        check_parameters(parameters)
        data, _ = self._receive(X, y)
        return prepare({**parameters, "random_state": copy.deepcopy(self.random_state)}, data).plan

    def _conclude(
        self,
        prepared: Prepared,
        plan: Plan,
        curve: LRCurve | None,
        pipeline: Pipeline,
        names: dict[str, Any],
        memory: Memory | None = None,
    ) -> None:
        """Step 4's gap and the records, then the fitted attributes, all at once."""
        net = pipeline[-1]
        self._publish(self._fitted(prepared, plan, curve, pipeline, names, memory))
        if net.interrupted_:
            is_stored = prepared.checkpoint is not None and not self.warm_start
            warn_of_interruption(len(net.history), plan.max_epochs, is_stored)

    def _fitted(
        self,
        prepared: Prepared,
        plan: Plan,
        curve: LRCurve | None,
        pipeline: Pipeline,
        names: dict[str, Any],
        memory: Memory | None,
    ) -> dict[str, Any]:
        """All fitted attributes."""
        net = pipeline[-1]
        calibration, step4 = self._calibrate(net, prepared)
        data = prepared.data
        scores = score_fit(
            prepared.on_table(net.votes),
            prepared.Z,
            data.target,
            prepared.rows,
            lambda votes: prepared.cost.point(net.count(votes)),
            data.weight,
            data.weight_valid,
        )
        given = (lambda values: values) if data.counted is None else data.counted.given
        outcome = net.best_epochs_, net.best_losses_, net.rescues_, net.signals_
        step3 = training_record(plan, curve, len(net.history), *outcome)
        return {
            **names,
            "pipeline_": pipeline,
            "plan_": plan,
            "steps_": (
                *prepared.records,
                step3,
                *interruption_record(net.interrupted_, len(net.history), plan.max_epochs),
                *regularisation_record(plan, self.max_grad_norm),
                *step4,
                scores.record,
            ),
            "loss_": plan.loss,
            "hidden_units_": plan.hidden_units,
            "learning_rate_": plan.learning_rate,
            "lr_curve_": curve,
            "history_": net.history,
            "loss_curves_": net.loss_curves_,
            "n_iter_": len(net.history),
            "oof_prediction_": given(scores.oof_prediction),
            "training_score_": scores.training_score,
            "validation_score_": scores.validation_score,
            "validation_error_": scores.validation_error,
            "n_validation_rows_": scores.n_validation_rows,
            "validation_weighted_": weights_differ(data.weight_valid)
            if data.X_valid is not None
            else data.counted is not None and data.counted.differ,
            "reference_": self._sketch(prepared, pipeline, names, scores.oof_prediction, memory),
            **calibration,
            "_memory": memory or remember(prepared, self.get_params(deep=False)),
        }

    def _sketch(
        self,
        prepared: Prepared,
        pipeline: Pipeline,
        names: dict[str, Any],
        held_out: np.ndarray | None,
        memory: Memory | None,
    ) -> Reference:
        """What step 6 compares new rows with; a chunk of a stream joins those before it."""
        net = pipeline[-1]
        is_chunk = memory is not None and hasattr(self, "_memory") and memory.n_calls > self._memory.n_calls
        return sketch_fit(
            prepared.data,
            pipeline.named_steps.get("columns"),
            names.get("feature_names_in_"),
            prepared.rows,
            held_out,
            prepared.on_table(lambda Z: prepared.cost.point(net.count(net.votes(Z).mean(1)))),
            getattr(self, "reference_", None) if is_chunk else None,
        )

    def _calibrate(self, net: FleetNet, prepared: Prepared) -> tuple[dict[str, Any], tuple[StepRecord, ...]]:
        """Calibrate the trained networks, if asked to: fitted attributes and records; of values there is nothing."""
        return {}, ()

    def _learning_rate(self, prepared: Prepared) -> tuple[float, LRCurve | None]:
        """The rate given, or the one found, with the curve it was found on."""
        if self.learning_rate != "auto":
            return float(self.learning_rate), None
        curve = find_rate(prepared)
        warn_if_unreliable(curve)
        return curve.learning_rate, curve

    def _publish(self, fitted: dict[str, Any]) -> None:
        """Replace the fitted attributes, all at once."""
        kept = {name: value for name, value in vars(self).items() if name.startswith("_") or not name.endswith("_")}
        self.__dict__ = {**kept, **fitted}
