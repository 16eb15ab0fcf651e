"""The inputs of published systems, most by the name of their data set: sizes, means and deviations.

Source: Barz and Denzler, WACV 2019 and 2020 (their program's settings, measured on each training set). The
statistics of CIFAR-10 are those of its 50,000 training images, in common use. ``wsdhq`` is that of Wang et
al., AAAI 2021, as its program has it: Caffe's mean in the order B, G, R is taken off R, G and B. It belongs
to the weights that were trained so, and to no others.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from perisphere.errors import nearest

Triple = tuple[float, float, float]

TINY, USUAL, LARGE = 32, 224, 448
SHORTER = {USUAL: 256, LARGE: 512}
"""Pixels that the shorter side is scaled to before the centre is cut, by the side of the cut."""


class Statistics(NamedTuple):
    """Side of the input in pixels; mean and standard deviation of R, G and B in 0..255."""

    side: int
    mean: Triple
    std: Triple


ILSVRC = Statistics(USUAL, (122.65435242, 116.6545058, 103.99789959), (71.40583196, 69.56888997, 73.0440314))
NAB = Statistics(USUAL, (125.30513277, 129.66606421, 118.45121113), (57.0045467, 56.70059436, 68.44430446))
CAFFE_BGR_MEAN: Triple = (103.939, 116.779, 123.68)

_INAT_2018: dict[str, tuple[Triple, Triple]] = {
    "": ((119.99310088, 122.86333725, 102.38318464), (60.83471124, 59.33123704, 65.92057842)),
    "actinopterygii": ((95.60659929, 109.21340134, 99.53273934), (62.64981594, 56.77583425, 57.79043402)),
    "amphibia": ((120.38820316, 112.09448704, 93.57291079), (64.38971069, 60.88945117, 60.689195)),
    "animalia": ((117.86148813, 112.27558493, 100.76823038), (65.10786879, 60.9941875, 61.3212783)),
    "arachnida": ((123.05328454, 123.11786486, 99.49669769), (62.10607939, 59.69295922, 64.12102046)),
    "aves": ((125.68554284, 131.58931007, 123.51576605), (56.91926625, 57.04151665, 67.97284604)),
    "bacteria": ((130.44253929, 118.58949652, 100.64353881), (63.52655078, 61.3866035, 62.52496727)),
    "chromista": ((126.63609004, 120.30744082, 103.69842308), (61.3142875, 60.35121831, 64.33445667)),
    "fungi": ((105.4904181, 98.20844854, 81.95195412), (66.43803547, 63.26916273, 61.75505097)),
    "insecta": ((126.79141945, 126.55725101, 94.4626541), (62.46710552, 59.70656548, 64.38703598)),
    "mammalia": ((119.32537707, 119.28610021, 105.22655576), (60.25561291, 58.86410094, 60.85549787)),
    "mollusca": ((119.15865454, 107.82338741, 93.65438902), (65.54171188, 62.00986655, 62.64830566)),
    "plantae": ((109.4558912, 115.78290918, 84.83970548), (60.36177593, 59.17162815, 60.81183456)),
    "protozoa": ((99.4855571, 90.12976005, 71.67906874), (69.23439903, 63.83415135, 59.1059619)),
    "reptilia": ((126.42469824, 119.44987437, 103.84680809), (63.4749642, 60.19704406, 60.20556052)),
}

DATA_SETS: Mapping[str, Statistics] = MappingProxyType(
    {
        "cifar-10": Statistics(
            TINY, (125.30691805, 122.95039414, 113.86538318), (62.99321928, 62.08870764, 66.70489964)
        ),
        "cifar-100": Statistics(
            TINY, (129.30386353, 124.06987, 112.43356323), (68.17019653, 65.39176178, 70.4180603)
        ),
        "ilsvrc": ILSVRC,
        "nab": NAB,
        "cub": Statistics(
            LARGE, (123.82988033, 127.35116805, 110.25606303), (59.2230949, 58.0736071, 67.80251684)
        ),
        "cars": Statistics(
            LARGE, (120.03730636, 117.33780928, 116.0130335), (75.40415763, 75.15394251, 77.28286728)
        ),
        "flowers": Statistics(
            LARGE, (110.7799141, 97.65648664, 75.32889973), (74.90387818, 62.70218863, 69.7656359)
        ),
        **{
            f"inat2018_{name}".removesuffix("_"): Statistics(USUAL, mean, std)
            for name, (mean, std) in _INAT_2018.items()
        },
        "inat2019": Statistics(
            USUAL, (115.77492586, 120.84414891, 93.51744386), (60.46127213, 58.63136496, 63.5872299)
        ),
        "mit67scenes": Statistics(
            USUAL, (124.62788179, 110.01028625, 94.95780545), (68.56923599, 66.86607736, 67.35944349)
        ),
        "ucmerced": Statistics(
            USUAL, (122.65409223, 124.40230701, 114.25659171), (55.74499679, 51.65585669, 50.16527551)
        ),
        "resisc45": Statistics(
            USUAL, (94.17769482, 97.40967803, 87.80359702), (51.92246172, 47.22081475, 47.07685676)
        ),
    }
)
"""By name. ``-large`` doubles the side of those of 224 pixels."""

WSDHQ: Mapping[str, Any] = MappingProxyType(
    {
        "size": (227, 227),
        "shorter": 256,
        "resize": "squash",
        "channels": "RGB",
        "scale": 1.0,
        "mean": CAFFE_BGR_MEAN,
        "std": (1.0, 1.0, 1.0),
    }
)

_OTHER_NAMES = {
    "cifar10": "cifar-10",
    "cifar100": "cifar-100",
    "ilsvrc2012": "ilsvrc",
    "nabirds": "nab",
    "flowers102": "flowers",
    "inat": "inat2018",
    "mit67": "mit67scenes",
    "ucmlu": "ucmerced",
}
VARIANTS = ("-ilsvrcmean", "-caffe")


def published_fields(name: str) -> dict[str, Any]:
    """Return the fields of :class:`~perisphere.encoder.Preprocessing` that a published system used.

    Args:
        name: ``DATASET[-large][-ilsvrcmean|-caffe]``, upper or lower case, e.g. ``nab-large-ilsvrcmean``. The
            variants take ImageNet's statistics, or Caffe's mean in the order B, G, R and no deviation. Or
            ``wsdhq``.

    Raises:
        ValueError: there is no such name.
    """
    base = name.lower()
    if base == "wsdhq":
        return dict(WSDHQ)
    variant = next((end for end in VARIANTS if base.endswith(end)), "")
    base = base.removesuffix(variant)
    large = base.endswith("-large")
    base = _known_as(base.removesuffix("-large"))
    found = DATA_SETS.get(base)
    if found is None or (large and found.side != USUAL) or (variant and found.side == TINY):
        raise ValueError(_no_such(name, base, found))
    side, mean, std = found
    side = LARGE if large else side
    if variant == "-ilsvrcmean":
        mean, std = ILSVRC.mean, ILSVRC.std
    elif variant:
        mean, std = CAFFE_BGR_MEAN, (1.0, 1.0, 1.0)
    return {
        "size": (side, side),
        "resize": "squash" if side == TINY else "crop",
        "shorter": SHORTER.get(side),
        "channels": "BGR" if variant == "-caffe" else "RGB",
        "scale": 1.0,
        "mean": mean,
        "std": std,
    }


def _known_as(base: str) -> str:
    """Return our name of a data set; ``inat_aves`` is ``inat2018_aves``."""
    data_set, _, category = base.partition("_")
    ours = _OTHER_NAMES.get(data_set, data_set)
    return f"{ours}_{category}" if category else ours


def _no_such(name: str, base: str, found: Statistics | None) -> str:
    if found is None:
        known = [*DATA_SETS, "wsdhq"]
        mend = nearest(base, known) or f" The names are {', '.join(known)}."
        return f"there is no published preprocessing {name!r}.{mend}"
    if found.side == TINY:
        return f"{base} has neither -large nor {' nor '.join(VARIANTS)}, so there is no {name!r}"
    return f"{base} is of {found.side} pixels already, so there is no {name!r}; leave -large out"
