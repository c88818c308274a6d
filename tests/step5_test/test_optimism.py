"""The luck of the best of many, against what it is known to be."""

import numpy as np
import pytest

from sk_dlsteps.step5_test.optimism import Optimism, own_error, selected_scores, shrunken


def drawn(m, k, seed=0, shared=0.0, worth=0.0):
    """Scores of m candidates on k folds, with noise of its own and some that folds share."""
    rng = np.random.default_rng(seed)
    return worth + np.sqrt(shared) * rng.normal(size=(1, k)) + np.sqrt(1 - shared) * rng.normal(size=(m, k))


def test_each_fold_is_scored_by_the_best_on_the_others():
    scores = drawn(6, 4)
    by_hand = [scores[np.delete(scores, j, axis=1).sum(1).argmax(), j] for j in range(4)]
    np.testing.assert_array_equal(selected_scores(scores), by_hand)


@pytest.mark.parametrize("m", [5, 30, 100])
@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_the_luck_of_equal_candidates_is_found_on_average(m, shared):
    luck, found = [], []
    for seed in range(200):
        scores = drawn(m, 5, seed, shared)
        best = scores.mean(1).argmax()
        # All are worth the same; what a fold does to all of them is not luck of the choice.
        luck.append(scores[best].mean() - scores.mean())
        found.append(Optimism.of(scores, best).value)
    assert 0.9 < np.mean(found) / np.mean(luck) < 1.4


def test_hopeless_candidates_do_not_hide_the_luck_of_the_others():
    luck, found = [], []
    for seed in range(200):
        scores = np.concatenate([drawn(15, 5, seed), drawn(15, 5, seed + 1000, worth=-50.0)])
        best = scores.mean(1).argmax()
        luck.append(scores[best].mean())
        found.append(Optimism.of(scores, best).value)
    assert 0.9 < np.mean(found) / np.mean(luck) < 1.5


def test_one_that_is_much_better_owes_nothing_to_luck():
    scores = drawn(30, 5)
    scores[7] += 20
    assert Optimism.of(scores, 7).value < 0.01
    assert shrunken(scores, 7) == pytest.approx(scores[7].mean(), abs=0.01)


def test_the_units_of_the_score_do_not_matter():
    scores = drawn(10, 5)
    best = scores.mean(1).argmax()
    one, large = Optimism.of(scores, best), Optimism.of(1e6 * scores - 5e6, best)
    assert large.value == pytest.approx(1e6 * one.value, rel=1e-6)
    assert large.error == pytest.approx(1e6 * one.error, rel=1e-6)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_a_single_candidate_or_split_shows_no_luck(shape):
    assert Optimism.of(np.random.default_rng(0).normal(size=shape), 0) == Optimism(0.0, 0.0)


def test_a_candidate_taken_for_another_reason_has_no_negative_optimism():
    scores = drawn(10, 5)
    assert Optimism.of(scores, int(scores.mean(1).argmin())).value >= 0


def test_candidates_that_are_all_the_same_have_no_noise_of_their_own():
    scores = np.tile(drawn(1, 5), (8, 1))
    assert own_error(scores) == pytest.approx(0, abs=1e-12)
    assert Optimism.of(scores, 0).value == 0.0


def test_the_own_error_is_that_of_the_mean_over_folds():
    errors = [own_error(drawn(10, 5, seed, shared=0.75)) for seed in range(200)]
    # Half of the standard deviation is of one's own, over five folds; the better half varies as much.
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(0.5 / np.sqrt(5), rel=0.1)


def test_differences_that_are_rounding_are_no_luck():
    scores = np.tile(drawn(1, 5), (4, 1)) + np.random.default_rng(1).normal(0, 1e-16, (4, 5))
    assert Optimism.of(scores, int(scores.mean(1).argmax())).value == 0.0


def halved(seed, n=400, m=9, factor=3, share_rows=True, shared=0.0):
    """Results of a search by halving among equal candidates, and their scores, which rows make."""
    rng = np.random.default_rng(seed)
    losses = np.sqrt(shared) * rng.normal(size=n) + np.sqrt(1 - shared) * rng.normal(size=(m, n))
    rows, scores, alive = [], [], np.arange(m)
    for number, size in enumerate((n // 9, n // 3, n) if share_rows else (n, n, n)):
        folds = np.array_split(rng.permutation(n)[:size], 5)
        own = np.array([[losses[a, fold].mean() for fold in folds] for a in alive])
        rows += [({"C": int(a)}, number, size) for a in alive]
        scores.append(own)
        alive = alive[np.argsort(-own.mean(1))[: max(1, len(alive) // factor)]]
    params, rounds, sizes = zip(*rows, strict=True)
    return {"params": list(params), "iter": np.array(rounds), "n_resources": np.array(sizes)}, np.concatenate(scores)


@pytest.mark.parametrize("share_rows", [True, False], ids=["more rows", "the same rows"])
def test_the_luck_of_who_survives_is_found_on_average(share_rows):
    luck, found = [], []
    for seed in range(200):
        results, scores = halved(seed, share_rows=share_rows)
        luck.append(scores[-1].mean())
        resource = "n_samples" if share_rows else "max_iter"
        found.append(Optimism.of_search(results, scores, len(scores) - 1, resource).value)
    assert np.mean(luck) > 0.01
    assert 0.9 < np.mean(found) / np.mean(luck) < 1.6


def test_the_resource_does_not_hide_who_is_who():
    results, scores = halved(0, share_rows=False)
    named = [{**params, "max_iter": number} for params, number in zip(results["params"], results["iter"], strict=True)]
    plain = Optimism.of_search(results, scores, len(scores) - 1, "max_iter")
    assert Optimism.of_search({**results, "params": named}, scores, len(scores) - 1, "max_iter") == plain
    assert plain.value > 0
