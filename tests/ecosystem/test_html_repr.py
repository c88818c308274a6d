"""Estimators show themselves in notebooks as scikit-learn's do: looked at in a real browser."""

import numpy as np
import pytest
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor, StepwiseSearchCV

SHORT = {"max_epochs": 3, "n_estimators": 2, "learning_rate": 0.02, "random_state": 0}
HOSTILE = '<img src=x onerror="window.hacked=1">'
CELLS = "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim()).filter(Boolean))"
shows_what_is_fitted = pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"), reason="this scikit-learn shows parameters only"
)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 200)).astype(np.float32)
    return StepwiseClassifier(**SHORT).fit(X, np.array(["plain", HOSTILE])[(X[:, 0] > 0).astype(int)])


@pytest.fixture
def page(browser):
    context = browser.new_context()
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    yield page
    context.close()


def rows(page, title):
    """Names and values of a table, as one who unfolds everything sees them."""
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    page.evaluate("document.querySelectorAll('.sk-toggleable__control').forEach((c) => (c.checked = true))")
    table = page.locator("details", has=page.locator("summary", has_text=title)).first
    return table.locator("tr").evaluate_all(CELLS)


@shows_what_is_fitted
def test_a_fitted_model_shows_its_parameters_and_what_it_found(fitted, page):
    page.set_content(fitted._repr_html_())
    parameters = rows(page, "Parameters")
    assert ["learning_rate", "0.02"] in parameters
    assert {name for name, *_ in parameters} >= fitted.get_params(deep=False).keys()
    attributes = {name: values for name, *values in rows(page, "Fitted attributes")[1:]}
    assert attributes["n_features_in_"] == ["int", "200"]
    assert attributes["validation_score_"] == ["float", f"{fitted.validation_score_:.4g}"]
    assert attributes["oof_prediction_"][0] == "ndarray[float64](300, 2)"
    assert HOSTILE in attributes["classes_"][1]
    assert page.errors == []
    assert page.evaluate("window.hacked") is None


@shows_what_is_fitted
def test_no_array_is_written_out(fitted, diabetes):
    X, _, y, _ = diabetes
    small = StepwiseRegressor(**SHORT).fit(X, y)
    assert len(fitted._repr_html_()) < len(small._repr_html_()) + 2000
    assert repr(fitted.reference_) == "Reference(n_rows=300, n_columns=200)"


def test_a_pipeline_and_a_search_show_what_is_in_them(page, diabetes):
    X, _, y, _ = diabetes
    pipeline = make_pipeline(StandardScaler(), StepwiseRegressor(**SHORT))
    space = {"stepwiseregressor__dropout": [0.0, 0.5]}
    search = StepwiseSearchCV(pipeline, space, strategy="random", n_iter=2, cv=2).fit(X, y)
    page.set_content(search._repr_html_())
    labels = page.locator("label.sk-toggleable__label").all_inner_texts()
    shown = "\n".join(labels)
    assert all(name in shown for name in ("StepwiseSearchCV", "StandardScaler", "StepwiseRegressor"))
    assert page.errors == []


def test_our_classes_link_to_no_page_of_scikit_learns(fitted):
    assert "sk_dlsteps" not in fitted._repr_html_()
