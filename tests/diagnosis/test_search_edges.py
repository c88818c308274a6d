"""Best values of a search that stand at the end of their space."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import expon, loguniform, norm, poisson, randint
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_dlsteps import StepwiseSearchCV, diagnose
from sk_dlsteps.diagnosis.search import ERRORS, _range, _Results, look_at_edges
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
        n_found += side is not None and _Results.of(search).over_the_inside("a", _range(values)).exceeds(ERRORS)
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


def searched(values, means, *, space, name="learning_rate", rounds=None, **more):
    """The finding about the edge of a search that gave such means, with little noise, if there is one."""
    noise = np.random.default_rng(0).normal(size=(5, len(values))) * 1e-3
    results = {"params": [{name: value} for value in values], "mean_test_score": np.array(means)}
    results |= {f"split{i}_test_score": np.array(means) + own for i, own in enumerate(noise)}
    best = int(np.argmax(means))
    if rounds is not None:
        results["iter"] = np.array(rounds)
        best = max(range(len(values)), key=lambda i: (rounds[i], means[i]))
    search = SimpleNamespace(
        best_params_=results["params"][best],
        best_index_=best,
        cv_results_=results,
        refit=True,
        param_distributions={name: space},
        **more,
    )
    found = list(look_at_edges(SimpleNamespace(fitted=SimpleNamespace(search=search))))
    return found[0] if found else None


def test_an_end_at_infinity_is_told_by_the_values_tried():
    far = searched([0.001, 0.005, 0.01, 0.05], [0.1, 0.2, 0.3, 0.4], space=expon(scale=0.01))
    assert far.action == "search further up: `learning_rate` above 0.05"
    assert far.evidence["space"] == (0.0, 0.05)
    assert "in the upper tenth of its distribution, where values as far as 0.05 were tried" in far.title
    low = searched([-2.0, 0.0, 0.5], [0.9, 0.2, 0.3], space=norm(0, 1), name="m__x")
    assert low.action == "search further down: `m__x` below -2"
    assert low.evidence["space"] == (-2.0, 0.5)


def test_whole_numbers_of_a_distribution_are_like_those_of_a_list():
    few = {"values": [1, 2, 3], "means": [0.1, 0.2, 0.9], "name": "n_hidden_layers"}
    assert searched(**few, space=randint(1, 4)).action == searched(**few, space=[1, 2, 3]).action
    assert searched(**few, space=randint(1, 4)).action == "search further up: `n_hidden_layers` above 3"
    assert _range(randint(1, 3)) is None
    many = _range(randint(0, 1000))
    assert (many.side(50), many.side(500), many.side(950)) == ("lower", None, "upper")
    assert searched([5, 7, 12], [0.1, 0.2, 0.9], space=poisson(6), name="max_epochs").evidence["space"] == (0.0, 12.0)


def test_rounds_of_a_search_by_halving_are_not_compared_with_each_other():
    halving = {"values": [32, 64, 128, 128], "rounds": [0, 0, 0, 1], "name": "hidden_units", "space": [32, 64, 128]}
    assert searched(means=[0.60, 0.6120, 0.6121, 0.80], **halving) is None
    found = searched(means=[0.60, 0.61, 0.70, 0.80], **halving)
    assert found.evidence["ahead of the inside"] == pytest.approx(0.09, abs=0.01)
    both = {**halving, "values": [32, 64, 128, 128, 64], "rounds": [0, 0, 0, 1, 1]}
    assert searched(means=[0.60, 0.61, 0.70, 0.80, 0.7999], **both) is None


def test_halving_is_read_as_it_is(small, rule):
    search = HalvingGridSearchCV(
        small(max_epochs=10), {"learning_rate": [1e-6, 1e-5, 1e-2]}, min_resources=60, factor=3, cv=3, random_state=0
    ).fit(*rule)
    assert len({*search.cv_results_["iter"]}) == 2
    assert edges(search)[0]["side"] == "upper"


def test_several_scores_without_the_name_of_the_one_that_counts_are_not_looked_at(small, rule):
    settings = {"scoring": ["r2", "neg_mean_absolute_error"], "cv": 3}
    model, space = small(max_epochs=5), {"learning_rate": [1e-5, 1e-4, 1e-3, 1e-2]}
    search = GridSearchCV(model, space, refit=lambda results: results["mean_test_r2"].argmax(), **settings).fit(*rule)
    assert "set `refit` to a name" in diagnose(search).left_out["edges of the search"]
    (evidence,) = edges(GridSearchCV(model, space, refit="r2", **settings).fit(*rule))
    low, high = evidence["95 % interval"]
    assert 0 < low < evidence["ahead of the inside"] < high
