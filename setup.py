"""Puts the sources of the plugin, `plugin/`, into the package: `rtsep plugin install` compiles them.

With RTSEP_WHEEL=TAG in the environment, the wheel is for the platform TAG and holds the compiled plugin too.
The compiler is that of CC, which has to suit the tag; `make dist` sets both.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

TAG = os.environ.get("RTSEP_WHEEL", "")
LV2_HEADERS = Path("/usr/include/lv2")


class BuildWithPlugin(build_py):
    """The usual build, and the plugin beside the assets."""

    def run(self) -> None:
        """Build, then add to it, unless the package is used where it lies."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "rtsep", "assets", "plugin")
            target.mkdir(parents=True, exist_ok=True)
            for source in sorted(Path("plugin").iterdir()):
                if source.suffix in (".c", ".h", ".txt"):
                    shutil.copy(source, target)
            if TAG:
                compile_to(target)


def compile_to(folder: Path) -> None:
    """Compile the plugin to a file in `folder`."""
    sys.path.insert(0, str(Path.cwd()))
    from rtsep.plugin import bundle, ttl

    with tempfile.TemporaryDirectory() as headers:  # of LV2 alone: those of this system may not suit the tag
        Path(headers, "lv2").symlink_to(LV2_HEADERS)
        bundle.compile_plugin(folder.absolute() / ttl.BINARY, (f"-I{headers}", "-s"))


class PlatformWheel(bdist_wheel):
    """The usual wheel, or one for any Python 3 on the platform TAG."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tag: the plugin is not linked with Python."""
        return ("py3", "none", TAG) if TAG else super().get_tag()


class Package(Distribution):
    """The package, which is not pure Python where it carries the compiled plugin."""

    def has_ext_modules(self) -> bool:
        """Return whether the files belong among those of the platform."""
        return bool(TAG)


setup(distclass=Package, cmdclass={"build_py": BuildWithPlugin, "bdist_wheel": PlatformWheel})
