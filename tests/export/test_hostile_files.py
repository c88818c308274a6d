"""Files that are damaged or made up are refused with one kind of error, and none of their content is executed."""

import copy
import json
import pickle

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from sk_dlsteps import StepwiseClassifier, StepwiseRegressor

NET = "pipeline_.steps.1.1."


class Bomb:
    """Executed when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def load(content, folder, cls=StepwiseRegressor):
    """Load a file of that content."""
    path = folder / "file.safetensors"
    path.write_bytes(content)
    return cls.load(path)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        StepwiseRegressor.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        StepwiseRegressor.load(tmp_path)


@pytest.mark.parametrize("write", [pickle.dump, joblib.dump], ids=["pickle", "joblib"])
def test_a_pickle_of_another_name_is_not_unpickled(write, tmp_path):
    with (tmp_path / "model").open("wb") as file:
        write(Bomb(), file)
    with pytest.raises(ValueError, match=r"model is no whole file of safetensors"):
        StepwiseRegressor.load(tmp_path / "model")


def test_a_file_cut_off_anywhere_is_refused(saved, tmp_path):
    content = saved("mixed frame").bytes()
    for end in [*range(0, 20), *range(20, len(content), len(content) // 60), len(content) - 1]:
        with pytest.raises(ValueError, match="is no whole file of safetensors"):
            load(content[:end], tmp_path)


def test_tensors_of_somebody_else_are_no_model(tmp_path):
    for metadata in (None, {"format": "pt"}):
        with pytest.raises(ValueError, match=r"file.safetensors is a file of safetensors, but holds no model"):
            load(save({"weight": np.zeros(3)}, metadata), tmp_path)


def test_a_size_that_the_file_does_not_have_is_refused(tmp_path):
    header = {
        "weights": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 2**43]},
        "__metadata__": {"sk_dlsteps": "1"},
    }
    text = json.dumps(header).encode()
    with pytest.raises(ValueError, match="is no whole file of safetensors"):
        load(len(text).to_bytes(8, "little") + text, tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "1", "{", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, "1e999", "NaN", '"' + "x" * 100_000 + '"'],
    ids=["nothing", "list", "number", "open", "deep list", "deep dict", "digits", "infinite", "NaN", "long"],
)
def test_json_that_is_no_model_is_refused(text, saved, tmp_path):
    with pytest.raises(ValueError, match=r"file.safetensors holds no model that can be loaded"):
        load(saved("weights").bytes(text), tmp_path)


def set_parameter(name, value):
    """A change of a parameter of the estimator."""
    return lambda saved: saved.model.__setitem__(name, value)


def set_in_plan(name, value):
    """A change of the plan."""
    return lambda saved: saved.model["plan_"]["Plan"].__setitem__(name, value)


def set_in_step(step, kind, name, value):
    """A change of a step of the pipeline."""
    return lambda saved: saved.step(step)[kind].__setitem__(name, value)


def change_array(name, change):
    """A change of an array of the networks."""
    return lambda saved: saved.arrays.update({NET + name: np.ascontiguousarray(change(saved.arrays[NET + name]))})


def nested(depth):
    """Lists in lists."""
    value = 0
    for _ in range(depth):
        value = [value]
    return value


def doubled(kind, name, n):
    """Objects of which each holds the one before twice."""
    return [{kind: {}}, *({kind: {name: [{"again": i}, {"again": i}]}} for i in range(n))]


CHANGES = {
    "nested lists": (set_parameter("loss", nested(300)), "nested too deeply"),
    "a later format": (
        lambda saved: saved.document.update(format=2),
        "has format 2, and this version reads 1; upgrade",
    ),
    "more parts": (lambda saved: saved.document.update(code="import os"), "other parts than a model's"),
    "no versions": (lambda saved: saved.document.update(versions=3), "other parts than a model's"),
    "a type of elsewhere": (
        set_parameter("scaler", {"subprocess.Popen": {"args": "ls"}}),
        "'subprocess.Popen', which is no",
    ),
    "a class of elsewhere": (set_parameter("optimizer", {"class": "os.system"}), "a class 'os.system', which is none"),
    "an object ahead": (set_parameter("scaler", {"again": 10**6}), "an object that it does not hold"),
    "a method of the scaler": (set_in_step(0, "StandardScaler", "transform", 3), "attribute 'transform'"),
    "a method of the model": (set_parameter("predict", 3), "attribute 'predict'"),
    "a hidden attribute": (set_parameter("__class__", 3), "attribute '__class__'"),
    "pickles in a folder": (
        lambda saved: saved.model["pipeline_"]["Pipeline"].update(memory="/tmp"),
        "a pipeline that reads pickles from a folder",
    ),
    "a folder to write to": (set_parameter("checkpoint", "folder"), "whose `fit` would write files"),
    "no parameter": (set_parameter("dropout", 7), "`dropout` must be a number"),
    "no plan": (lambda saved: saved.model.pop("plan_"), "its `plan_` is missing, or is none"),
    "no task": (lambda saved: saved.model["plan_"]["Plan"].pop("task"), "missing 1 required .* 'task'"),
    "more in the plan": (set_in_plan("code", "import os"), "`Plan.code` cannot be what it holds"),
    "text for a number": (set_in_plan("batch_size", "32"), "`Plan.batch_size` cannot be what it holds"),
    "many networks": (set_in_plan("n_networks", 10**12), "its networks"),
    "other layers": (set_in_plan("hidden_units", {"tuple": [5, 5]}), "other layers than their plan"),
    "many columns": (set_parameter("n_features_in_", 10**12), "10{12} columns and only"),
    "rows of another shape": (set_parameter("input_shape_", {"tuple": [7, 7]}), "shape of its rows"),
    "names that are no array": (set_parameter("feature_names_in_", ["x"]), "its `feature_names_in_` is none"),
    "too few names": (set_parameter("feature_names_in_", {"values": ["O", [1], ["x"]]}), "not as many as their names"),
    "one name twice": (set_parameter("feature_names_in_", {"values": ["O", [10], ["x"] * 10]}), "not as many as their"),
    "numbers for names": (
        set_parameter("feature_names_in_", {"values": ["O", [10], [*range(10)]]}),
        "that are no text",
    ),
    "an attribute of somebody's own": (set_parameter("note_", "x"), "attribute 'note_'"),
    "an output of no kind": (set_parameter("_sklearn_output_config", {"dict": {"transform": "x"}}), "_config` is none"),
    "epochs below none": (set_parameter("n_iter_", -1), "its `n_iter_` is -1"),
    "another step": (lambda saved: saved.steps[0]["tuple"].__setitem__(0, "shell"), "other steps than a model's"),
    "a missing array": (lambda saved: saved.arrays.pop(NET + "networks.weights.0"), "weights.0' is missing"),
    "an array more": (
        lambda saved: saved.arrays.update({"../../outside": np.zeros(3)}),
        "'../../outside' that belongs to",
    ),
    "an array twice": (
        lambda saved: saved.networks.update(biases=saved.networks["weights"]),
        "networks.weights.0' is missing",
    ),
    "weights of another shape": (change_array("networks.weights.0", lambda a: a[:, :-1]), "`weights.0` has the shape"),
    "a bias to be broadcast": (change_array("networks.biases.0", lambda a: a[:, :, :1]), "`biases.0` has the shape"),
    "weights in float64": (
        change_array("networks.weights.0", lambda a: a.astype(float)),
        "weights are not of torch.float32",
    ),
    "weights that are none": (change_array("networks.weights.0", lambda a: a * np.nan), "holds what is no number"),
    "whole weights": (change_array("networks.weights.0", lambda a: a.astype(int)), "values do not fit together"),
    "a center of integers": (change_array("stages.input_center", lambda a: a.astype(int)), "holds no floats"),
    "an array of neither": (set_parameter("scaler", {"values": ["U100000000", [1], ["a"]]}), "whose shape is not"),
    "text that grows": (
        set_parameter("scaler", {"values": ["U", [20_001], ["x" * 10_000] + ["x"] * 20_000]}),
        "far larger than the file",
    ),
    "texts that grow": (
        set_parameter("scaler", [{"values": ["U", [1001], ["x" * 1000] + ["x"] * 1000]} for _ in range(5)]),
        "far larger than the file",
    ),
    "objects that grow": (
        set_parameter("scaler", doubled("BesideCodes", "transformer", 40)),
        "far larger than the file",
    ),
    "no parameter of a scaler": (
        set_parameter("scaler", doubled("StandardScaler", "copy", 1)),
        "The 'copy' parameter of StandardScaler must be",
    ),
    "text of numbers": (set_parameter("scaler", {"values": ["U", [1], [1]]}), "text with something else in it"),
    "a large array": (
        set_parameter("categorical_features", {"values": ["O", [10**9, 10**9], []]}),
        "whose shape is not that of its values",
    ),
    "a long history": (
        set_parameter("history_", {"ColumnHistory": {"columns": {"dict": {}}, "n_epochs": 10**12}}),
        "a history whose columns are not of one length",
    ),
    "a made-up generator": (
        set_parameter("random_state", {"random": ["Generator", {"dict": {}}]}),
        "do not fit together",
    ),
    "a made-up dtype": (set_parameter("scaler", {"dtype": "O"}), "the dtype 'O'"),
    "a made-up time": (set_parameter("scaler", {"time": ["O", "x"]}), "times of type object"),
    "a made-up number": (set_parameter("momentum", {"float": "1e3"}), "a number '1e3'"),
    "an infinite number": (lambda saved: saved.model.update(momentum=1e308 * 10), "Infinity"),
    "another kind of value": (set_parameter("steps_", {"tuple": [3]}), "its `steps_` is missing, or is none"),
    "more of a cost": (set_in_step(1, "FleetNet", "criterion", {"SquaredError": {"x": 1}}), "SquaredError whose 'x'"),
    "more of a net": (
        lambda saved: saved.step(1)["FleetNet"]["left"]["dict"].update(forward=3),
        "a net with an attribute 'forward'",
    ),
    "a made-up device": (set_in_step(1, "FleetNet", "device", "nowhere"), "do not fit together"),
}


@pytest.mark.parametrize(("change", "reason"), CHANGES.values(), ids=CHANGES.keys())
def test_what_is_no_model_is_refused_with_its_reason(change, reason, saved, tmp_path):
    content = saved("weights")
    change(content)
    with pytest.raises(ValueError, match=rf"file.safetensors holds no model that can be loaded: .*{reason}"):
        load(content.bytes(), tmp_path)


@pytest.mark.parametrize(
    ("parameter", "value", "reason"),
    [
        ("hidden_size", 10**6, "another size than the weights"),
        ("hidden_size", 3, "another size than the weights"),
        ("num_layers", 10**9, "more layers than there are weights for"),
        ("weights", "/etc/passwd", "`module__weights` is no parameter"),
        ("hidden_size", "x", "`module__hidden_size` must be an integer"),
    ],
)
def test_a_named_architecture_is_not_built_larger_than_its_weights(parameter, value, reason, saved, tmp_path):
    content = saved("lstm")
    choice = content.step(1)["FleetNet"]["module"]["ModuleBuilder"]["choice"]["ModuleChoice"]
    choice["parameters"]["dict"][parameter] = value
    with pytest.raises(ValueError, match=reason):
        load(content.bytes(), tmp_path)


def test_a_scaler_that_takes_no_sparse_rows_is_refused_for_networks_of_such(saved, tmp_path):
    content = saved("sparse")
    content.step(0)["StandardScaler"]["with_mean"] = True
    with pytest.raises(ValueError, match="Cannot center sparse matrices"):
        load(content.bytes(), tmp_path)


def test_an_encoder_of_other_columns_is_refused(saved, tmp_path):
    content = saved("mixed frame")
    content.step(0)["TableEncoder"]["feature_names_in_"]["values"][2][0] = "weight"
    with pytest.raises(ValueError, match="its columns are not those of its encoder"):
        load(content.bytes(), tmp_path)


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [
        ("n_plain_", 9, "not as many as its levels"),
        ("n_one_hot_", {"tuple": [2]}, "not as many as its levels"),
        ("_missing_at", [9], "not as many as"),
        ("_numbers_at", [0, 1], "its columns are not those of its encoder"),
    ],
)
def test_an_encoder_that_does_not_fit_itself_is_refused(attribute, value, reason, saved, tmp_path):
    content = saved("mixed frame")
    content.step(0)["TableEncoder"][attribute] = value
    with pytest.raises(ValueError, match=reason):
        load(content.bytes(), tmp_path)


def test_classes_that_the_networks_do_not_tell_apart_are_refused(saved, tmp_path):
    content = saved("classes")
    content.model["classes_"] = {"values": ["U", [4], ["a", "b", "c", "d"]]}
    with pytest.raises(ValueError, match="its classes are not those of its networks"):
        load(content.bytes(), tmp_path, StepwiseClassifier)


def test_ramps_of_columns_that_are_not_there_are_refused(saved, tmp_path):
    content = saved("defaults")
    content.arrays[f"{NET}stages.input_encoding.columns"] -= 100
    with pytest.raises(ValueError, match="its ramps are of columns that are not there"):
        load(content.bytes(), tmp_path)


def test_codes_without_vectors_are_refused(saved, tmp_path):
    content = saved("vectors")
    ((_, levels),) = content.step(0)["TableEncoder"]["_embedded"]["items"]
    levels["Levels"]["code_of"]["dict"]["code 3"] = 10**6
    with pytest.raises(ValueError, match="a category's codes are not those of its levels"):
        load(content.bytes(), tmp_path, StepwiseClassifier)


# -- made up by chance -----------------------------------------------------------------

VALUES = [
    None,
    True,
    -1,
    10**40,
    1e308,
    "",
    "meta",
    [],
    {},
    {"float": "nan"},
    {"tuple": []},
    {"dict": {}},
    {"again": 0},
    {"own": "module"},
    {"torch": "float16"},
    {"values": ["O", [0], []]},
    {"random": ["Generator", {"dict": {}}]},
]


def places(node, path=()):
    """Paths of all parts of a JSON document."""
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, own in items:
        yield from places(own, (*path, key))


def part(node, path):
    """The part at a path."""
    for key in path:
        node = node[key]
    return node


def damaged(content, data):
    """The content of a file with one part of it changed, moved or gone."""
    how = data.draw(st.sampled_from(["value", "delete", "copy", "number", "array", "bytes"]))
    if how == "bytes":
        raw = bytearray(content.bytes())
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
        return bytes(raw)
    if how == "array":
        name = data.draw(st.sampled_from(sorted(content.arrays)))
        array = content.arrays[name]
        change = data.draw(
            st.sampled_from([np.ravel, lambda a: a[..., :-1] if a.ndim else a, lambda a: a.astype("f2")])
        )
        return copied(content, arrays={**content.arrays, name: np.ascontiguousarray(change(array))})
    document = copy.deepcopy(content.document)
    paths = [path for path in places(document) if path]
    path = data.draw(st.sampled_from(paths))
    parent, own = part(document, path[:-1]), part(document, path)
    if how == "delete":
        del parent[path[-1]]
    elif how == "copy":
        parent[path[-1]] = copy.deepcopy(part(document, data.draw(st.sampled_from(paths))))
    elif how == "number" and type(own) in (int, float):
        parent[path[-1]] = own * data.draw(st.sampled_from([-1, 2, 1000])) + data.draw(st.integers(-1, 1))
    else:
        parent[path[-1]] = data.draw(st.sampled_from(VALUES))
    return copied(content, document=document)


def copied(content, document=None, arrays=None):
    """The bytes of a file with another document or other arrays."""
    text = json.dumps(document or content.document)
    return save(arrays or content.arrays, {"sk_dlsteps": text})


@pytest.mark.parametrize("name", ["mixed frame", "warm start", "lstm"])
def test_every_damaged_file_is_refused_or_predicts(name, fitted, saved, tmp_path):
    content, rows = saved(name), fitted(name)[1]

    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(st.data())
    def run(data):
        try:
            model = load(damaged(content, data), tmp_path)
        except ValueError as error:
            assert "file.safetensors" in str(error)
            return
        if hasattr(model, "pipeline_"):
            assert len(model.predict(rows)) == len(rows)

    run()
