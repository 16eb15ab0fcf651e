"""Our names of a network's tensors as the published programs write them."""


def as_published(state, head):
    """Return a state dict of a SegmentationNet as its program would have saved it."""
    return {_theirs(name, head): tensor for name, tensor in state.items()} | _beside(state, head)


def _theirs(name, head):
    part, _, rest = name.partition(".")
    if part == "backbone":
        return f"model_ft.{rest}" if head == "classifier" else rest
    if part == "scores":
        return {"single-stage": "last_conv.0.", "cam": "fc8.", "classifier": "model_ft.fc."}[head] + rest
    if part == "aspp":
        return _pyramid(rest)
    if part == "cues":
        inner, _, end = rest.partition(".")
        return {
            "deep": "shallow_mask.fc_deep.",
            "shallow": "shallow_mask.fc_skip.",
            "last": "shallow_mask.fc_cls.",
        }[inner] + end
    return {"skip": "fc8_skip.", "merge": "fc8_x.", "decoder": "decoder."}[part] + rest


def _pyramid(rest):
    names = rest.split(".")
    if names[0] == "branches":
        layer = "atrous_conv" if names[2] == "0" else "bn"
        return ".".join(["aspp", f"aspp{int(names[1]) + 1}", layer, *names[3:]])
    if names[0] == "whole":
        return ".".join(["aspp", "global_avg_pool", str(int(names[1]) + 1), *names[2:]])
    return ".".join(["aspp", "conv1" if names[1] == "0" else "bn1", *names[2:]])


def _beside(state, head):
    """Return what the programs save besides: constant kernels, and a layer under two more names."""
    if head == "single-stage":
        return {f"_aff.aff_{part}.kernel": state["scores.bias"][:1] for part in ("x", "m", "std")}
    if head == "cam":
        return {f"{branch}.weight": state["scores.weight"] for branch in ("cls_branch.3", "mask_branch.0")}
    return {}
