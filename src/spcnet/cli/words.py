"""Words for facts: what a result was made by, and in what two of them differ."""

from spcnet.inference.method import Method, PersonSource

LABELS = {"version": "spcnet", "weights": "model", "skeleton": "joints of"}


def persons_in_words(source: PersonSource) -> str:
    """Where the boxes of persons come from."""
    least = "" if not source.threshold else f" from score {source.threshold:g}"
    if source.kind == "boxes":
        return f"boxes {source.name}"
    if source.kind == "file":
        return f"boxes of {source.name}{least}"
    if source.kind == "detector":
        return f"persons by {source.name}{least}"
    whom = "the main person" if source.people == "one" else "all people"
    return f"{whom} by {source.name}{least}"


def difference_in_words(before: Method, now: Method) -> str:
    """In what two methods differ, such as ``precision fp32, now bf16``."""
    parts = []
    for name in before.differences(now):
        if name == "weights":
            old, new = (f"{method.model} {method.weights}" for method in (before, now))
        elif not name.startswith("persons."):
            old, new = (str(getattr(method, name)) for method in (before, now))
        else:
            continue
        parts.append(f"{LABELS.get(name, name)} {old}, now {new}")
    if before.persons != now.persons:
        old, new = (persons_in_words(method.persons) for method in (before, now))
        if old == new:
            old, new = (f"{old} {method.persons.digest}" for method in (before, now))
        parts.append(f"{old}, now {new}")
    return "; ".join(parts)
