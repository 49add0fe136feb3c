import json
import shutil

import numpy as np
import pytest
import torch

from tests.train.conftest import SYSTEM
from train.evaluate import evaluate, read_clip
from train.export import write_checked
from train.metrics import frame_sdr, level_db, si_sdr
from train.nets.causal import CausalNet
from train.nets.causal_program import CausalProgram


def test_frame_sdr_of_a_known_error():
    reference = np.ones((2, 3000), np.float32)
    estimate = reference.copy()
    estimate[:, 1000:2000] += 0.1
    reference[:, 2000:] = estimate[:, 2000:] = 0
    frames = frame_sdr(reference, estimate, 1000)
    assert frames.shape == (2,) and frames[0] > 80 and frames[1] == pytest.approx(20, abs=1e-3)


def test_si_sdr_knows_no_scale():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 2, 8000)).astype(np.float32)
    assert si_sdr(a, a + 0.1 * b) == pytest.approx(20, abs=0.5)
    assert si_sdr(a, 7 * (a + 0.1 * b)) == pytest.approx(si_sdr(a, a + 0.1 * b), abs=1e-3)
    assert np.isnan(si_sdr(a * 0, b))
    assert level_db(0.1 * a, a) == pytest.approx(-20, abs=1e-3)


def test_evaluate_scores_folders_of_stems(data, tmp_path):
    pytest.importorskip("museval")
    torch.manual_seed(5)
    net = CausalNet(SYSTEM).eval()
    program = CausalProgram(net).eval()
    write_checked(net, program, SYSTEM.spec(net, program, "tiny"), tmp_path / "m.pt")
    shutil.copytree(data / "musdb18-7/train/One - A", tmp_path / "clips/One - A")
    summary = evaluate(tmp_path / "m.pt", tmp_path / "clips", tmp_path / "scores.json")
    assert summary["clips"] == 1 and np.isfinite(summary["model_vocals_sdr_median"])
    stored = json.loads((tmp_path / "scores.json").read_text())
    assert stored["summary"] == summary and len(stored["model_sha256"]) == 64
    clip = read_clip(tmp_path / "clips/One - A")
    np.testing.assert_allclose(clip.vocals + clip.accompaniment, clip.mix, atol=1e-5)
