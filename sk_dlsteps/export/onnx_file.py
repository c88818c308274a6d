"""A fitted estimator as an ONNX file."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sk_dlsteps.engine.device import threads
from sk_dlsteps.export.torch_module import TorchModule, to_torch
from sk_dlsteps.export.torch_outputs import TorchProbabilities, TorchValues
from sk_dlsteps.whole_file import write_whole

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

# The operators that torch's exporter writes by itself, and that runtimes from 2023 on know.
OPSET = 18


@threads()
def write_onnx(estimator: Any, path: str | os.PathLike[str], quantiles: Any = None) -> None:
    """Write the file of a fitted estimator; see the estimators' method."""
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"`path={str(path)!r}`: there is no folder {str(folder)!r}; make it first")
    module = to_torch(estimator, quantiles)
    _check_float32(estimator, module)
    model = _converted(module, torch.zeros(2, *(estimator.input_shape_ or (estimator.n_features_in_,))))
    if isinstance(module.outputs, TorchProbabilities):
        several = estimator.pipeline_[-1].module_.cost.target_scaling == "indicators"
        _add_labels(model.graph, None if several else estimator.classes_)
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        model.metadata_props.add(key="feature_names_in", value=json.dumps(list(names)))
    write_whole(path, model.SerializeToString())


def _check_float32(estimator: Any, module: TorchModule) -> None:
    """Raise if what the file gets and gives is too much for its float32."""
    encoder = estimator.pipeline_.named_steps.get("columns")
    for i, levels in {} if encoder is None else encoder._one_hot.items():
        rounded = torch.tensor([float(level) for level in levels.code_of], dtype=torch.float32).tolist()
        # Rare levels share a code, and may well be one number.
        if len(set(rounded)) < len(set(zip(rounded, levels.code_of.values(), strict=True))):
            name = encoder._names_in(None)[i]
            raise ValueError(
                f"the rows of an ONNX file are in float32, in which levels of the category {name!r} are the same "
                "number. Give it other numbers, such as 0, 1 and 2, and fit again"
            )
    if isinstance(module.outputs, TorchValues):
        scale, center, known = module.outputs.scale, module.outputs.center, torch.finfo(torch.float32)
        # A prediction may be some thousand units away.
        largest = max(scale.abs().max().item(), center.abs().max().item()) * 2**10
        if largest > known.max or scale[scale != 0].abs().min().item() < known.tiny:
            raise ValueError(
                "the predictions of an ONNX file are in float32, which cannot hold those of such a `y`. Fit to `y` in "
                "another unit, so that its values are nearer to 1"
            )


def _converted(module: TorchModule, rows: torch.Tensor) -> ModelProto:
    """The module in ONNX, for any number of rows like these, without the paths of this machine's sources."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError('`to_onnx` needs onnx and onnxscript: pip install "sk_dlsteps[export]"') from error
    with warnings.catch_warnings():
        # Torch warns of what it does itself.
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                module,
                (rows,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("rows")},),
                input_names=["X"],
                output_names=["probabilities" if isinstance(module.outputs, TorchProbabilities) else "prediction"],
                opset_version=OPSET,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ValueError(
                "`to_onnx` could not convert the networks. Those of your own must do without branches on the values of "
                f"tensors and without operators that ONNX lacks; torch says: {str(error).strip().splitlines()[-1]}"
            ) from error
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]
    return model


def _add_labels(graph: GraphProto, classes: np.ndarray | None) -> None:
    """Put an output "label" before the probabilities: the likeliest class or, without classes, whether each applies."""
    from onnx import TensorProto, helper, numpy_helper

    if classes is None:
        n_labels = graph.output[0].type.tensor_type.shape.dim[1].dim_value
        graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "half"))
        steps = [
            helper.make_node("Greater", ["probabilities", "half"], ["applies"]),
            helper.make_node("Cast", ["applies"], ["label"], to=TensorProto.INT64),
        ]
        label = helper.make_tensor_value_info("label", TensorProto.INT64, ["rows", n_labels])
    else:
        values = classes if classes.dtype.kind in "biuf" else classes.astype(str).astype(object)
        known = numpy_helper.from_array(values, "classes")
        graph.initializer.append(known)
        steps = [
            helper.make_node("ArgMax", ["probabilities"], ["likeliest"], axis=1, keepdims=0),
            helper.make_node("Gather", ["classes", "likeliest"], ["label"]),
        ]
        label = helper.make_tensor_value_info("label", known.data_type, ["rows"])
    graph.node.extend(steps)
    outputs = [label, *graph.output]
    del graph.output[:]
    graph.output.extend(outputs)
