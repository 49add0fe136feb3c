"""`train fetch`: packages that a list names."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from rtsep.errors import InputFileError, OutputError, UsageError
from tests.train.song_folders import tone
from train.data import fetch as fetching
from train.data.cache import AudioCache
from train.data.prepare import prepare


def package(folder, name, files):
    """A real Debian package."""
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: music\n"
    )
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    subprocess.run(
        ["dpkg-deb", "-b", str(root), str(folder / f"{name}.deb")], check=True, capture_output=True
    )


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A list of two packages, one with an archive inside; apt-get hands them out from a folder."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("needs dpkg-deb")
    sound = tone(tmp_path / "a.wav").read_bytes()
    zipped = tmp_path / "music"
    tone(zipped / "music/in.wav", seconds=1.2)
    held = Path(shutil.make_archive(str(tmp_path / "held"), "zip", zipped)).read_bytes()
    notes = "usr/share/doc/{}/copyright"
    package(tmp_path, "one", {"usr/a.wav": sound, "usr/bang.wav": sound, notes.format("one"): b"CC0"})
    package(tmp_path, "two", {"usr/m.pk3": held, notes.format("two"): b"GPL"})
    rows = [
        "package\tfile\tmember",
        "one\tusr/a.wav\t",
        "one\tusr/gone.wav\t",
        "two\tusr/m.pk3\tmusic/in.wav",
    ]
    (tmp_path / "data/instrumentals").mkdir(parents=True)
    (tmp_path / "data/instrumentals/tracks.tsv").write_text("\n".join([*rows, "three\tb.wav\t"]) + "\n")
    asked = []
    run = subprocess.run

    def hands_out(command, **how):
        if command[:2] == ["apt-get", "download"]:
            asked.append(command[-1])
            if not (tmp_path / f"{command[-1]}.deb").exists():
                return subprocess.CompletedProcess(
                    command, 100, "", f"E: Unable to locate package {command[-1]}\n"
                )
            shutil.copy(tmp_path / f"{command[-1]}.deb", how["cwd"])
            return subprocess.CompletedProcess(command, 0, "", "")
        if command[0] == "apt-cache":
            return subprocess.CompletedProcess(command, 0, "Package: one\nSize: 1000\n", "")
        return run(command, **how)

    monkeypatch.setattr(fetching.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(fetching.subprocess, "run", hands_out)
    return tmp_path, asked


def test_fetch_keeps_the_listed_files_and_goes_on_where_it_stopped(shelf, capsys):
    folder, asked = shelf
    with pytest.raises(InputFileError, match=r"1 of 3 packages failed \(three: unknown .*apt-get update"):
        fetching.fetch(folder / "data", folder / "out")
    held = {
        path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*") if path.is_file()
    }
    assert held == {"one/usr/a.wav", "one/copyright", "two/usr/m.pk3/music/in.wav", "two/copyright"}
    assert asked == ["one", "two", "three"], "most tracks for their size first, unknown sizes last"
    assert "one: usr/gone.wav: not in this version" in capsys.readouterr().out
    have = fetching.fetch(folder / "data", folder / "out", ["one", "two"])
    assert asked == ["one", "two", "three"] and have["two"] == pytest.approx(0.02)
    assert list(fetching.fetch(folder / "data", folder / "out", minutes=0.001)) == ["one"]

    prepare(folder / "out", folder / "cache")
    songs = {song.name: song for song in AudioCache(folder / "cache").songs}
    assert set(songs) == {"one/usr/a", "two/usr/m.pk3/music/in"} and songs["one/usr/a"].kind == "music"


def test_fetch_says_what_is_wrong(shelf, tmp_path, monkeypatch):
    folder, _ = shelf
    with pytest.raises(UsageError, match="did you mean 'three'"):
        fetching.fetch(folder / "data", folder / "out", ["thre"])
    with pytest.raises(InputFileError, match="not a table"):
        fetching.fetch(tmp_path / "nowhere", folder / "out")
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(OutputError, match="the disk is full"):
        fetching.fetch(folder / "data", folder / "out", ["one"])
    assert not list((folder / "out").iterdir())
    monkeypatch.setattr(fetching.shutil, "which", lambda name: None)
    with pytest.raises(OutputError, match="no apt-get"):
        fetching.fetch(folder / "data", folder / "out")


def test_fetch_follows_no_link_out_of_a_package(tmp_path):
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "secret.wav").write_bytes(b"of this system")
    (tmp_path / "unpacked/a.wav").symlink_to(tmp_path / "secret.wav")
    assert not fetching._keep(tmp_path / "unpacked", "a.wav", tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("row", "fault"),
    [("one\tusr/m.zip\t../../../thesis.txt", "leads out of the package"),
     ("one\t../../thesis.txt\t", "leads out of the package"),
     ("one\t/etc/passwd\t", "leads out of the package"),
     ("one\tusr/m.zip\t/etc/passwd", "leads out of the package"),
     ("..\tusr/a.wav\t", "not a name of a Debian package"),
     ("-oDir::Bin::dpkg=evil\tusr/a.wav\t", "not a name of a Debian package"),
     ("./local.deb\tusr/a.wav\t", "not a name of a Debian package")],
)  # fmt: skip
def test_a_list_names_no_option_of_apt_and_no_file_outside(shelf, row, fault):
    folder, asked = shelf
    table = folder / "data/instrumentals/tracks.tsv"
    table.write_text(f"package\tfile\tmember\n{row}\n")
    with pytest.raises(InputFileError, match=fault):
        fetching.fetch(folder / "data", folder / "out")
    with pytest.raises(InputFileError, match=fault):
        prepare(folder / "data", folder / "cache")
    assert not asked


def test_fetch_ends_the_options_of_apt_before_the_names(tmp_path, monkeypatch):
    commands = []

    def noted(command, **how):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetching.subprocess, "run", noted)
    fetching._sizes(["one"])
    with pytest.raises(fetching.PackageError):
        fetching._download("one", tmp_path)
    assert [command[-2:] for command in commands] == [["--", "one"], ["--", "one"]]


def test_fetch_writes_and_deletes_nothing_outside_its_folder(tmp_path):
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "kept").mkdir()
    with zipfile.ZipFile(tmp_path / "unpacked/m.zip", "w") as archive:
        archive.writestr("../../thesis.txt", b"of the archive")
    for member in ("../../thesis.txt", "../../notes.txt"):  # one is in the archive, the other one is not
        mine = tmp_path / Path(member).name
        mine.write_text("mine")
        assert not fetching._keep(tmp_path / "unpacked", f"m.zip/{member}", tmp_path / "kept")
        assert mine.read_text() == "mine"
    assert not list((tmp_path / "kept").iterdir())
