import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import GridSearchCV

from sk_dlsteps import Report, StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV
from sk_dlsteps.fitted import Fitted
from sk_dlsteps.plan import StepRecord
from sk_dlsteps.report.checklist import checklist

X, y = load_diabetes(return_X_y=True)
QUICK = {"max_epochs": 5, "n_estimators": 2, "random_state": 0}


def items_of(model, records=()):
    return {item.name: item for item in checklist(Fitted.of(model), [*records])}


@pytest.fixture(scope="module")
def plain():
    return StepwiseRegressor(**QUICK).fit(X, y)


def test_every_step_of_the_article_is_on_the_list_in_order(plain):
    steps = [item.step for item in checklist(Fitted.of(plain), plain.steps_)]
    assert steps == sorted(steps)
    assert set(steps) == set(range(1, 7))


def test_the_recipe_has_done_what_it_does_by_default_and_left_the_rest_open(plain):
    items = items_of(plain, plain.steps_)
    for name in ("learning-rate finder", "Adam", "cosine decay", "restarts", "normalized inputs", "He initialization"):
        assert items[name].state == "done", name
    for name in ("dropout", "L2 regularization", "batch normalization", "data augmentation", "gradient clipping"):
        assert items[name].state == "open", name
    for name in ("LSTM", "differential learning rates"):
        assert items[name].state == "not applicable", name


@pytest.mark.parametrize(
    ("parameters", "name", "note"),
    [
        ({"dropout": 0.25}, "dropout", "0.25"),
        ({"weight_decay": 0.01}, "L2 regularization", "0.01"),
        ({"batch_norm": True}, "batch normalization", ""),
        ({"augmentation": "mixup"}, "data augmentation", "mixup"),
        ({"max_grad_norm": 2.0}, "gradient clipping", "2"),
    ],
)
def test_what_was_set_is_done_and_says_how(parameters, name, note):
    item = items_of(StepwiseRegressor(**QUICK, **parameters).fit(X, y))[name]
    assert (item.state, item.note) == ("done", note)


def test_what_was_set_against_the_recipe_is_open_and_says_so():
    given = {"learning_rate": 0.01, "optimizer": "sgd", "lr_schedule": "constant", "scaler": None}
    items = items_of(StepwiseRegressor(**QUICK, **given).fit(X, y))
    assert (items["learning-rate finder"].state, items["learning-rate finder"].note) == ("open", "rate 0.01 was given")
    assert (items["Adam"].state, items["Adam"].note) == ("open", "sgd")
    assert items["cosine decay"].state == items["restarts"].state == items["normalized inputs"].state == "open"


def test_what_a_search_tried_and_did_not_keep_counts_as_done(plain):
    search = GridSearchCV(
        clone(plain).set_params(learning_rate=0.01), {"dropout": [0.0], "batch_size": [32, 64]}, cv=2
    ).fit(X, y)
    items = items_of(search)
    assert (items["dropout"].state, items["dropout"].note) == ("done", "tried, not kept")
    assert items["minibatch tuned"].state == "done"
    assert items["units tuned"].state == "open"
    assert items["units tuned"].note.endswith("by the recipe")


@pytest.mark.parametrize(("factor", "state"), [(1.0, "open"), (0.3, "done")])
def test_fine_tuning_opens_the_question_of_differential_rates(plain, factor, state):
    tuned = plain.fine_tune(X, y, unfreeze=True, differential_rates=factor, learning_rate=0.001)
    assert items_of(tuned)["differential learning rates"].state == state


def test_a_module_has_layers_of_its_own():
    images, labels = load_digits(n_class=3, return_X_y=True)
    series = images[:80].reshape(80, 8, 8)
    items = items_of(StepwiseClassifier(module="lstm", learning_rate=0.01, **QUICK).fit(series, labels[:80]))
    assert items["LSTM"].state == "done"
    assert items["gradient clipping"].state == "done"
    assert items["dropout"].state == items["units tuned"].state == "not applicable"
    assert items["initial architecture"].note.startswith("module lstm")


def test_later_steps_are_done_once_they_are_added(plain):
    report = plain.report()
    assert "not done: performance on a test set" in report.to_text()
    report.add(StepRecord(5, "test set", "R2 0.5", "five rows"))
    assert "not done: performance on a test set" not in report.to_text()
    assert "not done: performance in the real world" in report.to_text()


def test_a_ladder_stands_in_the_report_with_what_it_tried():
    model = StepwiseRegressor(learning_rate=0.01, **QUICK)
    search = StepwiseSearchCV(model, n_iter=4, cv=2, random_state=0).fit(X, y)
    text = search.report().to_text()
    for rung in search.ladder_:
        assert rung.name in text
    assert Report.of(search).to_markdown() == search.report().to_markdown()


def test_a_search_over_the_rules_factor_has_tuned_the_units(plain):
    model = clone(plain).set_params(learning_rate=0.01)
    items = items_of(GridSearchCV(model, {"hidden_size_factor": [2, 5]}, cv=2).fit(X, y))
    assert items["units tuned"].state == items["architecture revisited"].state == "done"
    assert items["number of layers tuned"].state == "open"
