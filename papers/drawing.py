"""How the figures of the papers look, and how they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt


def start_drawing(name: str) -> None:
    """Set the style; with a name, unchanged results give unchanged files.

    Args:
        name: from which ids inside an SVG are made.
    """
    mpl.rcParams.update({"svg.hashsalt": name, "font.size": 9, "axes.grid": True})
    mpl.rcParams.update({"grid.alpha": 0.25, "axes.spines.top": False, "axes.spines.right": False})


def save_figure(figure: Any, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and SVG, without dates inside, and close it; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"{name}.png", folder / f"{name}.svg"]
    figure.savefig(written[0], dpi=130, bbox_inches="tight", metadata={"Software": None})
    figure.savefig(written[1], dpi=130, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return written
