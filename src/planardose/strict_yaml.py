"""YAML as users write it, read without surprises: safe, and a key that stands twice is a fault.

YAML's own readers keep the last of two equal keys in silence, so that a decision made under the first is lost.
"""

import yaml


class NotYaml(ValueError):
    """What is wrong with a text, and in which line (None where that is not known)."""

    def __init__(self, problem: str, line: int | None = None):
        super().__init__(problem)
        self.problem, self.line = problem, line


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in seen and name is not None:
                raise NotYaml(f"key '{key.value[:60]}' stands twice", key.start_mark.line + 1)
            seen.add(name)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> object:
    """Content of a YAML text.

    Raises
    ------
    NotYaml
        If it is no YAML, holds a value that cannot be (a date in February's 30th, a number of thousands of digits),
        or a key twice in one mapping.
    """
    try:
        return yaml.load(text, _Loader)
    except NotYaml:
        raise
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        raise NotYaml("not YAML", mark.line + 1 if mark else None) from None
    except (ValueError, OverflowError, RecursionError, TypeError) as fault:
        raise NotYaml(f"a value that cannot be read ({type(fault).__name__})") from None
