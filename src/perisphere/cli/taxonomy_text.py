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
        "is_tree": tree.is_tree,
        "several_parents": sum(len(tree.parents(node)) > 1 for node in tree.ids),
    }


def in_words(found: dict[str, Any]) -> str:
    """Return two lines about a :func:`summary`, and one about the classes listed where they are others."""
    roots = ", ".join(found["root_names"]) + (", ..." if found["roots"] > len(found["root_names"]) else "")
    number = f"{found['roots']:,} root{'s' * (found['roots'] != 1)}"
    kind = "a tree" if found["is_tree"] else f"a DAG ({found['several_parents']:,} nodes of several parents)"
    lines = [
        f"{kind}: {found['nodes']:,} nodes, {found['relations']:,} relations, {found['leaves']:,} leaves",
        f"height {found['height']}, depth {found['depth']}, {number}: {roots}",
    ]
    if found.get("classes", found["leaves"]) != found["leaves"]:
        lines.append(f"{found['classes']:,} classes listed")
    return "\n".join(lines)
