"""Python code with what is constant in it worked out, so that `'r' + 'm'` reads as what it is."""

from __future__ import annotations

import ast
import warnings
from itertools import islice


def folded(code: str) -> str:
    """The code with its constant texts put together and its other names for modules filled in; itself where that fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
        if sum(1 for _ in islice(ast.walk(tree), 1501)) > 1500:
            return code
        return ast.unparse(_Fold().visit(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        return code


class _Fold(ast.NodeTransformer):
    def __init__(self) -> None:
        self.names: dict[str, ast.expr] = {}
        self.modules: dict[str, str] = {}

    def visit_Import(self, node: ast.Import) -> ast.AST:
        for alias in node.names:
            if alias.asname:
                self.modules[alias.asname] = alias.name
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        for alias in node.names:
            if alias.asname:
                self.modules[alias.asname] = alias.name
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            listed = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
            if all(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in listed):
                self.names[name] = node.value
            elif isinstance(node.value, ast.Attribute):
                self.modules[name] = ast.unparse(node.value)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load):
            if node.id in self.names:
                return self.names[node.id]
            if node.id in self.modules:
                return ast.Name(self.modules[node.id], ast.Load())
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        left, right = node.left, node.right
        if isinstance(node.op, ast.Mod) and isinstance(left, ast.Constant) and isinstance(left.value, str):
            items = right.elts if isinstance(right, ast.Tuple) else [right]
            if all(isinstance(item, ast.Constant) for item in items) and len(left.value) < 1000:
                try:
                    return ast.Constant((left.value % tuple(item.value for item in items))[:4000])  # type: ignore[attr-defined]
                except (TypeError, ValueError, OverflowError, MemoryError):
                    return node
        if isinstance(node.op, ast.Add) and isinstance(left, ast.List) and isinstance(right, ast.List):
            return ast.List([*left.elts, *right.elts], ast.Load())
        if (
            isinstance(node.op, ast.Add)
            and isinstance(left, ast.Constant)
            and isinstance(right, ast.Constant)
            and isinstance(left.value, str)
            and isinstance(right.value, str)
        ):
            return ast.Constant((left.value + right.value)[:4000])
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        self.generic_visit(node)
        parts = []
        for value in node.values:
            inner = value.value if isinstance(value, ast.FormattedValue) and value.format_spec is None else value
            if not isinstance(inner, ast.Constant):
                return node
            parts.append(str(inner.value))
        return ast.Constant("".join(parts)[:4000])

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        value, part = node.value, node.slice
        if (
            isinstance(value, ast.Constant)
            and isinstance(value.value, str)
            and isinstance(part, ast.Slice)
            and part.lower is part.upper is None
            and part.step is not None
            and ast.unparse(part.step) == "-1"
        ):
            return ast.Constant(value.value[::-1])
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        func = node.func
        made = _method(func, node.args) if isinstance(func, ast.Attribute) and not node.keywords else None
        if made is not None:
            return made
        if (
            isinstance(func, ast.Name)
            and func.id == "getattr"
            and len(node.args) >= 2
            and isinstance(node.args[1], ast.Constant)
            and str(node.args[1].value).isidentifier()
        ):
            return ast.Attribute(node.args[0], str(node.args[1].value), ast.Load())
        if (
            isinstance(func, ast.Name)
            and func.id == "__import__"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            return ast.Name(str(node.args[0].value), ast.Load())
        if (
            isinstance(func, ast.Name)
            and func.id == "chr"
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, int)
            and 8 < node.args[0].value < 0xD800
        ):
            return ast.Constant(chr(node.args[0].value))
        return node


def _method(func: ast.Attribute, args: list[ast.expr]) -> ast.Constant | None:
    """What a method of a constant text gives for constant arguments, for the few that join or turn text."""
    value = func.value
    if isinstance(value, ast.Constant) and isinstance(value.value, str) and len(value.value) < 4000:
        text = value.value
        if func.attr == "join" and len(args) == 1 and isinstance(args[0], ast.List | ast.Tuple):
            items = [
                item.value for item in args[0].elts if isinstance(item, ast.Constant) and isinstance(item.value, str)
            ]
            return ast.Constant(text.join(items)[:4000]) if len(items) == len(args[0].elts) else None
        known = [arg.value for arg in args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        if len(known) == len(args):
            if func.attr == "replace" and len(known) == 2 and len(known[0]) > 0:
                return ast.Constant(text.replace(known[0], known[1])[:4000])
            if func.attr in ("lower", "upper", "strip", "swapcase") and not known:
                return ast.Constant(getattr(text, func.attr)())
    return None
