"""The plugin's descriptions for hosts and its C headers, generated from the table of controls.

python -m rtsep.plugin.ttl FOLDER      writes manifest.ttl, rtsep.ttl, controls.h and ports.h

"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rtsep.controls import MINUS_INFINITY_DB, TABLE, Control
from rtsep.plugin.layout import IN_CHANNELS, MAX_CONTROLS, OUT_CHANNELS

URI = "urn:rtsep:plugin"
BINARY = "rtsep.so"
DEFAULT_BLOCK = 8192
"""Frames per call that the delay allows for if a host does not state its block length."""

OUTPUTS = ("main", "vocals", "instrumental")
PORT_IN, PORT_OUT = 0, IN_CHANNELS
PORT_ENABLED = PORT_OUT + OUT_CHANNELS
PORT_FREE_WHEEL, PORT_LATENCY, PORT_STATE, PORT_LATE, PORT_EVENTS, PORT_NOTIFY, PORT_CONTROLS = range(
    PORT_ENABLED + 1, PORT_ENABLED + 8
)
PORTS = PORT_CONTROLS + len(TABLE)

_PREFIXES = {
    "atom": "http://lv2plug.in/ns/ext/atom#",
    "bufsz": "http://lv2plug.in/ns/ext/buf-size#",
    "doap": "http://usefulinc.com/ns/doap#",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "log": "http://lv2plug.in/ns/ext/log#",
    "lv2": "http://lv2plug.in/ns/lv2core#",
    "opts": "http://lv2plug.in/ns/ext/options#",
    "patch": "http://lv2plug.in/ns/ext/patch#",
    "pg": "http://lv2plug.in/ns/ext/port-groups#",
    "pprops": "http://lv2plug.in/ns/ext/port-props#",
    "pset": "http://lv2plug.in/ns/ext/presets#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "rsz": "http://lv2plug.in/ns/ext/resize-port#",
    "state": "http://lv2plug.in/ns/ext/state#",
    "time": "http://lv2plug.in/ns/ext/time#",
    "units": "http://lv2plug.in/ns/extensions/units#",
    "urid": "http://lv2plug.in/ns/ext/urid#",
    "work": "http://lv2plug.in/ns/ext/worker#",
}
_UNITS = {"dB": "units:db", "ms": "units:ms"}


class Model(NamedTuple):
    """Model that a preset selects."""

    name: str
    sha256: str
    purpose: str


def _prefixes() -> str:
    return "".join(f"@prefix {name}: <{uri}> .\n" for name, uri in _PREFIXES.items())


def _text(words: str) -> str:
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0") + ("0" if value == int(value) else "")


def _port(index: int, types: Sequence[str], symbol: str, name: str, more: Iterable[str] = ()) -> str:
    lines = [f"a {', '.join(types)}", f"lv2:index {index}", f"lv2:symbol {_text(symbol)}",
             f"lv2:name {_text(name)}", *more]  # fmt: skip
    return "    [\n        " + " ;\n        ".join(lines) + "\n    ]"


def title_of(name: str) -> str:
    """Return the name of a control as hosts show it."""
    return name.replace("_", " ").capitalize()


def _range(default: float, minimum: float, maximum: float) -> list[str]:
    return [
        f"lv2:default {_number(default)}",
        f"lv2:minimum {_number(minimum)}",
        f"lv2:maximum {_number(maximum)}",
    ]


def _points(points: Iterable[tuple[str, float]]) -> str:
    shown = ", ".join(
        f"[ rdfs:label {_text(label)} ; rdf:value {_number(value)} ]" for label, value in points
    )
    return f"lv2:scalePoint {shown}"


def _control(index: int, control: Control) -> str:
    more = _range(control.default, control.minimum, control.maximum)
    more.append(f"rdfs:comment {_text(f'{control.effect} ({control.meaning})')}")
    if control.unit in _UNITS:
        more.append(f"units:unit {_UNITS[control.unit]}")
    if control.unit == "switch":
        more += ["lv2:portProperty lv2:toggled", _points((("off", 0), ("on", 1)))]
    elif control.choices:
        choices = [(choice, float(value)) for value, choice in enumerate(control.choices)]
        more += ["lv2:portProperty lv2:enumeration, lv2:integer", _points(choices)]
    elif control.unit == "dB":
        more.append(_points((("silent", control.minimum), ("unity", 0.0))))
    elif control.name == "balance":
        more.append(_points((("music", 0), ("both", 0.5), ("voice", 1))))
    types = ("lv2:InputPort", "lv2:ControlPort")
    return _port(index, types, control.name, title_of(control.name), more)


def _ports() -> list[str]:
    sides = (("l", "left", "pg:left"), ("r", "right", "pg:right"))
    ports = [
        _port(PORT_IN + k, ("lv2:InputPort", "lv2:AudioPort"), f"in_{short}", f"In {side}",
              (f"pg:group <{URI}#in>", f"lv2:designation {place}"))
        for k, (short, side, place) in enumerate(sides)
    ]  # fmt: skip
    for i, output in enumerate(OUTPUTS):
        for k, (short, side, place) in enumerate(sides):
            ports.append(
                _port(PORT_OUT + i * len(sides) + k, ("lv2:OutputPort", "lv2:AudioPort"), f"{output}_{short}",
                      f"{output.capitalize()} {side}",
                      (f"pg:group <{URI}#{output}>", f"lv2:designation {place}"))
            )  # fmt: skip
    inputs, outputs = ("lv2:InputPort", "lv2:ControlPort"), ("lv2:OutputPort", "lv2:ControlPort")
    states = [("starting", 0.0), ("plays", 1.0), ("refused, see the log", 2.0), ("down", 3.0)]
    ports += [
        _port(PORT_ENABLED, inputs, "enabled", "Enabled",
              [*_range(1, 0, 1), "lv2:designation lv2:enabled", "lv2:portProperty lv2:toggled"]),
        _port(PORT_FREE_WHEEL, inputs, "free_wheel", "Free wheel",
              [*_range(0, 0, 1), "lv2:designation lv2:freeWheeling",
               "lv2:portProperty lv2:toggled, pprops:notOnGUI, lv2:connectionOptional"]),
        _port(PORT_LATENCY, outputs, "latency", "Latency",
              [*_range(0, 0, 192000), "lv2:designation lv2:latency", "units:unit units:frame",
               "lv2:portProperty lv2:reportsLatency, lv2:integer, lv2:connectionOptional, pprops:notOnGUI"]),
        _port(PORT_STATE, outputs, "engine", "Engine",
              [*_range(0, 0, 3), "lv2:portProperty lv2:enumeration, lv2:integer, lv2:connectionOptional",
               _points(states),
               'rdfs:comment "what the engine process does: without it the dry signal plays"']),
        _port(PORT_LATE, outputs, "late", "Late",
              [*_range(0, 0, 1e9), "units:unit units:frame",
               "lv2:portProperty lv2:integer, lv2:connectionOptional",
               'rdfs:comment "frames that played dry because the engine was late"']),
        _port(PORT_EVENTS, ("lv2:InputPort", "atom:AtomPort"), "events", "Events",
              ["atom:bufferType atom:Sequence", "atom:supports time:Position, patch:Message",
               "lv2:designation lv2:control", "lv2:portProperty lv2:connectionOptional"]),
        _port(PORT_NOTIFY, ("lv2:OutputPort", "atom:AtomPort"), "notify", "Notify",
              ["atom:bufferType atom:Sequence", "atom:supports patch:Message", "rsz:minimumSize 16384",
               "lv2:designation lv2:control", "lv2:portProperty lv2:connectionOptional"]),
    ]  # fmt: skip
    return ports + [_control(PORT_CONTROLS + i, control) for i, control in enumerate(TABLE)]


def plugin_ttl(version: str) -> str:
    """Return rtsep.ttl: the plugin and its ports. `version` is that of rtsep."""
    major, minor, micro = ([int(part) for part in version.split(".")[:3] if part.isdigit()] + [0, 0, 0])[:3]
    number = 2 * (100 * major + minor + 1)  # an even number is a release, 0 a draft
    groups = "".join(
        f"\n<{URI}#{name}>\n    a pg:{kind}Group, pg:StereoGroup ;\n"
        f"    lv2:name {_text(name.capitalize())} ;\n"
        f"    lv2:symbol {_text('group_' + name)}"
        + (f" ;\n    pg:source <{URI}#in> .\n" if kind == "Output" else " .\n")
        for kind, name in (("Input", "in"), *(("Output", output) for output in OUTPUTS))
    )
    return (
        f"{_prefixes()}@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .\n"
        f"{groups}"
        f'\n<{URI}#model>\n    a lv2:Parameter ;\n    rdfs:label "Model" ;\n    rdfs:range atom:String .\n'
        f'\n<{URI}#model_file>\n    a lv2:Parameter ;\n    rdfs:label "Model file" ;\n'
        "    rdfs:range atom:Path .\n"
        f'\n<{URI}#sha256>\n    a lv2:Parameter ;\n    rdfs:label "SHA-256 of the model" ;\n'
        "    rdfs:range atom:String .\n\n"
        f"<{URI}>\n"
        "    a lv2:Plugin, lv2:SpectralPlugin, doap:Project ;\n"
        '    doap:name "rtsep" ;\n'
        "    doap:license <http://opensource.org/licenses/MIT> ;\n"
        '    doap:maintainer [ foaf:name "the rtsep authors" ] ;\n'
        '    doap:shortdesc "vocal separation: voice and instruments as two feeds" ;\n'
        '    rdfs:comment "Separates the voice from the music while it plays. Main is one stereo output, '
        "with the control Balance; vocals and instrumental are outputs of their own and add up "
        'to the input." ;\n'
        f"    lv2:minorVersion {number} ;\n    lv2:microVersion {2 * micro} ;\n"
        f"    lv2:binary <{BINARY}> ;\n"
        "    lv2:requiredFeature urid:map ;\n"
        "    lv2:optionalFeature lv2:hardRTCapable, opts:options, log:log, state:threadSafeRestore, "
        "state:mapPath, state:freePath, work:schedule ;\n"
        "    lv2:extensionData state:interface, opts:interface, work:interface ;\n"
        f"    patch:writable <{URI}#model_file> ;\n"  # Ardour 7 would show the name as a number
        "    opts:supportedOption bufsz:nominalBlockLength, bufsz:maxBlockLength ;\n"
        f"    pg:mainInput <{URI}#in> ;\n    pg:mainOutput <{URI}#main> ;\n"
        "    lv2:port " + " ,\n    ".join(port.strip() for port in _ports()) + " .\n"
    )


def manifest_ttl(models: Iterable[Model] = ()) -> str:
    """Return manifest.ttl: the plugin, and a preset for each model."""
    text = (
        f"{_prefixes()}\n<{URI}>\n    a lv2:Plugin ;\n    lv2:binary <{BINARY}> ;\n"
        "    rdfs:seeAlso <rtsep.ttl> .\n"
    )
    for model in models:
        text += f"\n<{_preset(model)}>\n    a pset:Preset ;\n    lv2:appliesTo <{URI}> ;\n"
        text += "    rdfs:seeAlso <presets.ttl> .\n"
    return text


def presets_ttl(models: Iterable[Model]) -> str:
    """Return presets.ttl: each preset selects a model, and does not change the controls."""
    text = _prefixes()
    for model in models:
        comment = f" ;\n    rdfs:comment {_text(model.purpose)}" if model.purpose else ""
        text += (
            f"\n<{_preset(model)}>\n    a pset:Preset ;\n    lv2:appliesTo <{URI}> ;\n"
            f"    rdfs:label {_text('Model ' + model.name)}{comment} ;\n"
            f"    state:state [\n        <{URI}#model> {_text(model.name)} ;\n"
            f"        <{URI}#sha256> {_text(model.sha256)}\n    ] .\n"
        )
    return text


def _preset(model: Model) -> str:
    return f"{URI}#preset-{model.sha256[:16]}"


def controls_h() -> str:
    """Return controls.h: the table of controls for C."""
    if len(TABLE) > MAX_CONTROLS:
        raise ValueError(f"{len(TABLE)} controls: the memory has room for {MAX_CONTROLS}; change layout.h")

    def row(values: Iterable[float]) -> str:
        return ", ".join(_number(value) for value in values)

    names = "".join(f"    {control.name.upper()} = {slot},\n" for slot, control in enumerate(TABLE))
    whole = (float(control.unit in ("switch", "choice")) for control in TABLE)
    return (
        "/* Written by rtsep.plugin.ttl from the table of controls. */\n\n"
        "#ifndef RTSEP_CONTROLS_H\n#define RTSEP_CONTROLS_H\n\n"
        f"enum {{\n{names}    CONTROLS = {len(TABLE)}\n}};\n\n"
        f"static const double SILENT_DB = {_number(MINUS_INFINITY_DB)};\n"
        f"static const double CONTROL_DEFAULT[CONTROLS] = {{{row(c.default for c in TABLE)}}};\n"
        f"static const double CONTROL_MIN[CONTROLS] = {{{row(c.minimum for c in TABLE)}}};\n"
        f"static const double CONTROL_MAX[CONTROLS] = {{{row(c.maximum for c in TABLE)}}};\n"
        f"static const double CONTROL_WHOLE[CONTROLS] = {{{row(whole)}}}; /* 1: nothing in between */\n\n"
        "#endif\n"
    )


def ports_h() -> str:
    """Return ports.h: the indices of the ports."""
    here = {name: value for name, value in globals().items() if name.startswith("PORT") and name.isupper()}
    return (
        "/* Written by rtsep.plugin.ttl. */\n\n#ifndef RTSEP_PORTS_H\n#define RTSEP_PORTS_H\n\n"
        f"#define PLUGIN_URI {_text(URI)}\n\nenum {{\n"
        + "".join(f"    {name} = {value},\n" for name, value in here.items())
        + f"    DEFAULT_BLOCK = {DEFAULT_BLOCK}\n}};\n\n#endif\n"
    )


def write_headers(folder: Path) -> None:
    """Write the headers that the C sources include. Raises `OSError`."""
    (folder / "controls.h").write_text(controls_h())
    (folder / "ports.h").write_text(ports_h())


if __name__ == "__main__":
    from importlib.metadata import version

    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    write_headers(place)
    (place / "manifest.ttl").write_text(manifest_ttl())
    (place / "rtsep.ttl").write_text(plugin_ttl(version("rtsep")))
