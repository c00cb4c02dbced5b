"""YAML as users write it, read without surprises: safe, and a key that stands twice is a fault.

YAML's own readers keep the last of two equal keys in silence, so that a decision made under the first is lost.
"""

import yaml


class NotYaml(ValueError):
    """What is wrong with a text, and in which line (None where that is not known)."""

    def __init__(self, problem: str, line: int | None = None):
        super().__init__(problem)
        self.problem, self.line = problem, line


class KeyTwice(NotYaml):
    """A key stands twice in one mapping."""


def _check_keys(root: yaml.Node) -> None:
    """Refuse a key that stands twice, in the nodes as they were written: constructing them merges ``<<`` into them."""
    seen, todo = set(), [root]
    while todo:
        node = todo.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            _check_mapping(node)
            todo += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value


def _check_mapping(node: yaml.MappingNode) -> None:
    names = set()
    for key in (k for k, _ in node.value if isinstance(k, yaml.ScalarNode)):
        if (key.tag, key.value) in names:
            raise KeyTwice(f"key '{key.value[:60]}' stands twice", key.start_mark.line + 1)
        names.add((key.tag, key.value))


def parse_yaml(text: str) -> object:
    """Content of a YAML text.

    Raises
    ------
    NotYaml
        If it is no YAML, or holds a value that cannot be (a date in February's 30th, a number of thousands of digits).
    KeyTwice
        If a key stands twice in one mapping.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_keys(node)
        return loader.construct_document(node)
    except NotYaml:
        raise
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        raise NotYaml("not YAML", mark.line + 1 if mark else None) from None
    except (ValueError, OverflowError, RecursionError, TypeError) as fault:
        raise NotYaml(f"a value that cannot be read ({type(fault).__name__})") from None
