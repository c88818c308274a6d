"""Best values of a search that stand at the end of their space."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import StepwiseSearchCV, diagnose
from sk_dlsteps.diagnosis.search import ERRORS, _over_the_inside, _range
from sk_dlsteps.step4_validation.spaces import LogUniform


def edges(search):
    """Evidence of the findings about edges."""
    return [finding.evidence for finding in diagnose(search) if finding.code == "best_at_edge"]


@pytest.mark.parametrize("piped", [False, True])
def test_a_grid_whose_best_rate_is_its_largest_is_found(small, rule, piped):
    model = make_pipeline(StandardScaler(), small(max_epochs=5)) if piped else small(max_epochs=5)
    name = "stepwiseregressor__learning_rate" if piped else "learning_rate"
    search = GridSearchCV(model, {name: [1e-5, 1e-4, 1e-3, 1e-2]}, cv=3).fit(*rule)
    (finding,) = (f for f in diagnose(search) if f.code == "best_at_edge")
    assert finding.step == 3
    assert finding.evidence["parameter"] == name
    assert (finding.evidence["side"], finding.evidence["space"]) == ("upper", (1e-5, 1e-2))
    assert finding.evidence["ahead of the inside"] > finding.evidence["standard error"]
    assert finding.action == f"search further up: `{name}` above 0.01"


@pytest.mark.parametrize("space", [loguniform(1e-6, 1e-3), LogUniform(1e-6, 1e-3)])
@pytest.mark.parametrize("kind", [RandomizedSearchCV, StepwiseSearchCV])
def test_distributions_have_edges_too(small, rule, space, kind):
    settings = {"strategy": "random"} if kind is StepwiseSearchCV else {}
    search = kind(small(max_epochs=5), {"learning_rate": space}, n_iter=12, cv=3, random_state=0, **settings)
    (evidence,) = edges(search.fit(*rule))
    assert evidence["side"] == "upper"
    assert evidence["space"] == pytest.approx((1e-6, 1e-3))


def test_a_best_value_inside_is_no_finding(small, rule):
    search = GridSearchCV(small(max_epochs=10), {"learning_rate": [1e-6, 1e-2, 100.0]}, cv=3).fit(*rule)
    assert "edges of the search" in diagnose(search).looked_at
    assert edges(search) == []


def test_natural_ends_and_values_without_order_are_no_finding(small, rule):
    space = {"weight_decay": [0.0, 3.0, 10.0], "activation": ["relu", "silu", "tanh"], "batch_norm": [True, False]}
    search = RandomizedSearchCV(small(max_epochs=10), space, n_iter=9, cv=3, random_state=0).fit(*rule)
    assert search.best_params_["weight_decay"] == 0
    assert edges(search) == []


def test_seeds_have_no_order(small, rule):
    assert edges(GridSearchCV(small(max_epochs=10), {"random_state": [1, 2, 3]}, cv=3).fit(*rule)) == []


@pytest.mark.parametrize("n_values", [4, 20])
def test_where_no_value_is_better_the_best_is_hardly_ever_taken_for_one_at_an_edge(n_values):
    rng = np.random.default_rng(0)
    values, n_found = list(range(n_values)), 0
    for _ in range(300):
        scores = rng.normal(size=(5, n_values)) + rng.normal(size=(5, 1))
        results = {"params": [{"a": value} for value in values], "mean_test_score": scores.mean(0)}
        results |= {f"split{i}_test_score": own for i, own in enumerate(scores)}
        search = SimpleNamespace(cv_results_=results, refit=True, best_index_=scores.mean(0).argmax())
        side = _range(values).side(values[search.best_index_])
        n_found += side is not None and _over_the_inside(search, "a", _range(values)).exceeds(ERRORS)
    assert n_found <= 0.05 * 300


def test_a_ladder_over_the_article_s_own_ranges_has_none(small, rule):
    search = StepwiseSearchCV(small(max_epochs=5), n_iter=3, cv=2, random_state=0).fit(*rule)
    assert edges(search) == []


def test_the_inside_of_a_space_leaves_out_its_tenths():
    numbers = _range(LogUniform(1.0, 1e10))
    assert numbers.inner_low == pytest.approx(10.0)
    assert numbers.inner_high == pytest.approx(1e9)
    assert _range([1, 2]) is _range(["a", "b", "c"]) is _range([True, False, True]) is None
    assert [_range([1, 3, 9, 27]).side(v) for v in (1, 3, 9, 27)] == ["lower", None, None, "upper"]
    assert np.isfinite(numbers.low)
