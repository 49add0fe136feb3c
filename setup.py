"""Puts the sources of the plugin, `plugin/`, into the package: `rtsep plugin install` compiles them."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithSources(build_py):
    """The usual build, and the sources beside the assets."""

    def run(self) -> None:
        """Build, then copy, unless the package is used where it lies."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "rtsep", "assets", "plugin")
            target.mkdir(parents=True, exist_ok=True)
            for source in sorted(Path("plugin").iterdir()):
                if source.suffix in (".c", ".h", ".txt"):
                    shutil.copy(source, target)


setup(cmdclass={"build_py": BuildWithSources})
