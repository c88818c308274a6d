import numpy as np
import pytest

from sk_dlsteps.report.report import Report
from sk_dlsteps.step4_validation.more_rows import LEAST_SHARE, judge_more_rows

SIZES = np.array([40, 80, 160, 280, 400])
FOLDS = np.array([0.03, -0.02, 0.01, -0.03, 0.01])


def noisy(scores, size=0.0, seed=0):
    """Scores of five folds that differ from each other, and by noise from size to size."""
    noise = np.random.default_rng(seed).normal(size=(len(scores), 5))
    return np.asarray(scores)[:, None] + FOLDS + size * noise


@pytest.mark.parametrize("exponent", [0.1, 0.35, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("offset", [1.0, -3.0])
def test_a_power_law_without_noise_is_continued(exponent, offset):
    def law(n):
        return offset - 2.0 * n ** -float(exponent)

    verdict = judge_more_rows(SIZES, noisy(law(SIZES)), best=None)
    assert verdict.gain == pytest.approx(law(800) - law(400), rel=0.05)
    assert verdict.interval == pytest.approx((verdict.gain, verdict.gain), rel=0.1)


def test_differences_between_folds_that_stay_the_same_are_no_noise():
    narrow = judge_more_rows(SIZES, 0.8 - 3 / SIZES[:, None] + 0.01 * FOLDS)
    wide = judge_more_rows(SIZES, 0.8 - 3 / SIZES[:, None] + 10 * FOLDS)
    assert wide.gain == pytest.approx(narrow.gain, rel=0.01)


def test_a_steep_curve_asks_for_more_rows():
    verdict = judge_more_rows(SIZES, noisy(0.9 - 4 * SIZES**-0.5, 0.005), score_name="R2")
    assert verdict.help is True
    assert verdict.gain == pytest.approx(4 * (400**-0.5 - 800**-0.5), abs=0.02)
    assert 0 < verdict.interval[0] < verdict.gain < verdict.interval[1]
    assert verdict.because.startswith("twice the rows (800 for 400) would bring about +0.06")


def test_a_flat_curve_asks_for_none():
    verdict = judge_more_rows(SIZES, noisy([0.70, 0.78, 0.80, 0.80, 0.80], 0.002), score_name="R2")
    assert verdict.help is False
    assert verdict.because.endswith("less than 5 % of what is missing to the best")


def test_a_falling_curve_asks_for_none():
    verdict = judge_more_rows(SIZES, noisy([0.80, 0.79, 0.78, 0.77, 0.76], 0.002), score_name="R2")
    assert verdict.help is False
    assert "about -0.0" in verdict.because


def test_noise_that_drowns_the_curve_mostly_cannot_tell():
    verdicts = [judge_more_rows(SIZES, noisy(-(SIZES**-0.5), 0.6, seed)) for seed in range(10)]
    unsettled = [verdict for verdict in verdicts if verdict.help is None]
    assert len(unsettled) >= 6
    assert all(np.ptp(verdict.interval) > 0.1 for verdict in unsettled)
    assert unsettled[0].record.decision == "cannot tell whether more rows would help"
    assert unsettled[0].because.endswith("which the folds are too few or too different to settle")


def test_pure_noise_is_seldom_taken_for_a_gain():
    verdicts = [judge_more_rows(SIZES, noisy(np.full(5, 0.5), 0.03, seed)).help for seed in range(100)]
    assert sum(verdict is True for verdict in verdicts) <= 10


@pytest.mark.parametrize("means", [[0.5, 0.8, 0.93, 0.92, 0.91], [0.5, 0.7, 0.85, 0.9, 0.9], [0.8, 0.7, 0.7, 0.8, 0.9]])
def test_a_curve_that_no_power_law_explains_promises_nothing(means):
    verdicts = [judge_more_rows(SIZES, noisy(means, 0.003, seed)) for seed in range(20)]
    assert sum(verdict.help is True for verdict in verdicts) <= 1


def test_the_sentence_of_a_constant_score_is_short():
    assert "+0.000000 score (0.000000 to 0.000000)" in judge_more_rows(SIZES, noisy(np.full(5, 0.4), 1e-12)).because


def test_noise_widens_the_interval():
    widths = [
        np.ptp(judge_more_rows(SIZES, noisy(0.9 - 4 * SIZES**-0.5, size, seed=3)).interval)
        for size in (0.001, 0.01, 0.05)
    ]
    assert widths[0] < widths[1] < widths[2]


def test_a_collapse_at_few_rows_does_not_decide():
    scores = noisy([0.3, 0.70, 0.78, 0.80, 0.805], 0.002)
    expected = judge_more_rows(SIZES, scores)
    scores[0] = [-500, 0.1, -30, -4, -2000]
    assert judge_more_rows(SIZES, scores).gain == pytest.approx(expected.gain, abs=0.02)
    assert judge_more_rows(SIZES, scores).help == expected.help


@pytest.mark.parametrize("best", [0.0, 1.0, None])
def test_a_gain_counts_relative_to_what_is_missing(best):
    fall = 0.6 * (SIZES / 400.0) ** -0.5
    last = {0.0: -1.0, 1.0: 0.4, None: 10.0}[best]
    scale = 1.0 if best is not None else 10.0
    scores = last + scale * (fall[-1] - fall)[:, None] * np.ones(5)
    missing = abs(last) if best is None else best - last
    verdict = judge_more_rows(SIZES, scores, best=best)
    assert verdict.help == (verdict.gain >= LEAST_SHARE * missing)
    assert verdict.record.evidence["worth from"] == pytest.approx(LEAST_SHARE * missing)


def test_no_score_beyond_the_best_is_promised():
    verdict = judge_more_rows(SIZES, noisy([0.1, 0.4, 0.7, 0.9, 0.96], 0.01) - FOLDS)
    assert verdict.gain <= 0.05
    assert verdict.interval[1] <= 0.05


def test_a_perfect_score_needs_no_more_rows():
    verdict = judge_more_rows(SIZES, np.repeat([[0.9], [0.99], [1], [1], [1]], 5, axis=1), score_name="accuracy")
    assert verdict.help is False
    assert verdict.because == "the accuracy is as good as it can be already"


def test_the_same_score_everywhere_gains_nothing():
    verdict = judge_more_rows(SIZES, np.full((5, 5), 0.5))
    assert verdict.help is False
    assert verdict.gain == 0
    assert judge_more_rows(SIZES, np.zeros((5, 5))).gain == 0


def test_sizes_and_folds_that_failed_are_left_out():
    scores = noisy(0.9 - 4 * SIZES**-0.5, 0.01)
    expected = judge_more_rows(SIZES[1:], scores[1:, 1:], test_share=0.25)
    scores[0, 2] = np.nan
    scores[:, 0] = np.nan
    assert judge_more_rows(SIZES, scores, test_share=0.25) == expected


@pytest.mark.parametrize(
    ("n_sizes", "n_folds", "reason"),
    [
        (2, 5, "there are scores at 2 sizes only, and 3 are needed"),
        (1, 5, "there are scores at one size only, and 3 are needed"),
        (5, 1, "only one fold has a score at 400 rows, and two are needed"),
        (5, 0, "no fold has a score at 400 rows, and two are needed"),
    ],
)
def test_too_few_scores_cannot_tell(n_sizes, n_folds, reason):
    verdict = judge_more_rows(SIZES[-n_sizes:], noisy(0.9 - 4 * SIZES**-0.5)[-n_sizes:, :n_folds])
    assert verdict.help is None
    assert np.isnan(verdict.gain)
    assert reason in verdict.because


def test_the_record_renders():
    text = Report([judge_more_rows(SIZES, noisy(0.9 - 4 * SIZES**-0.5, 0.005)).record]).to_text()
    assert "More data: more rows would help" in text
    assert text.count("\n") > 8
