"""The contract of swiglu, in NumPy."""

import numpy as np


def swiglu(x: np.ndarray, adapter: np.ndarray) -> np.ndarray:
    """silu(gate) * up, where x float32 [R, 2 K] holds the gate in its first half and up in its second: -> [R, K].

    Rows whose adapter id is below -1 are padding, and what they give is unspecified (zeros here). Shazeer,
    arXiv 2002.05202.
    """
    gate, up = np.split(x.astype(np.float64), 2, axis=-1)
    y = (gate / (1 + np.exp(-gate)) * up).astype(np.float32)
    y[adapter < -1] = 0
    return y
