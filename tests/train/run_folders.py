"""Folders as `train fit` leaves them, for tests of what reads them."""

import json

import torch


def history(count, voice=4.0, minutes=6.0):
    """Validations of a run that rises to `voice`."""
    return [
        {
            "minutes": minutes * (k + 1), "step": 100 * (k + 1), "audio_hours": 0.5 * (k + 1),
            "loss": 0.00123456, "skipped_steps": 0, "voice_median": voice,
            "voice_mean": voice - 0.1 * (count - 1 - k), "music_median": 8.0, "music_mean": 7.5,
            "error_db": -9.12345, "leak_db": float("nan") if k == 1 else -14.0,
        }
        for k in range(count)
    ]  # fmt: skip


def write_run(folder, entries, system=None, about=None, state=None):
    """A folder as `fit` leaves it; `system` of run.json, further entries of it, entries of the checkpoint."""
    folder.mkdir(parents=True)
    (folder / "history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    if system is not None:
        config = {
            "cache": "/home/someone/audio", "run": str(folder), "system": system, "minutes": 60.0,
            "steps": None, "seed": 3, "init": "/home/someone/runs/before/checkpoint.pt",
        }  # fmt: skip
        content = {
            "command": f"python -m train fit --cache /home/someone/audio --run {folder} --minutes 60",
            "config": config, "parameters": 1234, "machine": "2 x86_64 cores", "replicas": 2,
            "data": ["b: 4.0 min, CC0 1.0", "a: 1.5 min, CC BY 4.0", "b: 2.5 min, research: no licence"],
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(content | (about or {})))
    if state is not None:
        torch.save(state, folder / "checkpoint.pt")
    return folder
