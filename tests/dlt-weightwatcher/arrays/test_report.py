from __future__ import annotations

import re

import numpy as np
import pytest

from dl_techniques.weightwatcher import analyze_model
from dl_techniques.weightwatcher.report.pictures import write_pictures

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def result(weights):
    hostile = {"<script>alert(1)</script>": weights["square"] + 1, "zero": np.zeros((9, 9))}
    return analyze_model({**weights, **hostile}, n_jobs=1, bootstrap=10, mp_fit=True)


def test_the_page_is_complete_and_asks_for_nothing(result, tmp_path):
    page = result.to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
    for heading in (
        "Summary",
        "alpha by depth",
        "Flow",
        "Matrices",
        "Metrics",
        "Spectra",
        "Left out",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "http" not in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("data:image/png;base64,") >= 4


@pytest.mark.parametrize("kind", ["esd", "fit", "mp", "depth", "flow", "heat"])
def test_every_picture_can_be_drawn(result, kind, tmp_path):
    layer = "dense" if kind in {"esd", "fit", "mp"} else None
    result.plot(kind, layer).savefig(tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(PNG)


def test_pictures_leave_the_state_of_pyplot_alone(result):
    import matplotlib

    backend = matplotlib.get_backend()
    import matplotlib.pyplot as plt

    open_figures = plt.get_fignums()
    result.plot("depth")
    result.to_html()
    assert plt.get_fignums() == open_figures
    assert matplotlib.get_backend() == backend


def test_a_failed_fit_is_drawn_without_a_line():
    result = analyze_model({"i": np.eye(20), "one": np.ones((20, 20))}, n_jobs=1)
    assert result[0]["status"] == "degenerate"
    for name in ("i", "one"):
        assert result.plot("esd", name) is not None
    assert "degenerate" in result.to_html()


def test_wrong_pictures_are_refused(result):
    with pytest.raises(ValueError, match="kind"):
        result.plot("pie")
    with pytest.raises(ValueError, match="layer"):
        result.plot("esd")
    with pytest.raises(ValueError, match="no spectrum"):
        result.plot("esd", "zero")


def test_pictures_of_a_folder(result, tmp_path):
    files = write_pictures(result, tmp_path / "pictures")
    assert len(files) == 3 + 4
    assert all(file.read_bytes().startswith(PNG) for file in files)


def test_an_empty_model_has_a_page():
    assert "0 matrices" in analyze_model({"bias": np.ones(3)}, n_jobs=1).to_html()


def test_a_page_draws_a_sheet_for_twelve_layers():
    """Pictures are what a page costs: those of the spectra are sheets, all others stay as many."""
    rng = np.random.default_rng(0)
    counts = []
    for layers in (12, 13, 40):
        weights = {f"l{i}": rng.normal(size=(24, 16)) for i in range(layers)}
        page = analyze_model(weights, n_jobs=1).to_html()
        counts.append(page.count("data:image/png;base64,"))
    assert [count - counts[0] for count in counts] == [0, 1, 3]
