"""The mathematics: spectra, fits and metrics of plain arrays. Knows nothing of models or files."""
