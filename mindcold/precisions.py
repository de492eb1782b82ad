"""The weights of a model in lower precision, made once each, with the adapters of the loaded one."""

from mindcold.engine import Engine
from mindcold.errors import RequestError
from mindcold.sampling_params import DTYPES


class Precisions:
    """Engines of one model by the dtype of its weights; those below the loaded one are made on first use."""

    def __init__(self, engine: Engine, dtype: str):
        self._engines = {dtype: engine}
        self._loaded = dtype

    def engine(self, dtype: str) -> Engine:
        """The engine with weights of this dtype, which has all adapters that are live now, under the same ids.

        RequestError where it is not lower than the loaded one, nor the same, and for a network with a cache of its own.
        """
        if not self._engines[self._loaded].keeps_cache:
            raise RequestError("low_dtype: the network has weights and a cache of its own; use backend='engine'")
        if self._loaded in DTYPES and DTYPES.index(dtype) < DTYPES.index(self._loaded):
            raise RequestError(f"low_dtype: {dtype!r} is not lower than {self._loaded!r}, in which the model is loaded")
        loaded = self._engines[self._loaded]
        if dtype not in self._engines:
            self._engines[dtype] = loaded.lowered(dtype)
        engine = self._engines[dtype]
        for adapter in loaded.adapters[len(engine.adapters) :]:
            engine.add_adapter(adapter)
        return engine

    @property
    def weight_bytes(self) -> dict[str, int]:
        """Memory of the base's matrices by their dtype, bytes."""
        return {dtype: engine.weight_bytes for dtype, engine in self._engines.items()}
