"""`rtsep plugin`: install the LV2 plugin for this user, remove it, check it."""

from __future__ import annotations

import argparse
from pathlib import Path

from rtsep import folders
from rtsep.errors import OutputError
from rtsep.model.catalog import DEFAULT_MODEL
from rtsep.plugin import bundle
from rtsep.realtime.child_process import command_of


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the commands under this command."""
    what = parser.add_subparsers(dest="what", metavar="install|remove|check", required=True)
    for name, purpose in (
        ("install", "build the LV2 plugin and install it in the folder that hosts search"),
        ("remove", "remove the plugin"),
        ("check", "check that the plugin is installed, loads, and matches this version"),
    ):
        of = what.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:])
        of.add_argument(
            "--folder", type=Path, metavar="FOLDER", help="folder of LV2 plugins (default: the user's own)"
        )
        if name == "install":
            of.add_argument(
                "--model", default=DEFAULT_MODEL, metavar="NAME",
                help=f"model that a new instance plays ({DEFAULT_MODEL}); hosts offer all models as presets",
            )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Install, remove or check, by the arguments."""
    where = arguments.folder or bundle.user_folder()
    if arguments.what == "install":
        print(f"installed {bundle.install(where, command_of('rtsep.cli.main'), arguments.model)}")
    elif arguments.what == "remove":
        removed = bundle.remove(where)
        print(f"removed {removed}" if removed else f"nothing to remove in {where}")
    else:
        _check([where / bundle.NAME] if arguments.folder else bundle.installed())
    return 0


def _check(bundles: list[Path]) -> None:
    """Print the state of the installed plugin; raise `OutputError` if the user should act."""
    found = [path for path in bundles if folders.is_reachable(path)]
    if not found:
        raise OutputError("the plugin is not installed; run 'rtsep plugin install'")
    faults = list(bundle.faults(found[0]))
    if faults:
        raise OutputError(f"{found[0]}: {'; '.join(faults)}; run 'rtsep plugin install'")
    print(f"{found[0]}: matches, and its engine is version {bundle.engine_version(found[0])}")
