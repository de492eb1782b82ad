"""The `mindcold:` section of MindFormers' YAML files, as keywords of `enable`."""

from typing import Any

from mindcold.errors import shown
from mindcold.mindformers.library import MindFormersError

SECTION = "mindcold"


def keywords_of(section: Any) -> dict[str, Any]:
    """The keywords a section says, as plain dictionaries and lists; MindFormersError for what is no section."""
    if not isinstance(section, dict):
        raise MindFormersError(f"{SECTION}: a section of keywords is expected, found {shown(section)}")
    try:
        found: dict[str, Any] = _plain(section)
    except RecursionError:  # an anchor within itself
        raise MindFormersError(f"{SECTION}: nested too deep") from None
    if "network" in found:
        raise MindFormersError(f"{SECTION}: network: not a keyword; the network is that of the file")
    return found


def _plain(value: Any) -> Any:
    """MindFormers' configuration objects as plain dictionaries and lists."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
