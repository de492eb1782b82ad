"""Requests as they are given to requests the scheduler can run: everything is checked here, before any work."""

from mindcold.config import ModelConfig
from mindcold.constraints import ConstraintSet, Vocabulary, parse_constraint
from mindcold.decoding import RequestState, find
from mindcold.decoding.drafts.rollout import RolloutSource
from mindcold.decoding.sampling import TokenFilter
from mindcold.decoding_defaults import DecodingDefaults
from mindcold.draft_models import DraftModels
from mindcold.drafting import DRAFT_MODEL, NgramDrafter, TableKey, TrigramDrafter, TrigramTables
from mindcold.engine import Engine
from mindcold.errors import RequestError, shown
from mindcold.model.adapter_bank import BASE_ADAPTER
from mindcold.precisions import Precisions
from mindcold.prompts import PromptEncoder
from mindcold.request import BASE, Request
from mindcold.sampling_params import DRAFTS, PRECISION, WINDOW, SamplingParams, draft_groups
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
        precisions: Precisions,
    ):
        self._engine, self._config, self._tokenizer = engine, config, tokenizer
        self._encoder, self._draft_models, self._precisions = encoder, draft_models, precisions
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
            draft=draft,
            lower=self._precisions.engine(params.low_dtype) if PRECISION in method.search.keywords else None,
        )
        self._add_drafts(state, trigrams)
        return state

    def _add_drafts(self, state: RequestState, trigrams: TrigramTables) -> None:
        """The drafter of a request, and the model that looks ahead for it."""
        search, params, draft = state.method.search, state.params, state.draft
        score = "plain" if not state.contrast else f"alpha {params.alpha} beta {params.beta}"
        key = TableKey(self._name(state.adapter), score)
        if params.adaptation != "decay":
            key = key._replace(score=f"{score}, {params.adaptation}")  # what learns in another way is another table
        source = params.amateur if "amateur" in search.keywords else draft
        model = source != "none" and source not in DRAFTS
        if WINDOW in draft_groups(draft):
            state.drafter = NgramDrafter(params, state.eos)
        elif draft in DRAFTS or (model and search.tables):
            state.drafter = TrigramDrafter(trigrams, key, params.search, params.adaptation)
            state.draft_budget = trigrams.budget(key, state.needs_scores)
        if model:
            state.rollouts = self._model(state, source, trigrams)
            drafts = source, params.draft_adapter, params.draft_sample
            kind = *drafts, state.needs_scores, state.method.name, params.alpha, params.beta
            state.draft_budget = trigrams.budget(key, kind)

    def _model(self, state: RequestState, name: str, trigrams: TrigramTables) -> RolloutSource:
        """The base, or another model of the same vocabulary, as what looks ahead."""
        params = state.params
        owner = BASE if name == BASE else f"{DRAFT_MODEL}{name}"
        guesses = state.method.search.tables
        drafter = TrigramDrafter(trigrams, TableKey(owner), adaptation=params.adaptation) if guesses else None
        contrasted = state.draft != name
        if name == BASE:
            if contrasted and state.adapter == BASE_ADAPTER:
                raise RequestError("amateur: the base is no amateur of itself; give an adapter, or another model")
            if params.draft_adapter is not None:
                raise RequestError("draft_adapter: the base drafts without one; name a model folder")
            return RolloutSource(drafter, self._engine, BASE_ADAPTER)
        found = self._draft_models.find(name, params.draft_adapter)
        needed, what = (state.size, "text") if contrasted else (len(state.prompt) + 1, "prompt")
        if needed > found.limit:
            keyword = "amateur" if contrasted else "draft"
            raise RequestError(
                f"{keyword}: {name}: its max_position_embeddings {found.limit} do not hold a {what} of {needed} tokens"
            )
        return RolloutSource(drafter, found.engine, found.adapter, found.limit)

    def defaults_of(self, adapter: int) -> DecodingDefaults:
        """Decoding defaults of an adapter id; the library's own where the adapter, or the base, has none."""
        return self.defaults.get(self._name(adapter)) or DecodingDefaults()

    def _name(self, adapter: int) -> str:
        return BASE if adapter == BASE_ADAPTER else self._engine.adapters[adapter].name

    def adapter_id(self, name: str | None) -> int:
        """Id of a live adapter; None means the first one, or the base where there is none."""
        names = [adapter.name for adapter in self._engine.adapters]
        if (isinstance(name, str) and name == BASE) or (name is None and not names):
            return BASE_ADAPTER
        if name is None:
            return 0
        if not isinstance(name, str) or name not in names:
            raise RequestError(f"adapter: {shown(name)} is not loaded; known are {', '.join([BASE, *names])}")
        return names.index(name)
