"""Raw tables from end to end: categories and gaps in fit, predict, searches and streams."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import RandomizedSearchCV
from torch import nn

from sk_dlsteps import (
    StepwiseClassifier,
    StepwiseRegressor,
    StepwiseSearchCV,
    find_learning_rate,
    learning_curve,
    together,
)
from sk_dlsteps.__main__ import main
from sk_dlsteps.inputs.encoder import ONE_HOT_LEVELS, ROWS_PER_VECTOR

RNG = np.random.default_rng(0)
CITIES = [f"city {i:02}" for i in range(ONE_HOT_LEVELS + 2)]
N = ROWS_PER_VECTOR * (len(CITIES) + 1)
EFFECT = RNG.normal(size=len(CITIES))
AT = RNG.permutation(np.resize(np.arange(len(CITIES)), N))
FRAME = pd.DataFrame(
    {
        "size": RNG.normal(5, 2, N),
        "color": RNG.choice(["red", "green", "blue"], N),
        "rooms": np.where(RNG.random(N) < 0.2, np.nan, RNG.integers(1, 5, N)),
        "city": np.array(CITIES)[AT],
        "sold": RNG.random(N) < 0.5,
        "empty": np.full(N, np.nan),
    }
)
FRAME.loc[::9, "color"] = None
Y = FRAME["size"].to_numpy() / 2 + EFFECT[AT] + (FRAME["color"] == "red") + 0.1 * RNG.normal(size=N)
Y = Y.to_numpy()
LABELS = np.where(np.median(Y) < Y, "dear", "cheap")
QUICK = {"n_estimators": 2, "random_state": 0, "learning_rate": 0.02, "max_epochs": 3, "hidden_units": 8}
LIBRARIES = {
    "categories": FRAME.astype({"color": "category", "city": "category"}),
    "nullable": FRAME.convert_dtypes(),
    "polars": pl.from_pandas(FRAME),
    "pyarrow": pa.Table.from_pandas(FRAME),
}


class Net(nn.Sequential):
    """A small module of a user's own, which knows nothing of codes."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 6), nn.ReLU(), nn.Linear(6, n_outputs))


@pytest.fixture(scope="module")
def model():
    return StepwiseRegressor(**QUICK).fit(FRAME, Y)


def step(model, title):
    return next(step for step in model.steps_ if step.title == title)


def inputs_of(model, X):
    """What every network sees of rows, (K, rows, columns)."""
    Z = torch.from_numpy(model.pipeline_[:-1].transform(X)).double()
    return model.pipeline_[-1].module_.standardise(Z, fill=True).numpy()


# -- libraries ------------------------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_library_gives_the_same_model(library, model):
    X = LIBRARIES[library]
    other = StepwiseRegressor(**QUICK).fit(X, Y)
    # A nullable integer is a float64 column, where numpy's is one of its own width.
    np.testing.assert_allclose(other.predict(X), model.predict(FRAME), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(other.predict(FRAME), other.predict(X))
    assert other.feature_names_in_.tolist() == list(FRAME.columns)


def test_polars_and_pyarrow_give_what_pandas_gives_bit_for_bit(model):
    for library in ("polars", "pyarrow"):
        other = StepwiseRegressor(**QUICK).fit(LIBRARIES[library], Y)
        np.testing.assert_array_equal(other.predict(FRAME), model.predict(FRAME))


@pytest.mark.parametrize("categorical", [[1, 3, 4], [False, True, False, True, True, False]])
def test_an_array_whose_categories_are_named_gives_the_same_model(categorical, model):
    X = FRAME.astype(object).to_numpy()
    other = StepwiseRegressor(**QUICK, categorical_features=categorical).fit(X, Y)
    np.testing.assert_allclose(other.predict(X), model.predict(FRAME), rtol=1e-4, atol=1e-4)


def test_categories_are_worth_having(model):
    long = {**QUICK, "max_epochs": 25}
    whole = StepwiseRegressor(**long).fit(FRAME, Y)
    without_city = StepwiseRegressor(**long).fit(FRAME.drop(columns="city"), Y)
    assert whole.validation_score_ > without_city.validation_score_ + 0.1
    fleet = whole.pipeline_[-1].module_
    vectors = fleet.embeddings.stacks[0].detach().numpy()
    # Every city is in the rows that train each network, and has left the place where the unseen stay.
    assert (vectors[:, 1:] != vectors[:, :1]).any(-1).all()


# -- levels and gaps ------------------------------------------------------------------------


def test_unseen_levels_are_alike_whatever_they_are(model):
    one, other = (model.predict(FRAME.assign(color=name, city=name)) for name in ("violet", "mauve"))
    np.testing.assert_array_equal(one, other)
    assert np.isfinite(one).all()


def test_a_missing_level_is_one_of_its_own_where_training_had_it(model):
    names = model.pipeline_[:-1].get_feature_names_out().tolist()
    assert "color_nan" in names
    missing, unseen = (model.predict(FRAME.assign(color=value)) for value in (None, "violet"))
    assert (missing != unseen).any()
    # Of the cities none was missing: such a one is as good as unseen.
    np.testing.assert_array_equal(model.predict(FRAME.assign(city=None)), model.predict(FRAME.assign(city="nowhere")))


def test_what_is_missing_only_in_predict_is_the_mean_of_each_networks_rows():
    X = FRAME[["size", "color"]]
    model = StepwiseRegressor(**QUICK).fit(X, Y)
    seen = inputs_of(model, X.assign(size=np.nan))
    assert abs(seen[..., 0]).max() < 1e-6
    assert np.isfinite(model.predict(X.assign(size=np.nan))).all()


def test_gaps_in_numbers_alone_are_filled_in_predict_of_an_array():
    X = FRAME[["size"]].assign(other=RNG.normal(size=N)).to_numpy()
    model = StepwiseRegressor(**QUICK).fit(X, Y)
    assert [name for name, _ in model.pipeline_.steps] == ["scaler", "net"]
    holes = X.copy()
    holes[:, 1] = np.nan
    net = model.pipeline_[-1]
    means = [np.delete(X, own, axis=0)[:, 1].mean() for own in held_out_rows(model, X)]
    predictions = [
        net.network_predictions(model.pipeline_[:-1].transform(np.where(np.isnan(holes), mean, holes)))[:, k, 0]
        for k, mean in enumerate(means)
    ]
    np.testing.assert_allclose(model.predict(holes), np.mean(predictions, 0), atol=1e-5)


def held_out_rows(model, X):
    """Rows that each network held out."""
    predictions = model.pipeline_[-1].network_predictions(model.pipeline_[:-1].transform(X))[:, :, 0]
    return [np.flatnonzero(own) for own in (predictions == model.oof_prediction_[:, None]).T]


@pytest.mark.parametrize("scaler", ["standard", "robust"])
def test_gaps_are_filled_with_the_middle_of_each_networks_own_rows(scaler):
    model = StepwiseRegressor(**QUICK, scaler=scaler).fit(FRAME, Y)
    folds = held_out_rows(model, FRAME)
    assert sum(map(len, folds)) == N
    seen = inputs_of(model, FRAME)
    rooms = FRAME["rooms"].to_numpy()
    for own, inputs in zip(folds, seen, strict=True):
        train = np.delete(rooms, own)
        middle = np.nanmean(train) if scaler == "standard" else np.nanmedian(train)
        assert abs(inputs[np.isnan(rooms), 1]).max() < 1e-6
        # The same place as that of the middle.
        at = np.isfinite(rooms)
        np.testing.assert_array_equal(np.sign(np.round(inputs[at, 1], 6)), np.sign(np.round(rooms[at] - middle, 6)))


def test_a_column_without_any_value_says_nothing(model):
    without = StepwiseRegressor(**QUICK).fit(FRAME.drop(columns="empty"), Y)
    assert not inputs_of(model, FRAME.assign(empty=1e6))[..., 2].any()
    assert step(model, "columns").evidence["numbers"] == step(without, "columns").evidence["numbers"] + 1
    np.testing.assert_array_equal(model.predict(FRAME.assign(empty=1e6)), model.predict(FRAME))


def test_a_network_knows_nothing_of_the_rows_that_it_holds_out(model):
    own = held_out_rows(model, FRAME)[0]
    changed, y = FRAME.copy(), Y.copy()
    changed.loc[own, ["size", "rooms"]] = changed.loc[own, ["size", "rooms"]].to_numpy() * 7 - 3
    changed.loc[own, "color"] = np.roll(changed.loc[own, "color"].to_numpy(), 1)
    changed.loc[own, "city"] = np.roll(changed.loc[own, "city"].to_numpy(), 1)
    y[own] += RNG.normal(size=len(own))
    # Its last epoch, since the rows it holds out choose its best one.
    last = {**QUICK, "n_iter_no_change": 99, "max_epochs": 1, "numeric_encoding": None}
    before, after = (StepwiseRegressor(**last).fit(*table) for table in ((FRAME, Y), (changed, y)))
    one, other = (
        m.pipeline_[-1].network_predictions(m.pipeline_[:-1].transform(FRAME))[:, :, 0] for m in (before, after)
    )
    np.testing.assert_allclose(one[:, 0], other[:, 0], rtol=1e-3, atol=1e-3)
    assert abs(one[:, 1] - other[:, 1]).max() > 0.01


# -- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.rename(columns={"size": "area"}), "Feature names unseen at fit time"),
        (lambda X: X[X.columns[::-1]], "Feature names must be in the same order"),
        (lambda X: X.drop(columns="city"), "Feature names seen at fit time, yet now missing"),
    ],
)
def test_other_columns_in_predict_are_scikit_learns_errors(change, message, model):
    with pytest.raises(ValueError, match=message):
        model.predict(change(FRAME))


def test_an_array_in_predict_warns_of_its_missing_names(model):
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        predicted = model.predict(FRAME.astype(object).to_numpy())
    np.testing.assert_array_equal(predicted, model.predict(FRAME))


def test_text_where_training_had_numbers_is_named(model):
    with pytest.raises(ValueError, match="Column 'size' of X holds text"):
        model.predict(FRAME.assign(size="large"))
    with pytest.raises(ValueError, match="Column 'city' of X had text in fit and has other values now, such as 3"):
        model.predict(FRAME.assign(city=3))
    with pytest.raises(ValueError, match=r"Input X contains infinity\. First seen: Column 'size'"):
        model.predict(FRAME.assign(size=np.inf))


def test_the_encoded_table_has_names_and_may_be_a_frame(model):
    names = ["size", "rooms", "empty", "missingindicator_rooms"]
    names += ["color_blue", "color_green", "color_red", "color_nan", "sold_False", "sold_True", "city"]
    assert model.pipeline_[:-1].get_feature_names_out().tolist() == names
    encoder = clone(model.pipeline_[0]).set_output(transform="pandas").fit(FRAME)
    assert encoder.transform(FRAME).columns.tolist() == names


def test_the_width_rule_counts_encoded_inputs(model):
    auto = StepwiseClassifier(**{**QUICK, "hidden_units": "auto"}).fit(FRAME, LABELS)
    evidence = step(auto, "columns").evidence
    n_inputs = evidence["numbers"] + evidence["missing indicators"] + evidence["one-hot columns"]
    n_inputs += sum(evidence["embedding sizes"])
    assert auto.plan_.n_inputs == n_inputs > len(FRAME.columns)
    assert f"2 ({n_inputs} + 1)" in step(auto, "network architecture").because
    assert auto.pipeline_[-1].module_.weights[0].shape[1] == n_inputs


# -- around a fit ---------------------------------------------------------------------------


def test_a_users_module_gets_vectors_of_levels(model):
    own = StepwiseRegressor(**QUICK, module=Net).fit(FRAME, Y)
    assert np.isfinite(own.predict(FRAME)).all()
    assert own.plan_.n_inputs == own.pipeline_[-1].module_.modules_[0].module[0].in_features


@pytest.mark.parametrize(
    "parameters",
    [
        {"scaler": None},
        {"batch_norm": True, "dropout": 0.2},
        {"augmentation": "swap_noise"},
        {"loss": "quantile"},
        {"mixed_precision": "bf16"},
        {"early_stopping": False, "n_estimators": 1},
    ],
    ids=str,
)
def test_raw_tables_go_with_everything_else(parameters):
    found = StepwiseRegressor(**{**QUICK, **parameters}).fit(FRAME, Y).predict(FRAME)
    assert np.corrcoef(found, Y)[0, 1] > 0.2


def test_a_pickled_model_predicts_the_same_and_a_clone_learns_the_same(model):
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(FRAME), model.predict(FRAME))
    np.testing.assert_array_equal(clone(model).fit(FRAME, Y).predict(FRAME), model.predict(FRAME))


def test_the_users_frame_is_left_as_it_is():
    before = FRAME.copy()
    StepwiseRegressor(**QUICK).fit(FRAME, Y).predict(FRAME)
    pd.testing.assert_frame_equal(FRAME, before)


def test_validation_rows_are_encoded_as_the_training_rows():
    X_val = FRAME[:100].assign(city="nowhere")
    model = StepwiseRegressor(**QUICK).fit(FRAME[100:], Y[100:], X_val=X_val, y_val=Y[:100])
    errors = Y[:100] - model.predict(X_val)
    assert model.validation_score_ == pytest.approx(1 - (errors**2).mean() / Y[:100].var(), abs=1e-4)


def test_a_random_search_gives_what_scikit_learns_gives(monkeypatch):
    fleets, train = [], together._train_merged
    monkeypatch.setattr(together, "_train_merged", lambda nets, *args: (fleets.append(len(nets)), train(nets, *args)))
    X, y, space = FRAME[["size", "color", "rooms", "sold"]][:200], Y[:200], {"dropout": [0.0, 0.25]}
    X = X.assign(city=FRAME["city"].str[-1])
    common = {"n_iter": 2, "cv": 2, "random_state": 0}
    theirs = RandomizedSearchCV(StepwiseRegressor(**QUICK), space, **common).fit(X, y)
    ours = StepwiseSearchCV(StepwiseRegressor(**QUICK), space, strategy="random", **common).fit(X, y)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=0, atol=1e-4
    )
    assert max(fleets) > 1


def test_a_search_over_embeddings_gives_what_fits_alone_give():
    twice = pd.concat([FRAME, FRAME], ignore_index=True)
    y = np.concatenate([Y, Y])
    model = StepwiseRegressor(**{**QUICK, "max_epochs": 2})
    search = StepwiseSearchCV(
        model, {"weight_decay": [0.0, 0.01]}, strategy="random", n_iter=2, cv=2, random_state=0, refit=False
    ).fit(twice, y)
    alone = clone(model).set_params(**search.cv_results_["params"][1]).fit(twice[N:], y[N:])
    assert "embedded columns" in step(alone, "columns").evidence
    assert search.cv_results_["split0_test_score"][1] == pytest.approx(alone.score(twice[:N], y[:N]), abs=1e-4)


def test_ladder_finder_spaces_and_learning_curves_take_raw_tables():
    X, y = FRAME.drop(columns="city")[:200], LABELS[:200]
    model = StepwiseClassifier(**QUICK)
    search = StepwiseSearchCV(model, cv=2, n_iter=3, random_state=0).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert 1e-4 < find_learning_rate(StepwiseClassifier(random_state=0), X, y).learning_rate < 1
    assert "hidden_units" in model.param_distributions(step=4, X=X, y=y)
    assert np.isfinite(learning_curve(model, X, y, cv=2, train_sizes=[0.5, 1.0]).test_scores).all()


def test_the_command_walks_through_a_mixed_file_with_gaps(tmp_path, capsys):
    path = tmp_path / "houses.csv"
    FRAME.drop(columns=["city", "empty"])[:150].assign(price=Y[:150]).to_csv(path, index=False)
    assert main([str(path), "--target", "price", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "one-hot columns" in out
    assert "Step 6" in out


# -- streams and warm starts ----------------------------------------------------------------


def test_later_chunks_may_have_unseen_levels_and_new_gaps():
    model = StepwiseRegressor(**QUICK).partial_fit(FRAME[:400], Y[:400])
    before = model.predict(FRAME)
    later = FRAME[400:].assign(color="violet", size=FRAME["size"].mask(FRAME.index % 3 == 0))
    model.partial_fit(later, Y[400:])
    assert np.isfinite(model.predict(later)).all()
    assert (model.predict(FRAME) != before).all()
    assert model.pipeline_[:-1].get_feature_names_out().tolist()[4:7] == ["color_blue", "color_green", "color_red"]


@pytest.mark.parametrize("as_frame", [True, False])
@pytest.mark.parametrize("first", ["gaps", "complete"])
@pytest.mark.parametrize("how", ["partial_fit", "warm_start"])
def test_gaps_may_come_and_go_between_calls(how, first, as_frame):
    complete = FRAME[["size"]].assign(rooms=FRAME["rooms"].fillna(2.0))
    tables = [FRAME[["size", "rooms"]], complete]
    tables = tables if as_frame else [X.to_numpy() for X in tables]
    model = StepwiseRegressor(**QUICK, warm_start=how == "warm_start")
    learn = model.partial_fit if how == "partial_fit" else model.fit
    for X in tables if first == "gaps" else tables[::-1]:
        learn(X, Y)
    for X in tables:
        assert np.isfinite(model.predict(X)).all()


def test_a_warm_start_goes_on_with_raw_tables():
    cold = StepwiseRegressor(**QUICK, lr_schedule="constant", warm_start=True).fit(FRAME, Y)
    vectors = cold.pipeline_[-1].module_.embeddings.stacks[0].detach().clone()
    before = cold.validation_score_
    cold.fit(FRAME, Y)
    assert cold.validation_score_ >= before - 1e-6
    assert (cold.pipeline_[-1].module_.embeddings.stacks[0] != vectors).any()
