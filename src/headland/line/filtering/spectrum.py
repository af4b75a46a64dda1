"""Features of one window of vibration samples.

Sources: R. B. Randall, "Vibration-based Condition Monitoring" (Wiley, 2011), chapters 3 and 5, for RMS,
crest factor, kurtosis and band energies of rolling bearings. All are of the samples minus their mean:

* rms = sqrt(mean(x^2)); peak = max|x|; crest = peak / rms; kurtosis = mean(x^4) / rms^4 (3 for Gaussian
  noise).
* band = RMS of the part of the signal between two frequencies, from a Hann-windowed FFT: sqrt of the sum of
  2 |X_k|^2 / (N sum(w^2)) over its bins; the bands of a white signal add up to its mean square.

numpy is imported when the first window is full.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

_windows: dict[int, tuple[Any, float]] = {}


def features(
    samples: Sequence[float], rate_hz: float, bands: Sequence[tuple[str, float, float]]
) -> dict[str, float]:
    """rms, peak, crest, kurtosis and `band.NAME` of each band (name, low Hz, high Hz)."""
    import numpy as np

    x = np.asarray(samples, dtype=np.float64)
    x = x - x.mean()
    square = x * x
    power = float(square.mean())
    rms = power**0.5
    peak = float(np.abs(x).max())
    found = {
        "rms": rms,
        "peak": peak,
        "crest": peak / rms if rms > 0 else 0.0,
        "kurtosis": float((square * square).mean()) / (power * power) if power * power > 0 else 0.0,
    }
    if bands:
        n = len(x)
        if n not in _windows:
            hann = np.hanning(n)
            _windows.clear()
            _windows[n] = (hann, float((hann * hann).sum()))
        hann, weight = _windows[n]
        spectrum = np.abs(np.fft.rfft(x * hann)) ** 2 * (2 / (n * weight))
        frequencies = np.fft.rfftfreq(n, 1 / rate_hz)
        for name, low, high in bands:
            inside = spectrum[(frequencies >= low) & (frequencies < high)]
            found[f"band.{name}"] = float(inside.sum()) ** 0.5
    return {name: value if isfinite(value) else 0.0 for name, value in found.items()}


def unpacked(block: bytes, layout: str) -> list[float]:
    """Samples of a packed little-endian block; `layout` is float32, float64 or int16."""
    import numpy as np

    codes = {"float32": "<f4", "float64": "<f8", "int16": "<i2"}
    values: list[float] = np.frombuffer(block, dtype=codes[layout]).astype(np.float64).tolist()
    return values
