"""The page shows the results of the JSON files with their commands, and names missing results."""

import json
import re
from xml.etree import ElementTree

import pytest

from benchmarks import page as pages
from benchmarks.__main__ import main
from benchmarks.figures import COST, QUALITY, draw_quality, kind_of
from benchmarks.page import PAGE, RESULTS, page, read_results, shipped, split, write_page
from benchmarks.plan import BENCHES, BY_NAME
from benchmarks.verdicts import HELD, MISSED, OPEN, anchor, verdicts
from rtsep.errors import InputFileError
from tests.benchmarks.results import PEERS, ROWS, hop, result, write


def section(text, name):
    return re.search(rf"^## {BY_NAME[name].title}$(.*?)(?=^## |\Z)", text, re.M | re.S)[1]


def test_every_table_stands_under_its_command_and_machine():
    text = page({name: result(name) for name in BY_NAME}, {})
    for bench in BENCHES:
        part = section(text, bench.name)
        command, about = (
            part.index(f"```sh\n{bench.command} --seconds 1\n```"),
            part.index("Abacus 3, 2 cores"),
        )
        assert command < about < part.index("| --- |"), bench.name
        assert f"A title of {bench.name}." in part and f"- a note of {bench.name}" in part
    assert "Not measured" not in text
    assert "| Spleeter | live | 524,261 | 11,888.0 | 1,000 | 6.0% |" in section(text, "peers")
    assert "| unprocessed mixture | - |" in section(text, "peers") and "-5.10" in section(text, "peers")
    assert "| 0.90 | 0.85 - 0.95 |" in section(text, "gains")


def test_the_page_of_the_repository_is_made_from_its_results():
    again = "write it again: python -m benchmarks page"
    assert (pages.FOLDER / PAGE).read_text() == page(read_results(pages.FOLDER / RESULTS), shipped()), again


def test_what_is_not_measured_is_named_with_its_command():
    text = page({"start": result("start")}, {})
    for bench in BENCHES:
        part = section(text, bench.name)
        assert ("**Not measured.**" in part) == (bench.name != "start")
        if bench.name != "start":
            assert bench.command in part and f"benchmarks/results/{bench.name}.json" in part
    assert "CUDA device" in section(text, "hop-cuda") and "CUDA device" not in section(text, "hop-cpu")
    assert "figures/" not in text, "no figure of nothing"
    assert text.count(OPEN) == 5


def test_other_rates_and_blocks_are_folded_and_stated_once():
    part = section(page({"hop-cpu": result("hop-cpu")}, {}), "hop-cpu")
    shown, folded = part.split("<details><summary>1 further rows</summary>")
    assert "Model live, launch plain, rate 44100" in shown and "| model | 600 |" in shown
    assert "4000" not in shown and "| 64 |" in folded and "4000" in folded
    rows = [hop("whole", [1.0], block=64)]
    assert split(BY_NAME["hop-cpu"], rows) == (rows, []), "never nothing"


def test_models_that_have_changed_since_are_named():
    rows = [row | {"model_sha256": "bb"} if row["title"] == "rtsep stage" else row for row in PEERS]
    found = {"peers": result("peers", rows), "hop-cpu": result("hop-cpu")}
    assert "changed since" not in page(found, {"live": "aa", "stage": "bb"})
    text = page(found, {"live": "cc"})
    assert text.count("the model 'live' has changed since this measurement") == 2
    text = page(found, {"live": "cc", "stage": "dd"})
    assert text.count("the models 'live', 'stage' have changed since this measurement") == 1
    assert text.count("the model 'live' has changed since this measurement") == 1


def test_aims_held_missed_and_open():
    def judged(found):
        return {
            aim.split(":")[0].split(" ")[0]: (figures, verdict)
            for aim, figures, verdict, _ in verdicts(found)
        }

    assert {verdict for _, verdict in judged({}).values()} == {OPEN}
    results = judged({name: result(name) for name in BY_NAME})
    assert results["whole"][1] == HELD and results["whole"][0].startswith("'live' 12.")  # p99 703 us of 5805
    assert results["the"] == ("0.321 ms ('live', the slowest)", HELD)
    assert results["declared"] == ("0 samples off (JACK server)", HELD)
    assert results["warm"] == ("1.70 s, at worst 2.10 s of 5", MISSED)
    assert results["file"] == ("+0.0% memory, +0.0% a second, from 1 to 10 minutes", HELD)
    slow = result("hop-cpu", [hop("whole", [1000.0] * 900 + [3000.0] * 100)])
    late = result("roundtrip", [ROWS["roundtrip"][0] | {"difference": -3}, ROWS["roundtrip"][1]])
    grown = result("file", [ROWS["file"][0], ROWS["file"][1] | {"peak_mib": 500.0}])
    results = judged({"hop-cpu": slow, "roundtrip": late, "file": grown})
    assert [results[aim][1] for aim in ("whole", "declared", "file")] == [MISSED] * 3
    assert results["losses"][1] == OPEN
    other = result("hop-cpu", [hop("whole", [1.0], model="stage")])
    assert judged({"hop-cpu": other})["whole"][1] == OPEN
    both = result("hop-cpu", [hop("whole", [1000.0]), hop("whole", [1600.0], model="light")])
    assert judged({"hop-cpu": both})["whole"] == (
        "'live' 17.2% and 17.2% of 35% and 50%; 'light' 27.6% and 27.6% of 25% and 50%", MISSED
    )  # fmt: skip


def stressed(*loads):
    """A result of stress: load, what rtsep lost (late, under, over), xruns of the plain client or None."""
    rows = []
    for load, (late, under, over), xruns in loads:
        rows.append(
            {"load": load, "client": "rtsep", "late_masks": late, "underruns": under, "overruns": over}
        )
        if xruns is not None:
            rows.append({"load": load, "client": "plain C", "device_xruns": xruns})
    return result("stress", rows)


@pytest.mark.parametrize(
    ("loads", "figures", "verdict"),
    [
        (
            [("quiet", (0, 0, 0), 0), ("disk", (1, 2, 2), 5), ("all", (1, 0, 0), 3)],
            "0 against 0 ('quiet', the worst of 3)", HELD,
        ),
        # As many as the plain client's are the machine's, all beyond them are not.
        (
            [("quiet", (0, 0, 0), 0), ("disk", (1, 160, 8), 5), ("all", (0, 24, 0), 3)],
            "169 against 5 ('disk', the worst of 3)", MISSED,
        ),
        ([("quiet", (0, 1, 0), 1), ("cpu", (0, 0, 0), 0)], "1 against 0 ('quiet', the worst of 2)", MISSED),
        (
            [("quiet", (0, 0, 0), None), ("cpu", (0, 7, 0), None)],
            "0 against 0 ('quiet', the worst of 1); no plain C client for comparison: cpu", OPEN,
        ),
        ([("cpu", (0, 7, 0), None)], "no plain C client for comparison", OPEN),
    ],
)  # fmt: skip
def test_what_is_lost_under_a_load_is_held_against_the_plain_client(loads, figures, verdict):
    (aim,) = (row for row in verdicts({"stress": stressed(*loads)}) if row[0].startswith("losses"))
    assert aim[1:3] == (figures, verdict)


def test_links_lead_to_headings():
    text = page({}, {})
    links = re.findall(r"\]\(#([^)]+)\)", text)
    assert len(links) == 6 and set(links) <= {anchor(bench.title) for bench in BENCHES}


def test_files_and_figures_are_written(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(pages, "shipped", dict)
    write(tmp_path / "results", *BY_NAME)
    assert main(["page", "--folder", str(tmp_path)]) == 0
    text = (tmp_path / "RESULTS.md").read_text()
    drawn = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert drawn == [f"figures/{QUALITY}", f"figures/{COST}"]
    before = {name: (tmp_path / name).read_bytes() for name in drawn}
    for picture in before.values():
        assert ElementTree.fromstring(picture).tag.endswith("svg")
    write_page(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in drawn} == before, "the same again is the same"


def test_names_cover_no_point_and_no_other_name(tmp_path, monkeypatch):
    figures = pytest.importorskip("benchmarks.figures")
    pytest.importorskip("matplotlib")
    crowd = [
        row | {"latency_ms": ms, "vocals_sdr": sdr, "title": f"a name that is long {n}"}
        for n, (row, ms, sdr) in enumerate(
            zip(
                PEERS * 2,
                (11.6, 11.6, 11.7, 12.0, 11.6, None, 5.8, 46.0, 46.4, 93.0, 2000.0),
                range(11),
                strict=False,
            )
        )
        if row["title"] != "unprocessed mixture"
    ]
    kept = []
    monkeypatch.setattr(figures, "_save", lambda figure, path: kept.append(figure))
    draw_quality([*crowd, PEERS[-1]], tmp_path / "q.svg")
    (figure,) = kept
    renderer = figure.canvas.get_renderer()
    axis = figure.axes[0]
    boxes = [text.get_window_extent(renderer) for text in axis.texts if text.get_text().startswith("a name")]
    assert len(boxes) == len(crowd) == 10
    for n, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:n])
        for x, y, *_ in axis.named:
            assert not box.contains(*axis.transData.transform((x, y)))
    assert {kind_of(row) for row in crowd} == {"own", "net", "classic"}


def test_what_is_no_result_is_refused(tmp_path, capsys):
    assert main(["page", "--folder", str(tmp_path)]) == InputFileError.exit_code
    assert "benchmarks all" in capsys.readouterr().err
    folder = tmp_path / "results"
    write(folder, "start")
    assert read_results(folder).keys() == {"start"}
    for text, reason in (("{", "JSON"), ("[]", "JSON"), ('{"rows": []}', "no bench, command")):
        (folder / "start.json").write_text(text)
        with pytest.raises(InputFileError, match=reason):
            read_results(folder)
    (folder / "start.json").write_text(" \n")  # of a command that was broken off: not measured
    assert read_results(folder) == {}
    (folder / "start.json").write_text(json.dumps(result("start") | {"rows": []}))
    with pytest.raises(InputFileError, match="no rows"):
        read_results(folder)
