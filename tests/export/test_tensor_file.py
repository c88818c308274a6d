"""Files are written whole or not at all."""

import builtins
import errno
import os
import stat

import numpy as np
import pytest

from sk_dlsteps.export import tensor_file

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "nothing": np.zeros((0, 4), np.float32), "one": np.array(True)}


def test_text_and_arrays_come_back(tmp_path):
    tensor_file.write(tmp_path / "file", "{}", ARRAYS)
    text, arrays = tensor_file.read(tmp_path / "file")
    assert text == "{}"
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def test_nothing_else_is_left_in_the_folder(tmp_path):
    for text in ("first", "second"):
        tensor_file.write(str(tmp_path / "file"), text, {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert tensor_file.read(tmp_path / "file")[0] == "second"


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_leaves_the_earlier_file_and_no_litter(function, tmp_path, monkeypatch):
    tensor_file.write(tmp_path / "file", "earlier", {})

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, function, full)
    with pytest.raises(OSError, match=r"the model was not saved, No space left on device: .*file"):
        tensor_file.write(tmp_path / "file", "new", ARRAYS)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert tensor_file.read(tmp_path / "file")[0] == "earlier"


def test_an_interrupt_leaves_the_earlier_file_and_no_litter(tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    tensor_file.write(tmp_path / "file", "earlier", {})
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tensor_file.write(tmp_path / "file", "new", {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert tensor_file.read(tmp_path / "file")[0] == "earlier"


def test_a_folder_that_is_not_there_or_is_no_folder_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the model was not saved, No such file or directory: .*missing/file"):
        tensor_file.write(tmp_path / "missing" / "file", "", {})
    (tmp_path / "text").write_text("")
    with pytest.raises(NotADirectoryError, match="the model was not saved"):
        tensor_file.write(tmp_path / "text" / "file", "", {})


def test_what_a_link_points_to_is_replaced(tmp_path):
    tensor_file.write(tmp_path / "file", "earlier", {})
    (tmp_path / "link").symlink_to(tmp_path / "file")
    tensor_file.write(tmp_path / "link", "new", {})
    assert (tmp_path / "link").is_symlink()
    assert tensor_file.read(tmp_path / "file")[0] == "new"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_others_may_read_it_as_far_as_they_may_read_any_new_file(tmp_path):
    tensor_file.write(tmp_path / "file", "", {})
    (tmp_path / "other").touch()
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_more_text_than_can_be_read_again_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_file, "MAX_TEXT", 10)
    with pytest.raises(ValueError, match="the model has 11 characters beside its arrays"):
        tensor_file.write(tmp_path / "file", "x" * 11, {})
    assert not list(tmp_path.iterdir())


def test_without_safetensors_the_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.split(".")[0] == "safetensors":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "sk_dlsteps\[export\]"'):
        tensor_file.write(tmp_path / "file", "", {})
