"""The pipeline task "mindcold_text_generation": MindFormers' text generation, decoded by mindcold."""

from typing import Any

from mindformers import MindFormerBook, MindFormerModuleType, MindFormerRegister, TextGenerationPipeline

from mindcold.mindformers.decoder import Decoder
from mindcold.mindformers.enable import decoder_for

TASK = "mindcold_text_generation"


@MindFormerRegister.register(MindFormerModuleType.PIPELINE, alias=TASK)
class MindcoldTextGenerationPipeline(TextGenerationPipeline):
    """`pipeline("mindcold_text_generation", model=network, tokenizer=tokenizer, mindcold={...})`.

    `mindcold` are the keywords of `mindcold.mindformers.enable`; in a call they are `method`, `draft` and the others
    that say how to decode. The network's own `generate` stays as it is.
    """

    def __init__(self, model: Any, tokenizer: Any = None, mindcold: dict[str, Any] | None = None, **keywords: Any):
        super().__init__(model, tokenizer=tokenizer, **keywords)
        own = dict(mindcold or {})
        own.setdefault("tokenizer", tokenizer if "constraint" in own else None)
        self.decoder: Decoder = decoder_for(self.network, **own)

    def _forward(self, model_inputs: dict[str, Any], **forward_params: Any) -> Any:
        forward_params.pop("None", None)
        return self.decoder.generate(model_inputs["input_ids"], **forward_params)


def register() -> None:
    """Let `pipeline` know the task; it looks tasks up in MindFormers' book before it builds them."""
    tasks = MindFormerBook.get_pipeline_support_task_list()
    tasks.setdefault(TASK, tasks["text_generation"])
