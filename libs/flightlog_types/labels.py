"""Kubernetes' rules for names and labels, in Kubernetes' words (admin-contract §6)."""

import re
from collections.abc import Mapping

from flightlog_types.invalid import InvalidArgument

MAX_LABELS = 16
"""Most labels on one request, launch plan or project."""

_MAX_NAME = 63
_MAX_PREFIX = 253
_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_NAME})?"
_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_SUBDOMAIN = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_ALPHANUMERIC = "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"


def validate_labels(labels: Mapping[str, str]) -> None:
    """Check the number and the syntax of labels; raises InvalidArgument naming the first bad one in order of keys."""
    if len(labels) > MAX_LABELS:
        raise InvalidArgument(f"labels map cannot exceed {MAX_LABELS} entries")
    for key in sorted(labels):
        if problems := qualified_name_problems(key):
            raise InvalidArgument(f"invalid label key [{key}]: {_listed(problems)}")
        if problems := label_value_problems(labels[key]):
            raise InvalidArgument(f"invalid label value [{labels[key]}]: {_listed(problems)}")


def require_project_id(identifier: str) -> None:
    """Check that a project id is a DNS-1123 label; raises InvalidArgument."""
    if problems := dns_label_problems(identifier):
        raise InvalidArgument(f"invalid project id [{identifier}]: {_listed(problems)}")


def qualified_name_problems(name: str) -> list[str]:
    """What is wrong with a label key: a name of up to 63 characters, optionally after `prefix/`. Empty when nothing."""
    problems: list[str] = []
    prefix, slash, last = name.rpartition("/")
    if "/" in prefix:
        text = _must(f"a qualified name must consist of {_ALPHANUMERIC}", _NAME, ("MyName", "my.name", "123-abc"))
        return [f"{text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif prefix:
        problems.extend(f"prefix part {problem}" for problem in _dns_subdomain_problems(prefix))
    if not last:
        problems.append("name part must be non-empty")
    elif _size(last) > _MAX_NAME:
        problems.append(f"name part {_too_long(_MAX_NAME)}")
    if not re.fullmatch(_NAME, last):
        problems.append(_must(f"name part must consist of {_ALPHANUMERIC}", _NAME, ("MyName", "my.name", "123-abc")))
    return problems


def label_value_problems(value: str) -> list[str]:
    """What is wrong with a label value. Empty when nothing."""
    problems = [_too_long(_MAX_NAME)] if _size(value) > _MAX_NAME else []
    if not re.fullmatch(_VALUE, value):
        text = f"a valid label must be an empty string or consist of {_ALPHANUMERIC}"
        problems.append(_must(text, _VALUE, ("MyValue", "my_value", "12345")))
    return problems


def dns_label_problems(name: str) -> list[str]:
    """What is wrong with a name that must be a DNS-1123 label. Empty when nothing."""
    problems = [_too_long(_MAX_NAME)] if _size(name) > _MAX_NAME else []
    if re.fullmatch(_DNS_LABEL, name):
        return problems
    if re.fullmatch(_DNS_SUBDOMAIN, name):
        problems.append("must not contain dots")
    else:
        text = (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
            "and must start and end with an alphanumeric character"
        )
        problems.append(_must(text, _DNS_LABEL, ("my-name", "123-abc")))
    return problems


def _dns_subdomain_problems(name: str) -> list[str]:
    problems = [_too_long(_MAX_PREFIX)] if _size(name) > _MAX_PREFIX else []
    if not re.fullmatch(_DNS_SUBDOMAIN, name):
        text = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
        problems.append(_must(text, _DNS_SUBDOMAIN, ("example.com",)))
    return problems


def _must(text: str, pattern: str, examples: tuple[str, ...]) -> str:
    printed = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {printed}regex used for validation is '{pattern}')"


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _listed(problems: list[str]) -> str:
    return f"[{' '.join(problems)}]"
