"""Requests as they are given to requests the scheduler can run: everything is checked here, before any work."""

from mindcold.config import ModelConfig
from mindcold.constraints import ConstraintSet, Vocabulary, parse_constraint
from mindcold.decoding import RequestState, find
from mindcold.decoding.rollout import RolloutSource
from mindcold.decoding.sampling import TokenFilter
from mindcold.decoding_defaults import DecodingDefaults
from mindcold.draft_models import DraftModels
from mindcold.drafting import DRAFT_MODEL, TableKey, TrigramDrafter, TrigramTables
from mindcold.engine import Engine
from mindcold.errors import RequestError
from mindcold.model.adapter_bank import BASE_ADAPTER
from mindcold.prompts import PromptEncoder
from mindcold.request import BASE, Request
from mindcold.sampling_params import DRAFTS, SamplingParams
from mindcold.tokenizer import Tokenizer


class RequestBuilder:
    """Builds the requests of a loaded model."""

    def __init__(
        self,
        engine: Engine,
        config: ModelConfig,
        tokenizer: Tokenizer | None,
        encoder: PromptEncoder,
        draft_models: DraftModels,
    ):
        self._engine, self._config, self._tokenizer = engine, config, tokenizer
        self._encoder, self._draft_models = encoder, draft_models
        self.defaults: dict[str, DecodingDefaults] = {}
        """Decoding defaults by the name of the adapter."""

    def build(self, index: int, request: Request, trigrams: TrigramTables, where: str = "prompt: ") -> RequestState:
        """A checked request with number `index` of its call; RequestError names what is wrong, after `where`.

        The drafts it makes are learned in `trigrams`.
        """
        prompt, adapter = self._encoder.encode(request.prompt, where), self.adapter_id(request.adapter)
        name, options = self.defaults_of(adapter).complete(request.method, request.options)
        method, params = find(name), SamplingParams.of(options)
        method.check(params)
        if method.search.branching and not self._engine.branches:
            raise RequestError(
                f"method: {name!r} branches its sequences, which the network's own cache cannot; use backend='engine'"
            )
        draft = method.draft if params.draft is None else params.draft
        params, contrast = params.preset(draft), method.contrast(params)
        if params.stops and self._tokenizer is None:
            raise RequestError("stop_strings: the model has no tokenizer; use eos_token_id")
        if contrast and not self._engine.adapters:
            raise RequestError(f"method: {name!r} contrasts an adapter with the base; give an adapter to load")
        limit = self._config.max_position_embeddings
        if len(prompt) >= limit:
            raise RequestError(
                f"{where}{len(prompt)} tokens fill the model's max_position_embeddings {limit}; no room for a new token"
            )
        eos, vocab_size = params.eos(self._config.eos_token_ids, self._config.vocab_size), self._config.vocab_size
        constraints = parse_constraint(params.constraint)
        watched, masked = None, False
        if method.search.constrained or constraints:
            watched = ConstraintSet.start(constraints, Vocabulary(self._tokenizer, vocab_size, eos))
            masked = watched.allowed() is not None
        state = RequestState(
            index=index,
            engine=self._engine,
            prompt=prompt,
            method=method,
            params=params,
            adapter=adapter,
            eos=eos,
            max_new_tokens=min(params.max_new_tokens, limit - len(prompt)),
            filter=TokenFilter(vocab_size, params.min_new_tokens, eos, params.bad_words(vocab_size), masked),
            contrast=contrast,
            constraints=watched,
            cumulative=any(item.cumulative for item in constraints),
        )
        self._add_drafts(state, draft, trigrams)
        return state

    def _add_drafts(self, state: RequestState, draft: str, trigrams: TrigramTables) -> None:
        """The drafter of a request, and what looks ahead for it."""
        method, params = state.method, state.params
        if draft == "none" and method.drafts is None:
            raise RequestError(f"draft: method {method.name!r} needs one: base, trigram or a model folder")
        if draft == "none":
            return
        score = "plain" if not state.contrast else f"alpha {params.alpha} beta {params.beta}"
        key = TableKey(self._name(state.adapter), score)
        if params.adaptation != "decay":
            key = key._replace(score=f"{score}, {params.adaptation}")  # what learns in another way is another table
        state.drafter = TrigramDrafter(trigrams, key, params.search, params.adaptation)
        state.draft_budget = trigrams.budget(key, state.needs_scores)
        if method.drafts is None:
            state.rollouts = self._rollouts(state.drafter, draft, trigrams, params)

    def _rollouts(
        self, own: TrigramDrafter, draft: str, trigrams: TrigramTables, params: SamplingParams
    ) -> RolloutSource:
        """What looks ahead: the base, the trigrams, or another model of the same vocabulary."""
        if draft in DRAFTS:
            return RolloutSource(own)
        engine = self._engine if draft == BASE else self._draft_models.engine(draft)
        owner = BASE if draft == BASE else f"{DRAFT_MODEL}{draft}"
        drafter = TrigramDrafter(trigrams, TableKey(owner), adaptation=params.adaptation)
        return RolloutSource(drafter, engine, BASE_ADAPTER)

    def defaults_of(self, adapter: int) -> DecodingDefaults:
        """Decoding defaults of an adapter id; the library's own where the adapter, or the base, has none."""
        return self.defaults.get(self._name(adapter)) or DecodingDefaults()

    def _name(self, adapter: int) -> str:
        return BASE if adapter == BASE_ADAPTER else self._engine.adapters[adapter].name

    def adapter_id(self, name: str | None) -> int:
        """Id of a live adapter; None means the first one, or the base where there is none."""
        names = [adapter.name for adapter in self._engine.adapters]
        if name == BASE or (name is None and not names):
            return BASE_ADAPTER
        if name is None:
            return 0
        if name not in names:
            raise RequestError(f"adapter: {name!r} is not loaded; known are {', '.join([BASE, *names])}")
        return names.index(name)
