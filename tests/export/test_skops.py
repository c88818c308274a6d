"""skops writes and reads models without pickle, given the list of types that is documented."""

import numpy as np
import pytest
import skops.io
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV, StepwiseWarning
from sk_dlsteps.export import TRUSTED_TYPES, TRUSTED_TYPES_OF_SEARCHES

X, Y = load_iris(return_X_y=True)
FAST = {"max_epochs": 2, "n_estimators": 2, "learning_rate": 0.01, "random_state": 0}


def own_types(content):
    """Types of this package that a file asks to trust."""
    return {name for name in skops.io.get_untrusted_types(data=content) if name.startswith("sk_dlsteps.")}


@pytest.mark.parametrize("name", ["defaults", "mixed frame", "lstm", "techniques", "embedding", "stream", "fine-tuned"])
def test_a_model_needs_its_own_class_and_no_other_type(name, fitted):
    model, rows = fitted(name)
    content = skops.io.dumps(model)
    assert skops.io.get_untrusted_types(data=content) == [f"{type(model).__module__}.{type(model).__name__}"]
    again = skops.io.loads(content, trusted=TRUSTED_TYPES)
    np.testing.assert_array_equal(again.predict(rows), model.predict(rows))
    assert list(vars(again)) == list(vars(model))


def test_pipelines_and_searches_of_scikit_learn_need_no_more_of_ours():
    pipeline = make_pipeline(StandardScaler(), StepwiseRegressor(**FAST)).fit(X, Y)
    search = GridSearchCV(StepwiseClassifier(**FAST), {"dropout": [0.0, 0.2]}, cv=2).fit(X, Y)
    for model in (pipeline, search):
        content = skops.io.dumps(model)
        assert own_types(content) < set(TRUSTED_TYPES)
        theirs = [name for name in skops.io.get_untrusted_types(data=content) if name.startswith("sklearn.")]
        again = skops.io.loads(content, trusted=[*TRUSTED_TYPES, *theirs])
        np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_the_list_for_searches_is_what_they_need_and_no_more():
    model = StepwiseClassifier(**FAST)
    searches = [
        RandomizedSearchCV(model, model.param_distributions(step=4), n_iter=2, cv=2, random_state=0).fit(X, Y),
        StepwiseSearchCV(model, strategy="random", n_iter=2, cv=2, random_state=0).fit(X, Y),
        StepwiseSearchCV(StepwiseRegressor(**FAST), cv=2, random_state=0).fit(X, Y),
    ]
    needed = set()
    for search in searches:
        content = skops.io.dumps(search)
        needed |= own_types(content)
        theirs = [name for name in skops.io.get_untrusted_types(data=content) if name.startswith("sklearn.")]
        again = skops.io.loads(content, trusted=[*TRUSTED_TYPES_OF_SEARCHES, *theirs])
        np.testing.assert_array_equal(again.predict(X), search.predict(X))
    assert needed == set(TRUSTED_TYPES_OF_SEARCHES)


@pytest.mark.parametrize(
    ("parameter", "value"), [("augmentation", lambda X, y, generator: (X, y)), ("module", nn.Linear)]
)
def test_code_of_the_users_own_is_refused_with_a_way_out(parameter, value):
    with pytest.raises(ValueError, match=rf"`{parameter}` holds .* joblib.dump"):
        skops.io.dumps(StepwiseRegressor(**{parameter: value}))


def test_a_state_of_the_other_class_is_refused():
    with pytest.raises(ValueError, match="it is a StepwiseClassifier, and no StepwiseRegressor"):
        StepwiseRegressor().__setstate__(StepwiseClassifier().__getstate__())


@pytest.mark.parametrize(
    "state",
    [{"predict": np.sin}, {"checkpoint": "folder", "__class__": 3}, {"text": "", "arrays": {}, "fit": np.sin}, ["fit"]],
    ids=["a method", "a class", "text and more", "a list"],
)
def test_a_made_up_state_is_refused(state, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(StepwiseRegressor, "__getstate__", lambda self: state)
        content = skops.io.dumps(StepwiseRegressor())
    with pytest.raises(ValueError, match="neither that of a pickle nor one that `save` would write"):
        skops.io.loads(content, trusted=TRUSTED_TYPES)


def test_a_made_up_state_never_decides_where_a_fit_writes(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(StepwiseRegressor, "__getstate__", lambda self: {"checkpoint": "folder", "dropout": 0.5})
        content = skops.io.dumps(StepwiseRegressor())
    with pytest.warns(StepwiseWarning, match="before versions were kept"):
        model = skops.io.loads(content, trusted=TRUSTED_TYPES)
    assert (model.checkpoint, model.dropout) == (None, 0.5)


@pytest.mark.parametrize(
    "change",
    [{"text": 3}, {"arrays": {"a": 3}}, {"arrays": {"a": np.array([None])}}, {"text": "[]"}],
    ids=["no text", "no array", "objects", "no model"],
)
def test_text_and_arrays_that_are_none_are_refused(change, monkeypatch):
    state = {**StepwiseRegressor().__getstate__(), **change}
    with monkeypatch.context() as patch:
        patch.setattr(StepwiseRegressor, "__getstate__", lambda self: state)
        content = skops.io.dumps(StepwiseRegressor())
    with pytest.raises(ValueError, match=r"it is no text|array of objects|not written by sk_dlsteps"):
        skops.io.loads(content, trusted=TRUSTED_TYPES)


def test_the_state_of_a_pickle_is_none_that_skops_trusts(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(StepwiseRegressor, "__getstate__", StepwiseRegressor._attributes)
        content = skops.io.dumps(StepwiseRegressor())
    assert own_types(content) > {"sk_dlsteps.regressor.StepwiseRegressor"}
    with pytest.raises(TypeError, match="Untrusted types"):
        skops.io.loads(content, trusted=TRUSTED_TYPES)
