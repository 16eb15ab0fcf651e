"""Recipes as YAML files: found by path or name, changed by ``key=value``, with errors that name the mend."""

import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from perisphere.errors import UsageError, nearest
from perisphere.storage import whole_file
from perisphere.training.recipe import Recipe

PACKAGED = Path(__file__).resolve().parents[1] / "recipes"
"""The recipes that come with the package."""

OTHER_WORDS = {
    "learning_rate": "lr",
    "wd": "weight_decay",
    "max_epochs": "epochs",
    "num_epochs": "epochs",
    "max_steps": "iterations",
    "max_iter": "iterations",
    "batch": "batch_size",
    "arch": "backbone",
    "architecture": "backbone",
    "model": "net",
    "dataset": "data",
    "num_workers": "workers",
    "gpus": "devices",
    "warmup_epochs": "warmup",
    "pretrained": "weights",
}
"""Words of other programs and ours for the same thing."""


def packaged() -> dict[str, Path]:
    """Return the packaged recipes by name."""
    return {path.stem: path for path in sorted(PACKAGED.glob("*.yaml"))}


def find(recipe: str | Path) -> Path:
    """Return the file of a recipe given as a path or as the name of a packaged one.

    Raises:
        UsageError: there is neither.
    """
    path = Path(recipe)
    if path.is_file():
        return path
    known = packaged()
    if path.name in known and len(path.parts) == 1:
        return known[path.name]
    mend = nearest(path.stem, list(known)) or " `perisphere recipes list` names the packaged ones."
    raise UsageError(f"{recipe}: no such recipe, neither a file nor a packaged one.{mend}")


def load(recipe: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and lay ``key=value`` overrides over it.

    Args:
        recipe: a YAML file, or the name of a packaged recipe.
        overrides: e.g. ``["optimizer.lr=0.01", "data.0.root=photos"]``; values are read as YAML.

    Raises:
        UsageError: the file or an override is wrong; the message names the place and the mend.
    """
    path = find(recipe)
    tree = _read(path)
    for override in overrides:
        _lay_over(tree, override)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise UsageError(_explain(error, path, overrides)) from error


def save(recipe: Recipe, path: Path) -> None:
    """Write a recipe, whole or not at all, so that :func:`load` gives the same one."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text. Save it as UTF-8.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{line}: is not YAML ({getattr(error, 'problem', error)}).") from error
    if not isinstance(tree, dict):
        raise UsageError(
            f"{path}: must hold `key: value` lines; see `perisphere recipes show landmark-small`."
        )
    return tree


def _lay_over(tree: dict[str, Any], override: str) -> None:
    """Set one dotted key; a missing mapping on the way is made."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UsageError(f"{override!r} is not an override. Write key=value, e.g. optimizer.lr=0.01.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{override!r}: the value is not YAML. Quote it, e.g. {key}='\"...\"'.") from error
    place: Any = tree
    *way, last = key.split(".")
    for step in way:
        place = _enter(place, step, override)
    if isinstance(place, list):
        place[_position(place, last, override)] = value
    else:
        place[last] = value


def _enter(place: Any, step: str, override: str) -> Any:
    if isinstance(place, list):
        inner = place[_position(place, step, override)]
    else:
        inner = place.get(step)
        if inner is None:
            inner = place[step] = {}
    if not isinstance(inner, dict | list):
        raise UsageError(f"{override!r}: {step!r} holds a single value, no keys.")
    return inner


def _position(place: list, step: str, override: str) -> int:
    if not step.isdigit() or int(step) >= len(place):
        last = len(place) - 1
        raise UsageError(
            f"{override!r}: {step!r} must be a position from 0 to {last}, e.g. data.0.root=photos."
        )
    return int(step)


def _explain(error: ValidationError, path: Path, overrides: Sequence[str]) -> str:
    """Turn the first finding into one line: place, key or value, mend. Unknown keys go first."""
    found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")[0]
    way, model = _locate(found["loc"])
    key = ".".join(way)
    by_override = [one for one in overrides if f"{key}.".startswith(one.partition("=")[0] + ".")]
    place = f"override {by_override[-1]!r}" if by_override else str(path)
    if found["type"] == "extra_forbidden":
        return f"{place}: {key!r} is not a key.{_right_key(way, model)}"
    if found["type"] == "missing":
        return f"{place}: {key!r} is missing. Add it to the recipe or as {key}=VALUE."
    if found["type"] == "value_error":
        text = str(found["ctx"]["error"])
        return f"{place}: {key + ': ' if key else ''}{text}{'' if text.endswith('?') else '.'}"
    if found["type"] == "union_tag_invalid":
        ctx = found["ctx"]
        return f"{place}: {key + '.name'!r} is {ctx['tag']!r}; it must be one of {ctx['expected_tags']}."
    message = found["msg"].replace("Input should be", "it must be")
    return f"{place}: {key!r} is {found['input']!r}; {message[0].lower() + message[1:]}."


def _locate(loc: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel]]:
    """Return the dotted way of a finding without union tags, and the model that holds its last key."""
    way: list[str] = []
    model: type[BaseModel] = Recipe
    choices: list[type[BaseModel]] = []
    for step in loc:
        tagged = [one for one in choices if len(choices) > 1 and step in _literals(one)]
        if tagged:
            model, choices = tagged[0], []
            continue
        way.append(str(step))
        if isinstance(step, int):
            continue
        if step in model.model_fields:
            choices = list(_models(model.model_fields[step].annotation))
            if len(choices) == 1 and step != loc[-1]:
                model = choices[0]
    return way, model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the recipe parts named in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, tuple) or get_args(annotation):
        for inner in get_args(annotation):
            yield from _models(inner)


def _literals(model: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(model.model_fields["name"].annotation) if "name" in model.model_fields else ()


def _right_key(way: list[str], model: type[BaseModel]) -> str:
    """Return the mend for an unknown key: beside it, by another word, or elsewhere in the recipe."""
    word = way[-1]
    beside = list(model.model_fields)
    if OTHER_WORDS.get(word) in beside:
        return f" Did you mean {OTHER_WORDS[word]!r}?"
    if guess := nearest(word, beside):
        return guess
    wanted = OTHER_WORDS.get(word, word)
    for key in _all_keys(Recipe):
        if key.rpartition(".")[2] == wanted:
            return f" Did you mean {key!r}?"
    return f" The keys here are {', '.join(beside)}."


def _all_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        for inner in _models(field.annotation):
            step = f"{prefix}{name}.0." if get_origin(field.annotation) is tuple else f"{prefix}{name}."
            yield from _all_keys(inner, step)
