"""A layout: the rules by which the keys of one family of files become variables of a model."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from dl_techniques.weights.rules.codes import Code, Transform

_PLACE: Final = re.compile(r"\{(\w+)([+-]\d+)?\}")

Binding = Mapping[str, str]


@dataclass(frozen=True)
class Rule:
    """Keys, variables, and how the one become the other.

    Args:
        keys: The key, or the prefix of several that the code names. `{i}` stands for any text
            without a dot.
        variables: The path of the variable, or the prefix of several, by attributes of the model,
            places in lists and names of layers. `{i}` repeats what the key has; `{i+1}` adds.
        code: Such as `LINEAR`.
    """

    keys: str
    variables: str
    code: Code


@dataclass(frozen=True)
class Layout:
    """An ordered list of rules, of which the first that matches a key takes it.

    Args:
        name: Its name for users: `timm`, `hf`, ...
        rules: The rules. One that matches nothing does no harm.
        ignore: Patterns (`*`, `?`) of keys that a model has no need of.
        optional: Patterns of variable paths that a file may lack.

    Example:
        >>> from dl_techniques.weights import LINEAR, Layout, Rule
        >>> layout = Layout("torch", (Rule("blocks.{i}.fc", "blocks.{i}.dense", LINEAR),))
        >>> [t.keys for t in layout.transforms]
        [('blocks.{i}.fc.weight',), ('blocks.{i}.fc.bias',)]
    """

    name: str
    rules: tuple[Rule, ...]
    ignore: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @cached_property
    def transforms(self) -> tuple[Transform, ...]:
        """The transforms of all rules, in order."""
        return tuple(
            transform
            for rule in self.rules
            for transform in rule.code.transforms(rule.keys, rule.variables)
        )

    @cached_property
    def digest(self) -> str:
        """A hash that changes when a rule does."""
        lines = [repr((t.name, t.keys, t.variables)) for t in self.transforms]
        lines += [repr(self.rules_of_codes()), repr(self.ignore), repr(self.optional)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def rules_of_codes(self) -> list[str]:
        """Return each code's description, the same in each process."""
        return [re.sub(r" at 0x[0-9a-f]+", "", repr(rule.code)) for rule in self.rules]

    def matches(self, keys: Iterable[str]) -> tuple[list[tuple[Transform, Binding]], list[str]]:
        """Return which transform takes which keys.

        Args:
            keys: The keys of a file.

        Returns:
            Transforms with what their places stand for, and the keys that none takes.
        """
        left = dict.fromkeys(keys)
        found: list[tuple[Transform, Binding]] = []
        for transform in self.transforms:
            pattern = compiled(transform.keys[0])
            for key in list(left):
                match = pattern.fullmatch(key)
                if match is None:
                    continue
                binding = match.groupdict()
                found.append((transform, binding))
                for pattern_of_key in transform.keys:
                    left.pop(filled(pattern_of_key, binding), None)
        return found, list(left)

    def ignores(self, key: str) -> bool:
        """Return whether a model has no need of a key.

        Args:
            key: The key.
        """
        return any(fnmatch.fnmatchcase(key, pattern) for pattern in self.ignore)


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression.

    Args:
        pattern: Text with `{name}`, each of which stands for any text without a dot.
    """
    parts, end, seen = [], 0, set()
    for place in _PLACE.finditer(pattern):
        parts.append(re.escape(pattern[end : place.start()]))
        name = place[1]
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^.]+?)")
        seen.add(name)
        end = place.end()
    return re.compile("".join([*parts, re.escape(pattern[end:])]))


def filled(pattern: str, binding: Binding) -> str:
    """A pattern with its places filled.

    Args:
        pattern: Text with `{name}` and `{name+1}`.
        binding: The value of each name.

    Raises:
        ValueError: If a number is to be added to something else.
    """

    def fill(place: re.Match[str]) -> str:
        value = binding[place[1]]
        return str(int(value) + int(place[2])) if place[2] else value

    return _PLACE.sub(fill, pattern)


def bindings(part: str, names: Iterable[str], binding: Binding) -> Iterator[tuple[str, Binding]]:
    """Return which of several names a part of a path can stand for.

    Args:
        part: Text with `{name}` and `{name+1}`.
        names: The names there are.
        binding: The values that are known already.
    """
    places = list(_PLACE.finditer(part))
    pattern = compiled(_PLACE.sub(lambda place: f"{{{place[1]}}}", part))
    for name in names:
        match = pattern.fullmatch(name)
        if match is None:
            continue
        try:
            found = {
                p[1]: str(int(match[p[1]]) - int(p[2])) if p[2] else match[p[1]] for p in places
            }
        except ValueError:  # a number was to be added to something else
            continue
        if all(binding.get(key, value) == value for key, value in found.items()):
            yield name, {**binding, **found}
