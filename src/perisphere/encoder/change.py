"""Another pooling, input or set of scales for an Encoder that is there already."""

from typing import Any, Literal

from perisphere.codes import VladNet
from perisphere.encoder.encoder import Encoder
from perisphere.encoder.inference import Net
from perisphere.encoder.preprocessing import Preprocessing
from perisphere.encoder.scales import Scales
from perisphere.encoder.whitening import Whitening
from perisphere.errors import UsageError
from perisphere.nets import EmbeddingNet, NetSpec, SegmentationNet, TransformersNet, build


def change(
    encoder: Encoder,
    *,
    net: dict[str, Any] | None = None,
    preprocessing: dict[str, Any] | None = None,
    factors: tuple[float, ...] | None = None,
    power: float | None = None,
    views: Literal["one", "ten"] | None = None,
    keep_whitening: bool = True,
    dim: int | None = None,
    name: str | None = None,
) -> Encoder:
    """Return a changed copy of ``encoder`` with the same weights.

    Class points, tags, codebooks and what reads texts stay with it unless the whitening, and with it the
    space, is another.

    Args:
        encoder: stays as it is.
        net: fields of :class:`~perisphere.nets.NetSpec` to change: ``pooling``, ``gem_p``, ``regional``,
            ``last_stride``.
        preprocessing: fields of :class:`~perisphere.encoder.Preprocessing` to change.
        factors: scales; ``(1,)`` goes back to one.
        power: of the mean over scales; ``None`` takes GeM's exponent where the network ends in plain GeM,
            and else 1 (Radenovic et al. 2018).
        views: in which a picture is embedded; ``ten`` needs a preprocessing that cuts something off.
        keep_whitening: false takes it off. It was fitted to what comes before it, so that must stay then.
        dim: directions of the whitening to keep.
        name: of the copy.

    Raises:
        UsageError: changes that do not fit the encoder or each other.
        pydantic.ValidationError: a value that a field does not take.
    """
    whitening = _kept(
        encoder, keep_whitening, dim, bool(net or preprocessing or factors or power is not None or views)
    )
    values = set(preprocessing or {}) - {"size", "resize", "interpolation"}
    if values and isinstance(encoder.net, VladNet):
        raise UsageError("SIFT looks at brightness as it is; only --size and --resize mean something to it.")
    changed_net = _changed(encoder.net, net) if net else encoder.net
    scales = encoder.scales
    if factors is not None or power is not None or net:
        factors = factors or scales.factors
        power = usual_power(changed_net, factors) if power is None else power
        scales = Scales(factors=factors, power=power, views=scales.views)
    if views is not None:
        scales = scales.model_copy(update={"views": views})
    same_space = whitening is encoder.whitening
    return Encoder(
        changed_net,
        _input(encoder.preprocessing, preprocessing or {}),
        name=name or encoder.name,
        provenance={**encoder.provenance, "changed_from": encoder.identity},
        scales=scales,
        whitening=whitening,
        classes=encoder.classes if same_space else None,
        tags=encoder.tags if same_space else None,
        codebooks=encoder.codebooks if same_space else None,
        text=encoder.text if same_space else None,
    )


def _input(old: Preprocessing, fields: dict[str, Any]) -> Preprocessing:
    if fields.get("resize", old.resize) != old.resize:
        smooth = old.smooth and fields["resize"] in ("squash", "crop")
        fields = {"shorter": None, "smooth": smooth, **fields}
    elif "size" in fields and old.shorter is not None:
        fields = {"shorter": old.at_size(*fields["size"]).shorter, **fields}
    return Preprocessing.model_validate({**old.model_dump(), **fields})


def usual_power(net: Net, factors: tuple[float, ...]) -> float:
    """Return GeM's exponent where the network ends in plain GeM and there are several scales, else 1."""
    if not isinstance(net, EmbeddingNet) or len(factors) == 1 or not net.nonnegative:
        return 1.0
    return net.pooling.p.item() if net.spec.pooling == "gem" and not net.spec.regional else 1.0


def _kept(encoder: Encoder, keep: bool, dim: int | None, below: bool) -> Whitening | None:
    whitening = encoder.whitening
    if not keep:
        if whitening is None:
            raise UsageError(f"--no-whitening: the encoder {encoder.name!r} has none. Leave it out.")
        if dim is not None:
            raise UsageError("--dim is of the whitening that --no-whitening takes off. Leave one out.")
        return None
    if dim is not None and whitening is None:
        raise UsageError("--dim needs a whitening; `perisphere encoder whiten --dim` fits one.")
    if below and whitening is not None:
        raise UsageError(
            "the whitening was fitted to the vectors of the unchanged encoder; add --no-whitening, and "
            "fit it again with `perisphere encoder whiten`."
        )
    return whitening if whitening is None or dim is None else whitening.reduced(dim)


def _changed(net: Net, fields: dict[str, Any]) -> EmbeddingNet:
    """Build the network with other fields; all weights but those of the pooling are the old ones."""
    if isinstance(net, SegmentationNet):
        raise UsageError("a network that segments has no other pooling than the mean direction.")
    if isinstance(net, TransformersNet):
        raise UsageError(
            "an imported network has its own pooling; take another of its vectors with "
            "`perisphere encoder import --pool`."
        )
    if isinstance(net, VladNet):
        raise UsageError("SIFT + VLAD has no map to pool; make another with `perisphere encoder vlad`.")
    fields = dict(fields)
    pooling = fields.get("pooling", net.spec.pooling)
    if pooling != net.spec.pooling or "gem_p" in fields:
        fields.setdefault("gem_learned", False)
    new = build(NetSpec.model_validate({**net.spec.model_dump(), **fields}), seed=0)
    old = net.state_dict()
    known = {name: old[name] for name, value in new.state_dict().items() if _fits(old.get(name), value)}
    if pooling == "gemmp" and "gem_p" in fields:
        known.pop("pooling.p", None)
    lost = [name for name in new.state_dict() if name not in known and name != "pooling.p"]
    if lost:
        raise UsageError(f"the encoder has no weights for {lost[0]}; train a network that has it.")
    new.load_state_dict(known, strict=False)
    return new.eval()


def _fits(old: Any, new: Any) -> bool:
    return old is not None and old.shape == new.shape
