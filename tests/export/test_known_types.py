"""The table of types is complete: what the package offers can be saved."""

import dataclasses
import inspect

import pytest
import sklearn

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor
from sk_dlsteps.export.annotations import hints_of, is_of_type
from sk_dlsteps.export.known_types import KNOWN
from sk_dlsteps.step1_cost import cost, metric, quantile
from sk_dlsteps.step3_training import schedules, stream_schedules
from sk_dlsteps.step4_validation import augmentation, early_stopping, image_augmentation


def classes_of(module):
    """Classes that a module defines."""
    return {cls for _, cls in inspect.getmembers(module, inspect.isclass) if cls.__module__ == module.__name__}


@pytest.mark.parametrize(
    "module",
    [schedules, stream_schedules, augmentation, early_stopping, image_augmentation],
    ids=lambda module: module.__name__,
)
def test_every_schedule_rule_and_augmentation_is_known(module):
    # A transform of the user's own is code.
    others = {image_augmentation.ImageTransform}
    assert {cls for cls in classes_of(module) if dataclasses.is_dataclass(cls)} - others <= set(KNOWN.kinds)


@pytest.mark.parametrize("module", [cost, metric, quantile], ids=lambda module: module.__name__)
def test_every_cost_is_known(module):
    assert classes_of(module) - {cost.Cost, metric.MetricCost} <= set(KNOWN.kinds)


def test_the_name_of_a_class_is_nobody_elses():
    names = [cls.__name__ for cls in KNOWN.kinds]
    assert len(set(names)) == len(names)
    assert all(cls.__name__ == name for name, cls in KNOWN.classes.items())


@pytest.mark.parametrize(
    "cls", [cls for cls in KNOWN.kinds if dataclasses.is_dataclass(cls)], ids=lambda cls: cls.__name__
)
def test_the_annotations_of_every_value_can_be_read(cls):
    assert {field.name for field in dataclasses.fields(cls)} <= hints_of(cls).keys()


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        (1, int, True),
        (True, int, False),
        (1, float, True),
        ("1", float, False),
        ((1, 2), tuple[int, ...], True),
        ((1, "2"), tuple[int, ...], False),
        ((1, "2"), tuple[int, str], True),
        ((1,), tuple[int, str], False),
        ([1], tuple[int, ...], False),
        ({"a": 1}, dict[str, int], True),
        ({1: 1}, dict[str, int], False),
        (None, int | None, True),
        (len, "Callable", False),
    ],
    ids=repr,
)
def test_a_value_is_compared_with_its_annotation(value, hint, fits):
    assert is_of_type(value, str if hint == "Callable" else hint) == fits


@pytest.mark.parametrize("kind", [StepwiseRegressor, StepwiseClassifier])
def test_requests_of_metadata_are_kept(kind, tmp_path):
    with sklearn.config_context(enable_metadata_routing=True):
        model = kind().set_fit_request(sample_weight=True).set_score_request(sample_weight="counts")
        model.save(tmp_path / "model")
        again = kind.load(tmp_path / "model")
        assert str(again.get_metadata_routing()) == str(model.get_metadata_routing())
