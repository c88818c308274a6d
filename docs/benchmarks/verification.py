"""Step 5: how often a test set is said to be worse than the validation set that is not, and how often one that is.

    python docs/benchmarks/verification.py [--runs 500] [--part scores|halving|ridge|overlap|networks|power]

scores    no overfit, scores of folds drawn: m candidates, of which the best is chosen on k folds.
halving   no overfit, searches by halving on losses of rows that are drawn, down to a single candidate or to a few.
ridge     no overfit, real searches: GridSearchCV over the columns that a ridge regression sees.
overlap   the same searches in closed form, eight times as many, by how much of the correction counts.
networks  no overfit, plain fits of a StepwiseClassifier on drawn rows.
power     a gap of twice the standard error, by what "the standard error" is.
"""

import argparse
import itertools
import warnings

import numpy as np
from scipy.stats import norm, t
from sklearn.datasets import make_classification
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_dlsteps import StepwiseClassifier, StepwiseWarning, verify_test_set
from sk_dlsteps.step5_test.bootstrap import Measured
from sk_dlsteps.step5_test.gap import Gap
from sk_dlsteps.step5_test.optimism import Optimism
from sk_dlsteps.step5_test.promise import OVERLAP, Promise


def drawn_worth(kind, m, rng):
    """What m candidates are worth, in standard deviations of a row's loss."""
    return {
        "equal": np.zeros(m),
        "normal": rng.normal(0, 0.05, m),
        "half hopeless": np.where(rng.random(m) < 0.5, -0.5, 0.0),
        "long tail": -0.05 * np.abs(rng.standard_cauchy(m)),
        "rising": np.linspace(-0.3, 0, m),
    }[kind]


def drawn_gap(m, k, shared, kind, rng, n_validation=500, n_test=500, gap=0.0, allow=True):
    """The gap of a drawn search: the noise of a fold is shared by all candidates to some part."""
    n_fold = n_validation / k
    noise = np.sqrt(shared) * rng.normal(size=(1, k)) + np.sqrt(1 - shared) * rng.normal(size=(m, k))
    worth = drawn_worth(kind, m, rng)
    scores = worth[:, None] + noise / np.sqrt(n_fold)
    best = int(scores.mean(1).argmax())
    spread = scores[best].std(ddof=1)
    luck = Optimism.of(scores, best) if allow else Optimism(0.0, 0.0)
    error = spread * np.sqrt(1 / k + 1 / (k - 1))
    row_error = np.hypot(spread * np.sqrt(1 / k + OVERLAP / (k - 1)), luck.error)
    promise = Promise(scores[best].mean(), error, row_error, k - 1, n_validation, m, luck.value)
    score = worth[best] - gap + rng.normal() / np.sqrt(n_test)
    test_error = np.sqrt(rng.chisquare(n_test - 1) / (n_test - 1) / n_test)
    return Gap.between(promise, Measured(score, (score, score), test_error), n_test, 0.1, 0.95)


def drawn_gap_of_networks(k, rng, n_validation, n_test, gap):
    """The gap of k cross-fitted networks, whose validation score has its error from the rows."""
    errors = [np.sqrt(rng.chisquare(n - 1) / (n - 1) / n) for n in (n_validation, n_test)]
    score, test_score = rng.normal(size=2) / np.sqrt((n_validation, n_test))
    promise = Promise(score, errors[0] * np.sqrt(1 + k / (k - 1)), errors[0], n_validation - 1, n_validation)
    return Gap.between(promise, Measured(test_score - gap, (0.0, 0.0), errors[1]), n_test, 0.1, 0.95)


def share_found(gaps):
    """Share of runs with the verdict."""
    return np.mean([gap.verdict == "validation overfitted" for gap in gaps])


def scores(runs):
    """False verdicts of drawn searches."""
    print("| candidates | folds | noise shared | equal | normal | half hopeless | long tail | rising |")
    print("|---|---|---|---|---|---|---|---|")
    kinds = ("equal", "normal", "half hopeless", "long tail", "rising")
    for m, k, shared in itertools.product((1, 10, 30, 100), (3, 5, 10), (0.0, 0.8)):
        shares = []
        for kind in kinds:
            # A single candidate is quick, and its worth does not matter.
            rng, n = np.random.default_rng(0), 8 * runs if m == 1 else runs
            shares.append(share_found([drawn_gap(m, k, shared, kind, rng) for _ in range(n)]))
        print(f"| {m} | {k} | {shared:.0%} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
    rng = np.random.default_rng(0)
    for m in (10, 30, 100):
        naive = share_found([drawn_gap(m, 5, 0.0, "equal", rng, allow=False) for _ in range(runs)])
        print(f"Without the allowance for optimism, {m} equal candidates, 5 folds: {naive:.1%}")


def halved(m, factor, n_rounds, alike, shared, kind, rng, n=900, k=5):
    """Results of a search by halving, and the worth of who is taken; `alike` is how much noise rounds have in common.

    Rounds see ever more rows if it is None, else the same rows with a resource of another kind.
    """
    worth = drawn_worth(kind, m, rng)[:, None]
    common, own = np.sqrt(shared) * rng.normal(size=n), np.sqrt(1 - shared) * rng.normal(size=(m, n))
    rows, scores, alive = [], [], np.arange(m)
    for number in range(n_rounds):
        size, losses = n, worth + common + own
        if alike is None:
            size = int(n / factor ** (n_rounds - 1 - number))
        else:
            fresh = np.sqrt(1 - shared) * rng.normal(size=(m, n))
            losses = worth + common + np.sqrt(alike) * own + np.sqrt(1 - alike) * fresh
        folds = np.array_split(rng.permutation(n)[:size], k)
        found = np.array([[losses[a, fold].mean() for fold in folds] for a in alive])
        rows += [({"candidate": int(a)}, number, size) for a in alive]
        scores.append(found)
        taken = alive[found.mean(1).argmax()]
        best = len(rows) - len(alive) + int(found.mean(1).argmax())
        alive = alive[np.argsort(-found.mean(1))[: max(1, int(np.ceil(len(alive) / factor)))]]
    params, rounds, sizes = zip(*rows, strict=True)
    results = {"params": list(params), "iter": np.array(rounds), "n_resources": np.array(sizes)}
    return results, np.concatenate(scores), best, float(worth[taken, 0])


def halved_gap(results, scores, best, worth, resource, rng, allow=True, n_test=900):
    """The gap of such a search."""
    spread, k = scores[best].std(ddof=1), scores.shape[1]
    luck = Optimism.of_search(results, scores, best, resource) if allow else Optimism(0.0, 0.0)
    row_error = np.hypot(spread * np.sqrt(1 / k + OVERLAP / (k - 1)), luck.error)
    promise = Promise(scores[best].mean(), spread, row_error, k - 1, None, 2, luck.value)
    test = Measured(worth + rng.normal() / np.sqrt(n_test), (0.0, 0.0), 1 / np.sqrt(n_test))
    return Gap.between(promise, test, n_test, 0.1, 0.95)


def halving(runs):
    """False verdicts of searches by halving, with and without the allowance for luck."""
    print("| candidates | factor | rounds | resource | noise shared | equal | normal | rising | equal, no allowance |")
    print("|---|---|---|---|---|---|---|---|---|")
    resources = ((None, "rows"), (1.0, "epochs, the same noise"), (0.5, "epochs, half of it"))
    for (m, factor, n_rounds), (alike, name), shared in itertools.product(
        ((9, 3, 3), (27, 3, 4), (27, 3, 2), (32, 2, 6)), resources, (0.0, 0.8)
    ):
        shares = []
        for kind, allow in (("equal", True), ("normal", True), ("rising", True), ("equal", False)):
            rng = np.random.default_rng(0)
            drawn = [halved(m, factor, n_rounds, alike, shared, kind, rng) for _ in range(runs)]
            resource = "n_samples" if alike is None else "max_epochs"
            shares.append(share_found([halved_gap(*one, resource, rng, allow) for one in drawn]))
        found = " | ".join(f"{share:.1%}" for share in shares)
        print(f"| {m} | {factor} | {n_rounds} | {name} | {shared:.0%} | {found} |", flush=True)


def some_columns(X, which=()):
    """The columns that a candidate sees."""
    return X[:, list(which)]


def ridge(runs):
    """False verdicts of real searches: each candidate sees ten of sixty columns, of which five matter a little."""
    print("| candidates | overfitted | confirmed | inconclusive | mean optimism | mean gap without it | with it |")
    print("|---|---|---|---|---|---|---|")
    for m in (1, 10, 30):
        found = []
        for run in range(runs):
            rng = np.random.default_rng(run)
            X = rng.normal(size=(400, 60))
            y = X[:, :5] @ np.full(5, 0.2) + rng.normal(size=400)
            space = {"columns__kw_args": [{"which": rng.choice(60, 10, replace=False)} for _ in range(m)]}
            model = Pipeline([("columns", FunctionTransformer(some_columns)), ("ridge", Ridge())])
            search = GridSearchCV(model, space, scoring="neg_mean_squared_error", cv=5).fit(X[:200], y[:200])
            found.append(verify_test_set(search, X[200:], y[200:], n_resamples=500))
        verdicts = [one.verdict for one in found]
        shares = [verdicts.count(v) / runs for v in ("validation overfitted", "confirmed", "inconclusive")]
        luck, gap = (np.mean([getattr(one, name) for one in found]) for name in ("optimism", "gap"))
        print(
            f"| {m} | " + " | ".join(f"{s:.1%}" for s in shares) + f" | {luck:.4f} | {gap + luck:.4f} | {gap:.4f} |",
            flush=True,
        )


def closed_form(X, y):
    """Coefficients and intercept of a ridge regression with alpha 1."""
    mean = X.mean(0)
    centred = X - mean
    slopes = np.linalg.solve(centred.T @ centred + np.eye(X.shape[1]), centred.T @ (y - y.mean()))
    return slopes, y.mean() - mean @ slopes


def ridge_gap(m, rng, n=200, k=5):
    """Gap, variance over folds, squared error of the luck, and that of the test score, of a search of m candidates."""
    X = rng.normal(size=(2 * n, 60))
    y = X[:, :5] @ np.full(5, 0.2) + rng.normal(size=2 * n)
    columns = [rng.choice(60, 10, replace=False) for _ in range(m)]
    scores, fold = np.empty((m, k)), np.arange(n) * k // n
    for i, own in enumerate(columns):
        for j in range(k):
            train, test = np.flatnonzero(fold != j), np.flatnonzero(fold == j)
            slopes, start = closed_form(X[np.ix_(train, own)], y[train])
            scores[i, j] = -((X[np.ix_(test, own)] @ slopes + start - y[test]) ** 2).mean()
    best = int(scores.mean(1).argmax())
    slopes, start = closed_form(X[:n, columns[best]], y[:n])
    losses = (X[n:, columns[best]] @ slopes + start - y[n:]) ** 2
    luck = Optimism.of(scores, best)
    gap = scores[best].mean() - luck.value + losses.mean()
    return gap, scores[best].var(ddof=1), luck.error**2, losses.var() / n


def overlap(runs):
    """False verdicts by how much of Nadeau and Bengio's correction counts."""
    print("| candidates | runs | none | a quarter | half | all |\n|---|---|---|---|---|---|")
    for m, n in ((1, 8 * runs), (10, 4 * runs), (30, 2 * runs)):
        drawn = [ridge_gap(m, np.random.default_rng(10_000 + run)) for run in range(n)]
        gap, spread, luck, test = np.array(drawn).T
        shares = []
        for part in (0, 0.25, 0.5, 1):
            ours = spread * (1 / 5 + part / 4) + luck
            freedom = (ours + test) ** 2 / (ours**2 / 4 + test**2 / 199)
            shares.append((gap / np.sqrt(ours + test) > t.ppf(0.95, freedom)).mean())
        print(f"| {m} | {n:,} | " + " | ".join(f"{share:.1%}" for share in shares) + " |", flush=True)


def networks(runs):
    """Verdicts of plain fits on rows like the test rows."""
    found = []
    for run in range(runs):
        X, y = make_classification(1400, 10, n_informative=4, n_redundant=0, flip_y=0.2, random_state=run)
        model = StepwiseClassifier(n_estimators=4, max_epochs=20, learning_rate=0.01, random_state=run)
        found.append(verify_test_set(model.fit(X[:600], y[:600]), X[600:], y[600:], n_resamples=500))
    verdicts = [one.verdict for one in found]
    for verdict in ("validation overfitted", "confirmed", "inconclusive"):
        print(f"{verdict}: {verdicts.count(verdict) / runs:.1%}")
    gap = np.mean([one.gap for one in found])
    single = np.mean([one.validation_score - one.network_score for one in found])
    print(f"mean gap of the model {gap:.4f}, of single networks {single:.4f}")


def power(runs):
    """How often a gap of twice the standard error is found."""
    readings = ("of the gap, by rows", "of the gap, Nadeau-Bengio", "of the validation score, Nadeau-Bengio")
    print("| model | validation rows | test rows | " + " | ".join(readings) + " | of the test score |")
    print("|---|---|---|---|---|---|---|")
    for k, m, (n, n_test) in itertools.product((8, 5, 10), (0, 1, 30), ((500, 250), (500, 500), (500, 1000))):
        if (k == 8) != (m == 0):
            continue
        rows, test, corrected = 1 / n, 1 / n_test, (1 + k / (k - 1)) / n
        shares = []
        for error in np.sqrt([rows + test, corrected + test, corrected, test]):
            rng, gap = np.random.default_rng(0), 2 * error
            if m == 0:
                drawn = [drawn_gap_of_networks(k, rng, n, n_test, gap) for _ in range(runs)]
            else:
                drawn = [drawn_gap(m, k, 0.8, "normal", rng, n, n_test, gap) for _ in range(runs)]
            shares.append(share_found(drawn))
        name = f"{k} cross-fitted networks" if m == 0 else f"best of {m}, {k} folds"
        print(f"| {name} | {n} | {n_test} | " + " | ".join(f"{share:.1%}" for share in shares) + " |", flush=True)
    print(f"Ceiling for any test at the 5 % level, of the gap by rows: {norm.cdf(2 - norm.ppf(0.95)):.1%}")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parts = ("scores", "halving", "ridge", "overlap", "networks", "power")
    parser.add_argument("--part", choices=parts, action="append")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", StepwiseWarning)
    for part in arguments.part or parts:
        print(f"\n{part}, {arguments.runs} runs")
        globals()[part](arguments.runs)


if __name__ == "__main__":
    main()
