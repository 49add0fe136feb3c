"""Model files in all states, and sealed ones whose parts are not what they should be."""

from __future__ import annotations

import json
import pickletools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsep.errors import ModelError, ModelProcessError
from rtsep.model.contract import ModelSpec
from rtsep.model.inspection import inspected
from rtsep.model.operators import check_code
from rtsep.model.package import read_package
from rtsep.model.pickles import check_pickle
from rtsep.model.remote import load
from tests.fuzz.mutations import changed_bytes, changed_text, changed_values, in_order, many
from tests.model.hostile import Entries, entries_of, sealed
from tests.models import make_parts

PICKLED = [bytes([ord(opcode.code)]) for opcode in pickletools.opcodes]
"""All opcodes of pickles, those that no model uses as well."""

CODED = (
    "ops.prim.Print", "torch.from_file", "while True:", "import os", "eval(", "__import__", "lambda: 0",
    "@torch.jit", "def __setstate__(self):", "try:", "async ", "await ", "yield ", "f'{x!r}'", "\t", "\\\n",
    "*",
)  # fmt: skip


@pytest.fixture(scope="module")
def good(model_folder) -> bytes:
    return make_parts("half", profile="stage").write(model_folder / "fuzzed.pt").read_bytes()


@pytest.fixture(scope="module")
def parts(good) -> Entries:
    return entries_of(good)


def part(parts: Entries, end: str) -> str:
    return next(name for name in parts if name.endswith(end))


def read(path, content: bytes) -> None:
    """Do with a file what is done before a program of it is loaded."""
    path.write_bytes(content)
    with in_order(ModelError):
        inspected(read_package(path).content)


@given(data=st.data())
def test_a_damaged_file_is_refused_by_a_line(tmp_path, good, data):
    read(tmp_path / "m.pt", data.draw(changed_bytes([good])))


@given(data=st.data())
def test_a_sealed_file_with_any_part_changed_is_refused_by_a_line(tmp_path, parts, data):
    name = data.draw(st.sampled_from(sorted(parts)))
    changed = parts | {name: data.draw(changed_bytes([parts[name]]))}
    if name.endswith("extra/spec.json"):
        try:  # else the seal cannot be renewed
            assert isinstance(json.loads(changed[name]), dict)
        except (ValueError, AssertionError):
            return
    read(tmp_path / "m.pt", sealed(changed))


@given(data=st.data())
def test_a_sealed_file_with_parts_of_other_names_is_refused_by_a_line(tmp_path, parts, data):
    name = data.draw(st.sampled_from(sorted(parts)))
    names = st.one_of(changed_text([name, "archive/extra/golden.npz"]), st.text(max_size=300))
    other = data.draw(names).replace("\ud800", "?")
    if not other.partition("\0")[0] or name.endswith("spec.json"):  # an archive's name ends with a zero
        return
    changed = {key: value for key, value in parts.items() if key != name}
    read(tmp_path / "m.pt", sealed(changed | {other: parts[name]}))


@many
@given(data=st.data())
def test_a_spec_is_read_or_refused_by_a_line(parts, data):
    text = json.dumps(json.loads(parts[part(parts, "spec.json")])["spec"], indent=0)
    with in_order(ModelError):
        ModelSpec.from_json(data.draw(st.one_of(changed_values([text], ": "), changed_text([text]))))


@many
@given(data=st.data())
def test_a_pickle_describes_values_or_is_refused_by_a_line(parts, data):
    values = [parts[part(parts, "data.pkl")], parts[part(parts, "constants.pkl")]]
    content = data.draw(st.one_of(changed_bytes(values), changed_bytes(PICKLED, max_changes=40)))
    with in_order(ModelError):
        check_pickle(content, lambda key: bytes(4) if key.isdigit() else None)


@many
@given(data=st.data())
def test_a_program_is_read_or_refused_by_a_line(parts, data):
    code = parts[part(parts, ".py")].decode()
    with in_order(ModelError):
        check_code(data.draw(changed_text([code], CODED, max_changes=6)).encode("utf-8", "surrogatepass"))


@pytest.mark.long
@settings(max_examples=60)
@given(data=st.data())
def test_what_passes_is_played_or_refused_by_its_process(tmp_path, parts, data):
    """Values and constants that no check minds, in the reader and the machine of torch."""
    name = data.draw(st.sampled_from([name for name in sorted(parts) if "/extra/" not in name]))
    path = tmp_path / "m.pt"
    path.write_bytes(sealed(parts | {name: data.draw(changed_bytes([parts[name]], max_changes=2))}))
    with in_order(ModelError, ModelProcessError):
        runner = load(read_package(path))
        runner.step()
        runner.close()
