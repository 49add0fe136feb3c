"""The models that rtsep ships, identified by their checksums.

The table is `SHA256SUMS` beside the models, as `sha256sum` writes and checks it:

    cd rtsep/assets/models && sha256sum *.pt > SHA256SUMS

"""

from __future__ import annotations

import functools

from rtsep.model.catalog import shipped_folder

TABLE = "SHA256SUMS"


@functools.cache
def shipped_checksums() -> dict[str, str]:
    """Return the name of each shipped model file by the SHA-256 of its bytes."""
    try:
        lines = (shipped_folder() / TABLE).read_text().splitlines()
    except OSError:  # then no file counts as shipped
        return {}
    return {line.split()[0]: line.split()[1] for line in lines}


def is_shipped(sha256: str) -> bool:
    """Return whether a file with this checksum is shipped with rtsep, wherever it is stored."""
    return sha256 in shipped_checksums()
