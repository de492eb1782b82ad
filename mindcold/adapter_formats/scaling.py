"""Rank and alpha of an adapter: from adapter_config.json, or given where there is none."""

import math
from dataclasses import dataclass

from mindcold import values
from mindcold.adapter_formats.source import CONFIG_FILE, Source
from mindcold.errors import AdapterError, shown
from mindcold.fields import Fields
from mindcold.files import is_file

# Fields that change what the adapter computes and that this library does not have; anything but "off" is refused.
_UNSUPPORTED = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "fan_in_fan_out",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "velora_config",
    "monteclora_config",
    "ensure_weight_tying",
)
# Initialisations that also change the base weights when PEFT loads the adapter.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga", "mica")
_PATTERNS = ("rank_pattern", "alpha_pattern")


def refuse_unsupported(fields: Fields, kind: str = "") -> None:
    """Raise for a field of adapter_config.json that changes the result; `kind` is peft_type where it is missing."""
    kind = fields.text("peft_type", kind)
    if kind.upper() != "LORA":
        raise fields.fail("peft_type", f"{shown(kind or None)} is not supported, only LORA")
    for name in _UNSUPPORTED:
        if fields.raw.get(name):
            raise fields.fail(name, f"{shown(fields.raw[name])} is set, and this is not supported")
    if fields.text("bias", "none") != "none":
        raise fields.fail("bias", f"{shown(fields.raw['bias'])} is set, and only 'none' is supported")
    init = fields.raw.get("init_lora_weights")
    if isinstance(init, str) and init.lower().startswith(_CHANGES_BASE):
        raise fields.fail(
            "init_lora_weights", f"{shown(init)} changes the base weights; convert the adapter to plain LoRA"
        )


@dataclass(frozen=True, slots=True)
class Scaling:
    """What B is multiplied with in a format that has one rank and one alpha."""

    rank: int | None
    """The rank that adapter_config.json says, None without it."""
    alpha: float
    rslora: bool = False

    def of_rank(self, rank: int) -> float:
        """lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora."""
        return self.alpha / (math.sqrt(rank) if self.rslora else rank)


def read_scaling(source: Source, lora_alpha: float | None) -> Scaling:
    """From adapter_config.json (`r`, `lora_alpha`, `use_rslora`); without one, `lora_alpha` has to be given."""
    if lora_alpha is not None:
        check_alpha(lora_alpha)
    if not is_file(source.config_file, AdapterError):
        if lora_alpha is None:
            raise AdapterError(
                f"{source.path}: no {CONFIG_FILE} beside it, so lora_alpha is not known; pass lora_alpha= "
                "(mindcold convert-adapter --lora-alpha) with the value of the training configuration"
            )
        return Scaling(None, float(lora_alpha))
    fields = Fields.of_file(source.config_file, AdapterError, 1 << 20)
    refuse_unsupported(fields, "LORA")
    for name in _PATTERNS:
        if fields.raw.get(name):
            raise fields.fail(name, "is set, and MindFormers has one rank and one alpha for all layers")
    alpha = fields.number("lora_alpha")
    if lora_alpha is not None and lora_alpha != alpha:
        raise fields.fail("lora_alpha", f"{alpha:g}, but lora_alpha={lora_alpha:g} was given; leave that out")
    return Scaling(fields.integer("r", high=65536), alpha, fields.flag("use_rslora"))


def check_alpha(lora_alpha: object) -> None:
    """Refuse what is not a positive number."""
    number = values.number(lora_alpha)
    if number is None or not 0 < number <= 1e12:
        raise AdapterError(f"lora_alpha: a positive number is expected, found {shown(lora_alpha)}")
