"""Results of benchmarks as their JSON holds them, small and made up."""

import json

from benchmarks.plan import BY_NAME
from rtsep.bench.result import Result, spread

MACHINE = {
    "processor": "Abacus 3", "cores": 2, "system": "Linux 1 x86_64", "load": [0.5, 0.4, 0.3],
    "python": "3.11.0", "versions": {"rtsep": "0.1.0"},
}  # fmt: skip


def peer(title, latency_ms, cost, vocals, accompaniment, own=False, params=1000):
    return {
        "system": title.split()[-1], "title": title, "runs": "live", "own": own, "params": params,
        "latency_samples": None if latency_ms is None else round(44.1 * latency_ms), "latency_ms": latency_ms,
        "realtime_factor": cost, "vocals_sdr": vocals, "vocals_sdr_mean": vocals - 0.5,
        "accompaniment_sdr": accompaniment, "accompaniment_sdr_mean": accompaniment - 0.5,
    }  # fmt: skip


PEERS = [
    peer("Spleeter", 11888.0, 0.06, 7.03, 12.29),
    peer("rtsep live", 11.6, 0.12, 5.26, 10.43, own=True) | {"model_sha256": "aa"},
    peer("rtsep stage", 5.8, 0.2, 5.0, 10.1, own=True),
    peer("newest frame", 92.9, 2.4, 6.1, 11.0),
    peer("REPET-SIM", None, 0.2, 1.5, 6.0, params=0),
    {"system": "mixture", "title": "unprocessed mixture", "vocals_sdr": -5.1, "accompaniment_sdr": 5.3},
]


def hop(stage, values, block=256, rate=44100, model="live", launch="plain"):
    hop_us = 256 / rate * 1e6
    about = {"model": model, "model_sha256": "aa", "launch": launch, "rate": rate, "block": block}
    return about | {"hop_us": round(hop_us, 1), "hops": len(values), "stage": stage} | spread(values, hop_us)


ROWS = {
    "peers": PEERS,
    "hop-cpu": [
        hop("model", [600.0] * 99 + [900.0]), hop("whole", [700.0] * 99 + [1000.0]),
        hop("whole", [4000.0] * 99 + [5000.0], block=64),
    ],
    "hop-cuda": [hop("model", [210.0] * 99 + [333.0], launch="graph"), hop("model", [900.0], launch="plain")],
    "roundtrip": [
        {"way": "JACK server", "rate": 44100, "block": 256, "feed": feed, "declared": 512, "measured": 512,
         "difference": 0, "ms": 11.61} for feed in ("vocals", "instrumental")
    ],
    "stress": [
        {"load": "all", "client": "rtsep", "hops": 500, "late_masks": 3, "underruns": 0, "overruns": 0,
         "gap_ms": 7.2, "p50": 900, "p99": 1500, "max": 4000},
        {"load": "all", "client": "plain C", "device_xruns": 1, "gap_ms": 9.0},
    ],
    "file": [
        {"minutes": minutes, "wall_s": 9.0 * minutes, "start_s": 2.0, "cpu_factor": 0.15, "peak_mib": 370.0}
        for minutes in (1.0, 10.0)
    ],
    "start": [
        {"caches": "warm", "name": "sound", "stage": "first sound", "runs": 5, "median_ms": 1700.0,
         "worst_ms": 2100.0},
    ],
    "gains": [
        {"gain": "weights in huge pages", "unit": "us", "before_median": 1000.0, "after_median": 900.0,
         "ratio": 0.9, "pairs": "0.85 - 0.95"},
    ],
}  # fmt: skip


def result(name, rows=None, **changes):
    """The JSON of the benchmark `name`."""
    content = Result(
        name, f"a title of {name}", (), rows or ROWS[name], {}, [f"a note of {name}"],
        command=f"{BY_NAME[name].command} --seconds 1", machine=MACHINE,
    ).to_json()  # fmt: skip
    return content | changes


def write(folder, *names):
    """Write the results `names` to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.json").write_text(json.dumps(result(name)))
