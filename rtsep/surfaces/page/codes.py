"""An address as a QR code, for the page and for the terminal."""

from __future__ import annotations

import io

import segno


def picture_of(address: str) -> bytes:
    """Return it as an SVG picture, dark on light."""
    out = io.BytesIO()
    segno.make_qr(address).save(
        out, kind="svg", border=2, xmldecl=False, svgns=True, dark="#000", light="#fff"
    )
    return out.getvalue()


def lines_of(address: str) -> str:
    """Return it as lines for a terminal with a dark ground; most phones read it on a light one, too."""
    out = io.StringIO()
    segno.make_qr(address, error="l").terminal(out, border=2, compact=True)
    return out.getvalue()
