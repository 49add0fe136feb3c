"""A model file from a stranger that does more than masks is refused before its program runs, in one line."""

from __future__ import annotations

import ast
import hashlib
import os
import pickle
import random
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from rtsep.errors import ModelError
from rtsep.model import known
from rtsep.model.catalog import shipped_files, shipped_folder
from rtsep.model.inspection import inspected
from rtsep.model.loader import load
from rtsep.model.operators import check_code
from rtsep.model.package import read_package
from tests.model import hostile
from tests.model.hostile import changed, entries_of, refusal, sealed, tensor_by_build, with_program
from tests.models import KINDS, make_parts

OLD = Path(__file__).resolve().parents[1] / "train" / "old" / "model.pt"


# --- programs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "operator"),
    [
        ("WritesFile", "from_file"),
        ("ReadsFile", "from_file"),
        ("SavesFile", "save"),
        ("WritesAsItLoads", "__getstate__"),
        ("HidesInPart", "from_file"),
    ],
)
def test_a_program_that_touches_files_is_refused_by_the_operators_name(tmp_path, kind, operator):
    target = tmp_path / "target"
    text = refusal(with_program(tmp_path / "m.pt", getattr(hostile, kind)(str(target))))
    assert operator in text and "a separator does not need" in text
    assert not target.exists()


@pytest.mark.parametrize(
    ("kind", "operator"),
    [("Prints", "print"), ("Warns", "warn"), ("Forks", "fork"), ("Quantises", "quant")],
)
def test_a_program_with_another_effect_is_refused_by_the_operators_name(tmp_path, kind, operator, capfd):
    assert operator in refusal(with_program(tmp_path / "m.pt", getattr(hostile, kind)()))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("LoopsForever", "a 'while' loop in 'step'"),
        ("LoopsByCondition", "a 'while' loop in 'step'"),
        ("LoopsLong", "a 'while' loop in 'step'"),
    ],
)
def test_a_loop_that_may_never_end_is_refused(tmp_path, kind, words):
    assert words in refusal(with_program(tmp_path / "m.pt", getattr(hostile, kind)()))


@pytest.mark.parametrize("kind", ["WritesFile", "HidesInPart", "HidesUnused", "WritesAsItLoads"])
def test_the_graph_alone_refuses_what_the_text_hides(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("rtsep.model.inspection.check_code", lambda text: None)
    target = tmp_path / "target"
    assert "aten::from_file" in refusal(with_program(tmp_path / "m.pt", getattr(hostile, kind)(str(target))))
    if kind != "WritesAsItLoads":  # which the text alone stops, and after it the rights of the process
        assert not target.exists()


def test_a_part_is_not_called_in_the_place_of_the_method(tmp_path):
    path = with_program(tmp_path / "m.pt", hostile.StepIsAPart())
    assert "its program has no method 'step'" in refusal(path)


def test_a_part_may_have_a_name_of_the_module_of_python(tmp_path):
    entries = entries_of(with_program(tmp_path / "m.pt", hostile.NamesPart()).read_bytes())
    values, code = b"X\x06\0\0\0a_part", b"a_part"
    assert sum(code in data for data in entries.values()) >= 2
    renamed = {
        name: data.replace(values, b"X\x02\0\0\0_c").replace(code, b"_c") for name, data in entries.items()
    }
    (tmp_path / "m.pt").write_bytes(sealed(renamed))
    assert load(read_package(tmp_path / "m.pt")).golden_error == 0


def test_an_answer_that_is_no_mask_is_one_line(tmp_path):
    path = with_program(tmp_path / "m.pt", hostile.AnswersTwo())
    assert "its program fails ('step' returns a tuple, not a mask alone)" in refusal(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"def step(self):\n  return ops.aten.from_file(x)\n", "aten::from_file"),
        (b"def step(self):\n  return __torch__.torch.classes.a.B(x)\n", "torch.classes.a.B"),
        (b"import os\n", "import"),
        (b"def f(self):\n  return eval(x)\n", "eval"),
        (b"def f(self):\n  with torch.x:\n    pass\n", "with"),
        (b"x = (" * 3000, "cannot be read"),
        (b"def f(:\n", "cannot be read"),
        (b"\0", "cannot be read"),
        (b"def f(self):\n  while True:\n    pass\n", "an endless loop"),
        (b"#" + random.Random(1).randbytes(1 << 20).hex().encode(), "has more than 1,048,576 characters"),
        (b"def f(self):\n  t = torch\n  t.save(x, y)\n", "uses 'torch'"),
        (b"def f(self):\n  getattr(torch, 'save')(x, y)\n", "uses 'torch'"),
        (b"def f(self):\n  o = ops.aten\n  o.from_file(x)\n", "uses 'ops.aten'"),
        (b"def f(self):\n  c = __torch__.torch\n  c.classes.a.B(x)\n", "uses 'torch'"),
        (b"def f(self):\n  len = print\n  len(x)\n", "uses 'len'"),
        (b"def f(self, max):\n  max(x)\n", "uses 'max'"),
        (b"def f(self):\n  for min in x:\n    min(x)\n", "uses 'min'"),
        (b"def f(self):\n  # \xe9\n  pass\n", "cannot be read"),
        (b"def f(self):\n  # \r  pass\n  pass\n", "cannot be read"),
    ],
    ids=range(19),
)
def test_text_that_no_program_has_is_refused(tmp_path, text, words):
    def change(entries, root):
        name = next(name for name in entries if name.endswith(".py"))
        entries[name] += b"\n" + text

    assert words in refusal(changed(tmp_path / "m.pt", change))


@pytest.mark.parametrize(
    "body",
    [
        "  max = -1.0\n  for i in range(3):\n    max0 = max\n    max = max0\n  return max\n",
        "  range = self.range\n  return range\n",
        "  min, len = x, y\n  return min\n",
    ],
)
def test_variables_may_have_the_names_of_functions_that_they_do_not_call(body):
    check_code(f"def f(self, x, y):\n{body}".encode())


def test_text_is_read_in_the_encoding_that_torch_reads():
    """As UTF-7, both numbers are quotes, with a string between them."""
    hidden = b"# coding: utf-7\nx = 0 +ADsAIgAiACI-1\neval(x)\ny = 0 +ACIAIgAiADs-1\n"
    assert "eval" not in {getattr(node, "id", "") for node in ast.walk(ast.parse(hidden))}
    with pytest.raises(ModelError, match="uses 'eval'"):
        check_code(hidden)


# --- values -------------------------------------------------------------------------------------------------


class Runs:
    """An attack by a pickle of Python."""

    def __reduce__(self):
        return os.system, ("touch /tmp/rtsep-was-here",)


def replaced(old: bytes, new: bytes):
    def change(entries, root):
        assert old in entries[f"{root}/data.pkl"]
        entries[f"{root}/data.pkl"] = entries[f"{root}/data.pkl"].replace(old, new)

    return change


def rebuilt(entries, root):
    entries[f"{root}/data.pkl"] = tensor_by_build(entries[f"{root}/data.pkl"])


def endless(entries, root):
    """A tensor of one element, repeated 2**93 times."""
    head, size, stride = entries[f"{root}/data.pkl"].rsplit(b"(K\x01t", 2)
    sizes = b"(" + 3 * (b"J" + struct.pack("<i", (1 << 31) - 1)) + b"t"
    entries[f"{root}/data.pkl"] = head + sizes + size + b"(K\0K\0K\0t" + stride


def as_values(data: bytes, entry: str = "data.pkl"):
    def change(entries, root):
        entries[f"{root}/{entry}"] = data

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (as_values(pickle.dumps(Runs(), 2)), "contains 'posix system'"),
        (as_values(pickle.dumps(Runs(), 4)), "which models do not use"),
        (as_values(pickle.dumps(Runs(), 0), "constants.pkl"), "contains 'posix system'"),
        (as_values(b"\x80\x02c__torch__.torch.classes.a\nB\n."), "contains '__torch__.torch.classes.a B'"),
        (as_values(b"\x80\x02cos.path\njoin\nq\x00."), "contains 'os.path join'"),
        (as_values(b"\x80\x02]r\xff\xff\xff\x7f."), "a memo that is too large"),
        (as_values(b"\x80\x02" + b"(" * 100), "damaged"),
        (as_values(b"\x80\x02h\x07."), "damaged"),
        (as_values(b""), "damaged"),
        (as_values(b"\x80\x02N.N."), "has data after its end"),
        (
            as_values(b"\x80\x02X\xff\xff\x1f\0" + random.Random(1).randbytes(1 << 20).hex().encode()),
            "bytes of description",
        ),
        (replaced(b"(K\x01t", b"(K\x02t"), "ends beyond its data"),
        (replaced(b"(K\x01t", b"(J\xff\xff\xff\xfft"), "a tensor of an unknown form"),
        (replaced(b"FloatStorage", b"DoubleStorage"), "elements of its data '0', but 4 bytes are stored"),
        (endless, "a tensor of an unknown form"),
        (rebuilt, "fills something that is no list, dictionary or object"),
        (as_values(b"\x80\x02K\x05(q\0th\0K\x01a."), "fills something that is no list"),  # memo: 5, no mark
        (as_values(b"\x80\x02}(X\x01\0\0\0ku."), "a key without a value"),
        (as_values(b"\x80\x02](K\x01K\x02u."), "fills something that is no list"),
        (as_values(b"\x80\x02c__torch__\nA\nK\x01\x85\x81."), "an object of an unknown class"),
    ],
    ids=range(20),
)
def test_values_that_describe_more_than_a_module_are_refused(tmp_path, change, words):
    assert words in refusal(changed(tmp_path / "m.pt", change))
    assert not Path("/tmp/rtsep-was-here").exists()


# --- what must go on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*shipped_files(), OLD], ids=lambda path: path.stem)
def test_models_made_by_the_trainer_pass_as_a_strangers(path):
    fresh = inspected(path.read_bytes())
    kept = entries_of(fresh)
    assert 0.2 < len(fresh) / path.stat().st_size < 1
    theirs = entries_of(path.read_bytes())
    assert all(theirs[name] == data for name, data in kept.items())
    assert not any("extra/" in name or name.endswith(".debug_pkl") for name in kept)


@pytest.mark.parametrize("kind", KINDS)
def test_programs_of_the_tests_pass(kind):
    assert inspected(make_parts(kind).program)


def test_shipped_models_are_known_by_their_bytes_and_are_not_inspected(tmp_path, monkeypatch):
    listed = dict(line.split()[::-1] for line in (shipped_folder() / known.TABLE).read_text().splitlines())
    assert listed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in shipped_files()}
    path = shipped_files()[0]
    assert known.is_shipped(read_package(path).sha256) and not known.is_shipped(read_package(OLD).sha256)
    copy = tmp_path / "copy.pt"
    copy.write_bytes(path.read_bytes())
    assert known.is_shipped(read_package(copy).sha256), "wherever it lies"

    def refuse(content):
        raise ModelError("inspected")

    monkeypatch.setattr("rtsep.model.torchscript.inspected", refuse)
    assert load(read_package(path)).golden_error < 1e-3
    with pytest.raises(ModelError, match=r"model\.pt: inspected$"):
        load(read_package(OLD))


def test_a_strangers_model_gives_the_masks_that_it_gave_uninspected(monkeypatch):
    runner = load(read_package(OLD))
    columns = np.random.default_rng(1).normal(0, 0.3, (5, *runner.column.shape)).astype(np.float32)

    def masks(runner):
        for column in columns:
            runner.column[:] = column
            runner.step()
            yield runner.mask.copy()

    with monkeypatch.context() as patch:
        patch.setattr("rtsep.model.torchscript.is_shipped", lambda sha256: True)
        plain = load(read_package(OLD))
    assert np.array_equal(list(masks(runner)), list(masks(plain)))
    assert threading.active_count() < 100
    assert sealed(entries_of(OLD.read_bytes()))
