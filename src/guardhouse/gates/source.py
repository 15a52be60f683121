"""Reading one file of `policies/`: YAML with line numbers, unknown keys refused, nothing surprising let in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import yaml

from guardhouse.errors import LawFault, LawProblem

MOST_BYTES = 2_000_000
MOST_DEPTH = 32
MOST_NODES = 200_000


class Source:
    """One YAML file as plain values, and the line on which each key or item stands."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.problems: list[LawProblem] = []
        self._lines: dict[int, int] = {}
        self._keys: dict[tuple[int, str], int] = {}
        self.value: Any = self._read(data)

    def _read(self, data: bytes) -> Any:
        if len(data) > MOST_BYTES:
            raise LawFault([LawProblem(self.path, 0, f"the file is larger than {MOST_BYTES} bytes", "split it")])
        try:
            node = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
        except UnicodeDecodeError as error:
            raise LawFault([LawProblem(self.path, 0, "the file is not UTF-8", "save it as UTF-8")]) from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            raise LawFault([LawProblem(self.path, line, f"not YAML: {error.problem}", "mend the syntax")]) from error
        except (yaml.YAMLError, RecursionError) as error:
            raise LawFault([LawProblem(self.path, 0, "not YAML that can be read", "mend the syntax")]) from error
        if node is None:
            return {}
        self._count = 0
        return self._value(node, 1)

    def _value(self, node: Any, depth: int) -> Any:
        line = node.start_mark.line + 1
        self._count += 1
        if depth > MOST_DEPTH or self._count > MOST_NODES:
            raise LawFault(
                [LawProblem(self.path, line, "the file nests or repeats too much", "write it flat, without anchors")]
            )
        made: Any
        if isinstance(node, yaml.MappingNode):
            made = {}
            self._lines[id(made)] = line
            self._kept = [*getattr(self, "_kept", []), made]
            for key_node, value_node in node.value:
                key = self._scalar(key_node)
                if not isinstance(key, str):
                    raise LawFault(
                        [LawProblem(self.path, key_node.start_mark.line + 1, "a key must be text", "quote it")]
                    )
                if key in made:
                    raise LawFault(
                        [LawProblem(self.path, key_node.start_mark.line + 1, f"`{key}` is given twice", "keep one")]
                    )
                made[key] = self._value(value_node, depth + 1)
                self._keys[id(made), key] = key_node.start_mark.line + 1
            return made
        if isinstance(node, yaml.SequenceNode):
            made = []
            self._lines[id(made)] = line
            self._kept = [*getattr(self, "_kept", []), made]
            made.extend(self._value(item, depth + 1) for item in node.value)
            return made
        return self._scalar(node)

    def _scalar(self, node: Any) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            raise LawFault(
                [LawProblem(self.path, node.start_mark.line + 1, "a key must be text", "write it as one word")]
            )
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise LawFault(
                [LawProblem(self.path, node.start_mark.line + 1, "a value that cannot be read", "quote it")]
            ) from error

    def line(self, container: Any, key: str | None = None) -> int:
        """The line of a mapping or list, or of one key in it."""
        if key is not None and (id(container), key) in self._keys:
            return self._keys[id(container), key]
        return self._lines.get(id(container), 0)

    def fault(self, container: Any, key: str | None, message: str, remedy: str = "") -> None:
        """Note one problem; reading goes on so that all are told at once."""
        self.problems.append(LawProblem(self.path, self.line(container, key), message, remedy))

    def mapping(
        self, value: Any, known: Collection[str], required: Collection[str] = (), what: str = "this"
    ) -> dict[str, Any]:
        """A mapping with only known keys; notes unknown and missing ones."""
        if not isinstance(value, dict):
            self.fault(value, None, f"{what} must be a mapping")
            return {}
        for key in value:
            if key not in known:
                self.fault(value, key, f"{what} has an unknown key `{key}`", f"known keys: {', '.join(sorted(known))}")
        for key in required:
            if key not in value:
                self.fault(value, None, f"{what} lacks `{key}`", f"add `{key}`")
        return value

    def items(self, container: dict[str, Any], key: str, kind: type, default: Any) -> Any:
        """A value of one type under a key, or the default; notes another type."""
        value = container.get(key, default)
        if isinstance(value, bool) and kind is int:
            self.fault(container, key, f"`{key}` must be a whole number")
            return default
        if not isinstance(value, kind):
            names = {int: "a whole number", str: "text", list: "a list", dict: "a mapping", bool: "true or false"}
            self.fault(container, key, f"`{key}` must be {names.get(kind, kind.__name__)}")
            return default
        return value

    def words(self, container: dict[str, Any], key: str, check: Callable[[str], bool] | None = None) -> tuple[str, ...]:
        """A list of texts under a key; notes anything else."""
        values = self.items(container, key, list, [])
        words = []
        for value in values:
            if not isinstance(value, str) or (check is not None and not check(value)):
                self.fault(values, None, f"`{key}` holds `{value}`, which cannot stand there")
            else:
                words.append(value)
        return tuple(words)


def under(
    files: Mapping[str, bytes], folder: str, endings: tuple[str, ...] = (".yaml", ".yml")
) -> list[tuple[str, bytes]]:
    """The files of one folder of `policies/`, in order of path."""
    return [(path, files[path]) for path in sorted(files) if path.startswith(folder) and path.endswith(endings)]


def raise_all(sources: Iterable[Source]) -> None:
    """Raise every problem noted in several sources, or none."""
    problems = [problem for source in sources for problem in source.problems]
    if problems:
        raise LawFault(problems)
