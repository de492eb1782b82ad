"""mindcold for MindFormers: `enable` lets it decode what a network generates, in pipelines, trainers and by itself.

Importing this package imports MindFormers, quietly; `import mindcold` does not.
"""

from mindcold.mindformers.library import MindFormersError, require

require()

from mindcold.mindformers import pipeline  # noqa: E402
from mindcold.mindformers.enable import decoder_of, disable, enable  # noqa: E402

pipeline.register()

__all__ = ["MindFormersError", "decoder_of", "disable", "enable"]
