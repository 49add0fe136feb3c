"""Operators that a program may use: those of nets that compute masks from columns, without side effects.

A program that needs others is refused with the operator's name. An operator that only computes may be added
here; one that reads or writes files, prints, waits, starts threads, or accesses other memory may not.
"""

from __future__ import annotations

import ast
import warnings

from rtsep.errors import ModelError

MAX_CODE = 1 << 20
"""Maximum bytes of a program's text. The longest one shipped has 28 kB."""

_SUMS_AND_PRODUCTS = """
    add add_ sub sub_ rsub mul mul_ div div_ floordiv floor_divide remainder fmod neg neg_ pow pow_
    square square_ sqrt sqrt_ rsqrt rsqrt_ reciprocal reciprocal_ abs abs_ exp exp_ expm1 log log_ log2
    log10 log1p sin cos tan atan2 floor ceil round trunc sign clamp clamp_ clamp_min clamp_min_
    clamp_max clamp_max_ maximum minimum max min amax amin argmax argmin sum mean std var prod cumsum
    norm lerp lerp_ addcmul addcmul_ addcdiv addcdiv_ hypot addmm addmm_ addmv addbmm baddbmm bmm mm mv
    matmul dot outer einsum linear real imag complex conj view_as_real view_as_complex angle polar
"""
_NETS = """
    relu relu_ relu6 leaky_relu leaky_relu_ prelu elu gelu silu silu_ mish hardtanh hardtanh_
    hardsigmoid hardswish sigmoid sigmoid_ tanh tanh_ softplus softmax log_softmax glu dropout conv1d
    conv2d conv_transpose1d conv_transpose2d convolution _convolution max_pool1d max_pool2d avg_pool1d
    avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d batch_norm instance_norm layer_norm group_norm
    rms_norm gru lstm gru_cell lstm_cell scaled_dot_product_attention pad constant_pad_nd
    reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d upsample_nearest1d
    upsample_nearest2d upsample_linear1d upsample_bilinear2d pixel_shuffle
"""
_SHAPES = """
    size numel dim len stride view view_as reshape reshape_as flatten unflatten squeeze squeeze_
    unsqueeze unsqueeze_ transpose transpose_ t permute movedim expand expand_as repeat
    repeat_interleave tile roll flip cat concat stack split split_with_sizes chunk unbind narrow select
    slice index index_select index_put_ index_add_ gather scatter_ scatter_add_ take_along_dim unfold
    as_strided contiguous clone detach alias copy_ fill_ zero_ resize_ masked_fill masked_fill_ where
    tril triu diag empty empty_like new_empty zeros zeros_like new_zeros ones ones_like new_ones full
    full_like new_full arange linspace tensor scalar_tensor to type_as float double half bfloat16 long
    int bool
"""
_PLAIN_VALUES = """
    eq ne lt le gt ge eq_ __and__ __or__ __xor__ __not__ __is__ __isnot__ __contains__ __getitem__
    _set_item __derive_index __range_length logical_and logical_or logical_not isnan isfinite isinf any
    all item Int Float Bool IntImplicit FloatImplicit ScalarImplicit append pop insert extend list copy
    is_floating_point is_complex format
"""

ATEN = frozenset(f"{_SUMS_AND_PRODUCTS} {_NETS} {_SHAPES} {_PLAIN_VALUES}".split())
"""Allowed operators of torch, without `aten::`."""

PRIM = frozenset(
    """
    Constant GetAttr SetAttr If Loop ListConstruct ListUnpack TupleConstruct TupleIndex TupleSlice
    TupleUnpack DictConstruct unchecked_cast Uninitialized RaiseException NumToTensor device dtype
    layout shape min max abs data requires_grad is_cpu is_cuda unchecked_unwrap_optional unwrap_optional
    isinstance tolist
    """.split()  # noqa: SIM905
)
"""Allowed operators of the language, without `prim::`."""

_FUNCTIONS = frozenset(
    """
    annotate unchecked_cast uninitialized unwrap_optional int float bool str len range min max abs
    isinstance getattr complex list tuple round
    """.split()  # noqa: SIM905
)
"""Names that a program's text may call directly. torch writes everything else as `torch.x` or `ops.x.y`."""

_WORDS = ATEN | PRIM | {"device", "strided", "float32", "float64", "int64", "Tensor", "inf", "nan"}

_NAMESPACES = {"torch": 1, "ops": 2, "__torch__": 1}
"""First parts of the names of operators and classes, each with the least number of further parts."""

_STATEMENTS = (
    ast.Module, ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.If,
    ast.For, ast.While, ast.Pass, ast.Expr, ast.Break, ast.Continue, ast.Assert, ast.Raise,
)  # fmt: skip


def refused_operator(kind: str) -> bool:
    """Return whether a program may not contain a graph node of this kind ("aten::add")."""
    space, _, name = kind.partition("::")
    return name not in {"aten": ATEN, "prim": PRIM}.get(space, ())


def refuse(operator: str) -> ModelError:
    """Return the error for a program with this operator."""
    return ModelError(
        f"its program uses '{operator[:60]}', which a separator does not need; do not trust the file, or "
        "export it without that operator"
    )


def check_code(text: bytes) -> None:
    """Raise `ModelError` if a program's text, as stored by torch, makes a forbidden call.

    torch reads the text with its own parser: the graph, checked after loading, decides. This check comes
    first, because torch runs some methods (`__setstate__`) during loading. It therefore accepts no character
    that only one of both parsers could take for a line's end, an encoding or a space.
    """
    try:
        code = text.decode("ascii")
        if not code.replace("\n", "").isprintable():
            raise ValueError
        with warnings.catch_warnings():  # Python warns of torch's style
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ModelError(f"its program cannot be read ({type(error).__name__}); export it again") from None
    nodes = list(ast.walk(tree))
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.stmt) and not isinstance(node, _STATEMENTS):
            raise refuse(type(node).__name__.lower())
        if isinstance(node, ast.FunctionDef) and node.name.startswith("__") and node.name != "__init__":
            raise refuse(node.name)
        if isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and node.test.value:
            raise ModelError("its program has an endless loop; do not trust the file")
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner:
            _check_name(node)
        if isinstance(node, ast.FunctionDef):
            _check_meanings(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in _FUNCTIONS:
            raise refuse(node.func.id)


def _check_name(node: ast.expr) -> None:
    """Raise `ModelError` for a whole dotted name of a forbidden operator, or of a namespace.

    With another name for `torch`, as after `t = torch`, `t.save` would be no operator in this text.
    """
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in _NAMESPACES:
        return
    names.reverse()
    dotted = ".".join((node.id, *names))
    if len(names) < _NAMESPACES[node.id]:
        raise refuse(dotted)
    if node.id == "torch" and names[0] not in _WORDS:
        raise refuse(dotted)
    if node.id == "ops" and refused_operator("::".join(names[:2])):
        raise refuse("::".join(names[:2]))
    if node.id == "__torch__" and names[:2] in (["torch"], ["torch", "classes"]):
        raise refuse(".".join(names))


def _check_meanings(function: ast.FunctionDef) -> None:
    """Raise `ModelError` if a function calls a name that it gives another meaning, as in `len = print`.

    A variable called `max` that is not called is a value like any other.
    """
    given, called = set(), set()
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            given.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            given.add(node.id)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called.add(node.func.id)
    for name in sorted(given & called & _FUNCTIONS):
        raise refuse(name)
