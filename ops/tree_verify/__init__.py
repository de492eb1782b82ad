"""tree_verify: the child of every node of a draft tree that is accepted."""

from mindcold.ops import build, hybrid, launcher, registry
from mindcold.ops.tree_verify.akg import AkgTreeVerify
from mindcold.ops.tree_verify.aot import AotTreeVerify
from mindcold.ops.tree_verify.builtin import BuiltinTreeVerify
from mindcold.ops.tree_verify.npu import TritonTreeVerify
from mindcold.ops.tree_verify.reference import tree_verify as reference

operator = registry.Operator(
    "tree_verify",
    reference,
    (
        registry.Body("aot", AotTreeVerify, build.unavailable_reason, device="CPU"),
        registry.Body("triton", TritonTreeVerify, launcher.missing, device="Ascend", in_graph=False),
        registry.Body("akg", AkgTreeVerify, hybrid.unavailable_reason, device="CPU", automatic=False),
        registry.Body("builtin", BuiltinTreeVerify, lambda: None),
    ),
)
