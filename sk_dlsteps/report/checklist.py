"""The article's summary checklist: what it names, and whether a fitted model has it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sk_dlsteps.fitted import Fitted
from sk_dlsteps.plan import Plan, StepRecord
from sk_dlsteps.step3_training.schedules import Cosine, CosineRestarts
from sk_dlsteps.step6_real_world.watch import CHECKS_NOTHING

DONE, OPEN, NOT_APPLICABLE = "done", "open", "not applicable"
# Rows of a table have one dimension, steps of a sequence come before its features, and images have channels.
_SEQUENCE, _IMAGE = 2, 3


@dataclass(frozen=True)
class ChecklistItem:
    """One thing that the article names.

    Attributes
    ----------
    step : int
        Of the article, 1 to 6.
    name : str
        What is to be done, a few words.
    state : {"done", "open", "not applicable"}
        "done" also for what a search tried and did not keep.
    note : str
        What was done, or why it does not apply, or how to do it.

    """

    step: int
    name: str
    state: str
    note: str


def checklist(fitted: Fitted, records: Sequence[StepRecord]) -> tuple[ChecklistItem, ...]:
    """Go through the article's checklist.

    Parameters
    ----------
    fitted : Fitted
        With a model of ours.
    records : sequence of StepRecord
        What a report holds: steps 5 and 6, and a learning curve, are told by them.

    Returns
    -------
    items : tuple of ChecklistItem
        In the order of the steps.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_dlsteps import StepwiseRegressor
    >>> model = StepwiseRegressor(max_epochs=5, random_state=0).fit(*load_diabetes(return_X_y=True))
    >>> for item in checklist(Fitted.of(model), model.steps_)[:3]:
    ...     print(item.step, item.name, item.state)
    1 cost function done
    2 initial architecture done
    3 learning-rate finder done

    """
    return tuple(_Checklist(fitted, records).items())


class _Checklist:
    """What the items are read from: the plan, the parameters, what a search tried, and the records."""

    def __init__(self, fitted: Fitted, records: Sequence[StepRecord]) -> None:
        self.model = fitted.model
        self.plan: Plan = fitted.model.plan_
        self.parameters = fitted.model.get_params(deep=False)
        self.tried = _tried(fitted.search)
        self.titles = {(record.number, record.title) for record in records}
        self.is_mlp = self.parameters["module"] == "mlp"

    def items(self) -> Iterator[ChecklistItem]:
        """All of them."""
        yield ChecklistItem(1, "cost function", DONE, self.plan.loss)
        yield ChecklistItem(2, "initial architecture", DONE, self._architecture())
        yield from self._training()
        yield from self._validation()
        yield self._of_step(5, "performance on a test set", "report.add(verify_test_set(model, X_test, y_test))")
        yield self._of_step(
            6, "performance in the real world", "report.add(DriftDetector.from_estimator(model).check(X_new))"
        )

    def _architecture(self) -> str:
        """The network in a few words."""
        if not self.is_mlp:
            return next(str(record.decision) for record in self.model.steps_ if record.title == "network architecture")
        units = self.plan.hidden_units
        return f"{len(units)} hidden layer{'s' if len(units) > 1 else ''} of {' and '.join(map(str, units))} units"

    def _training(self) -> Iterator[ChecklistItem]:
        """Step 3."""
        plan, schedule = self.plan, self.plan.lr_schedule
        finder = self.model.lr_curve_ is not None
        rate = f"rate {plan.learning_rate:.2g}"
        yield self._item(3, "learning-rate finder", finder, rate if finder else f"{rate} was given", "learning_rate")
        adam = plan.optimizer.lower().startswith("adam")
        yield self._item(3, "Adam", adam, "" if adam else plan.optimizer, "optimizer")
        decays = isinstance(schedule, Cosine | CosineRestarts)
        yield self._item(3, "cosine decay", decays, "" if decays else str(schedule or "constant"), "lr_schedule")
        yield self._item(3, "restarts", isinstance(schedule, CosineRestarts), "", "restart_period", "restart_mult")
        yield self._transfer()
        for name, parameters, value in (
            ("units tuned", {"hidden_units", "hidden_size_factor"}, " and ".join(map(str, plan.hidden_units))),
            ("minibatch tuned", {"batch_size"}, str(plan.batch_size)),
            ("number of layers tuned", {"n_hidden_layers"}, str(len(plan.hidden_units))),
        ):
            if parameters == {"batch_size"} or self.is_mlp:
                tuned = not parameters.isdisjoint(self.tried)
                yield ChecklistItem(3, name, DONE if tuned else OPEN, f"{value}{'' if tuned else ' by the recipe'}")
            else:
                yield ChecklistItem(3, name, NOT_APPLICABLE, "the module has its own")

    def _transfer(self) -> ChecklistItem:
        """Differential learning rates, which only transfer learning knows."""
        name = "differential learning rates"
        if self.parameters["init_from"] is None and not self.plan.stages:
            return ChecklistItem(3, name, NOT_APPLICABLE, "no transfer learning")
        differ = any(len({*stage.scales.values()}) > 1 for stage in self.plan.stages)
        return self._item(3, name, differ, "", "differential_rates")

    def _validation(self) -> Iterator[ChecklistItem]:
        """Step 4."""
        plan, p = self.plan, self.parameters
        held_out = self.model.validation_score_ is not None
        yield self._item(4, "validation set", held_out, "" if held_out else "no rows were held out")
        if self.is_mlp:
            yield self._item(4, "dropout", any(plan.dropout), _numbers(plan.dropout), "dropout")
        else:
            yield ChecklistItem(4, "dropout", NOT_APPLICABLE, "the module has its own")
        decay = plan.weight_decay > 0
        yield self._item(4, "L2 regularization", decay, f"{plan.weight_decay:.3g}", "weight_decay")
        scaler = p["scaler"]
        yield self._item(4, "normalized inputs", scaler is not None, _short(scaler), "scaler")
        if self.is_mlp:
            yield self._item(4, "batch normalization", plan.batch_norm, "", "batch_norm")
        else:
            yield ChecklistItem(4, "batch normalization", NOT_APPLICABLE, "the module has its own")
        augmented = plan.augmentation is not None
        yield self._item(4, "data augmentation", augmented, _short(p["augmentation"]), "augmentation")
        more = (4, "more data") in self.titles
        yield self._item(4, "more training data", more, "learning curve" if more else "see learning_curve")
        yield from self._gradients()
        sizes = {"hidden_units", "hidden_size_factor", "n_hidden_layers"} & set(self.tried)
        yield ChecklistItem(4, "architecture revisited", DONE if sizes else OPEN, ", ".join(sorted(sizes)))

    def _gradients(self) -> Iterator[ChecklistItem]:
        """Vanishing and exploding gradients."""
        built_in = isinstance(self.parameters["module"], str)
        state = DONE if built_in else NOT_APPLICABLE
        yield ChecklistItem(4, "He initialization", state, "" if built_in else "the module has its own")
        recurrent = self.parameters["module"] in ("lstm", "gru") if built_in else False
        shape = self.plan.input_shape
        if recurrent or (shape is not None and len(shape) == _SEQUENCE):
            yield self._item(4, "LSTM", recurrent, "", "module")
        else:
            kind = "images" if shape is not None and len(shape) == _IMAGE else "rows of a table"
            yield ChecklistItem(4, "LSTM", NOT_APPLICABLE, f"{kind}, no sequences")
        bounds = [bound for bound in (self.plan.max_grad_norm, self.plan.max_grad_value) if bound]
        yield self._item(4, "gradient clipping", bool(bounds), _numbers(bounds), "max_grad_norm", "max_grad_value")

    def _item(self, step: int, name: str, used: bool, note: str, *parameters: str) -> ChecklistItem:
        """Used, or tried by the search, or open."""
        if used:
            return ChecklistItem(step, name, DONE, note)
        if any(parameter in self.tried for parameter in parameters):
            return ChecklistItem(step, name, DONE, "tried, not kept")
        return ChecklistItem(step, name, OPEN, note if not parameters or step == 3 else "")

    def _of_step(self, step: int, name: str, how: str) -> ChecklistItem:
        """Whether a step has a record."""
        done = any(number == step and title not in CHECKS_NOTHING for number, title in self.titles)
        return ChecklistItem(step, name, DONE if done else OPEN, "" if done else how)


def _tried(search: Any) -> Collection[str]:
    """Names of parameters that a search tried, without prefixes."""
    if search is None:
        return frozenset()
    return frozenset(name.rpartition("__")[2] for params in search.cv_results_["params"] for name in params)


def _numbers(values: Sequence[float]) -> str:
    """Numbers in a note."""
    return " and ".join(f"{value:.3g}" for value in values)


def _short(value: Any) -> str:
    """A parameter in a note."""
    return "" if value is None else value if isinstance(value, str) else type(value).__name__
