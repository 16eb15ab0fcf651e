"""What is said about a taxonomy on the screen and as JSON."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perisphere.taxonomy import Taxonomy


def summary(tree: "Taxonomy") -> dict[str, Any]:
    """Return the sizes of a taxonomy, and what kind it is."""
    return {
        "nodes": len(tree),
        "relations": len(tree.pairs),
        "repeated": tree.repeated,
        "leaves": len(tree.leaves),
        "roots": len(tree.roots),
        "root_names": [tree.name_of(root) for root in tree.roots[:5]],
        "height": tree.height,
        "depth": max(tree.depth_of(leaf) for leaf in tree.leaves),
        "shortest_depth": max(tree.depth_of(leaf, "shortest") for leaf in tree.leaves),
        "is_tree": tree.is_tree,
        "several_parents": sum(len(tree.parents(node)) > 1 for node in tree.ids),
    }


def in_words(found: dict[str, Any]) -> str:
    """Return two lines about a :func:`summary`, and one about the classes listed where they are others."""
    roots = ", ".join(found["root_names"]) + (", ..." if found["roots"] > len(found["root_names"]) else "")
    several = f"a DAG ({_count(found['several_parents'], 'node')} of several parents)"
    sizes = [_count(found[f"{name}s"], name) for name in ("node", "relation")]
    by_shortest = "" if found["is_tree"] else f" ({found['shortest_depth']} by shortest paths)"
    lines = [
        f"{'a tree' if found['is_tree'] else several}: {', '.join(sizes)}, "
        f"{_count(found['leaves'], 'leaf', 'leaves')}",
        f"height {found['height']}, depth {found['depth']}{by_shortest}, "
        f"{_count(found['roots'], 'root')}: {roots}",
    ]
    if found.get("classes", found["leaves"]) != found["leaves"]:
        lines.append(f"{_count(found['classes'], 'class', 'classes')} listed")
    return "\n".join(lines)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
