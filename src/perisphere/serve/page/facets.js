// The side of the page: what is searched among, the tree of categories, and the values of columns.

import { h, icon, number, redraw } from "./dom.js";

const TITLES = {
  label: "Label", split: "Split", camera: "Camera", domain: "Domain",
  tags: "Tags", categories: "Category", concepts: "Concepts", regions: "Seen in the photo",
};
const AMONG = { photos: "Photos", centroids: "Labels, one result each", "centroids-then-photos": "Photos of the nearest labels" };
const SHOWN = 8;

// What was opened and closed by hand stays so, whatever is drawn anew.
const unfolded = new Map();
const whole = new Set();

export function showAmong(section, kept, chosen, choose) {
  section.hidden = kept !== "beside";
  if (section.hidden) return;
  const choices = Object.entries(AMONG).map(([value, title]) => {
    const radio = h("input", { type: "radio", name: "among", value });
    radio.checked = (chosen || "photos") === value;
    radio.addEventListener("change", () => choose(value === "photos" ? "" : value));
    return h("label", {}, radio, title);
  });
  section.querySelector(".choices").replaceChildren(...choices);
}

// The path of names down to a node of the tree, or null.
export function nodeAt(nodes, path) {
  const node = nodes.find(({ name }) => name === path[0]);
  if (!node || path.length === 1) return node ?? null;
  return nodeAt(node.children, path.slice(1));
}

// What a class is called, by its name in the tree.
export function titleOf(nodes, name) {
  for (const node of nodes) {
    const title = node.name === name ? node.title : titleOf(node.children, name);
    if (title) return title;
  }
  return null;
}

// `on` has choose(path) and search(name), which searches with the class's own point.
export function showTree(section, nodes, path, on) {
  section.hidden = nodes.length === 0;
  const all = h(
    "button",
    { type: "button", class: "node", "data-key": "everything\n", "aria-pressed": String(path.length === 0), onclick: () => on.choose([]) },
    "Everything",
  );
  const tree = section.querySelector(".tree");
  redraw(tree, () => tree.replaceChildren(all, level(nodes, [], path, on)));
}

function level(nodes, above, path, on) {
  return h("ul", {}, nodes.map((node) => branch(node, [...above, node.name], path, on)));
}

function branch(node, here, path, on) {
  const chosen = String(here) === String(path) && here.length === path.length;
  const key = here.join("\n");
  const within = unfolded.get(key) ?? here.every((name, depth) => path[depth] === name);
  const button = h(
    "button",
    {
      type: "button", class: "node", "data-key": key, "aria-pressed": String(chosen), disabled: node.where === null,
      onclick: () => on.choose(chosen ? here.slice(0, -1) : here), title: node.title,
    },
    h("span", { class: "title" }, node.title),
    h("span", { class: "count" }, number(node.count)),
  );
  const like = node.query
    ? h("button", { type: "button", class: "plain", title: `Search for ${node.title}`,
        "aria-label": `Search for ${node.title}`, onclick: () => on.search(node.name) }, icon("search"))
    : null;
  if (!node.children.length) return h("li", { class: "leaf" }, h("div", { class: "row" }, button, like));
  const inner = h("div", { hidden: !within });
  let filled = false;
  function fill() {
    if (!filled) inner.append(level(node.children, here, path, on));
    filled = true;
  }
  if (within) fill();
  const fold = h("button", { type: "button", class: "plain fold", "data-key": `fold ${key}`, "aria-expanded": String(within), "aria-label": `Below ${node.title}` }, icon("right"));
  fold.addEventListener("click", () => {
    fill(); // large trees are made as they are opened
    inner.hidden = !inner.hidden;
    unfolded.set(key, !inner.hidden);
    fold.setAttribute("aria-expanded", String(!inner.hidden));
  });
  return h("li", {}, h("div", { class: "row" }, fold, button, like), inner);
}

// `found` has the counts of each column, and how many images there are: one value that all have is no choice.
export function showFacets(place, columns, found, chosen, choose) {
  const parts = columns
    .filter((column) => chosen[column]?.length || chooses(found.columns[column] ?? [], found.images))
    .map((column) => facet(column, found.columns[column] ?? [], chosen[column] ?? [], choose));
  redraw(place, () => place.replaceChildren(...parts));
}

function chooses(counts, images) {
  return counts.length > 1 || (counts.length === 1 && counts[0].count < images);
}

function facet(column, counts, chosen, choose) {
  const missing = chosen.filter((value) => !counts.some((entry) => String(entry.value) === value));
  const entries = [...missing.map((value) => ({ value, count: 0 })), ...counts];
  const rows = entries.map(({ value, count }) => {
    const tick = h("input", { type: "checkbox", "data-key": `${column} ${value}` });
    tick.checked = chosen.includes(String(value));
    tick.addEventListener("change", () => choose(column, String(value), tick.checked));
    return h("li", {}, h("label", { title: String(value) }, tick, h("span", { class: "title" }, String(value)), h("span", { class: "count" }, number(count))));
  });
  const shown = whole.has(column) ? rows.length : SHOWN;
  const list = h("ul", {}, rows.slice(0, shown));
  const rest = rows.slice(shown);
  function unroll() {
    whole.add(column);
    list.append(...rest);
    more.remove();
    rest[0].querySelector("input").focus();
  }
  const more = rest.length ? h("button", { type: "button", class: "link", onclick: unroll }, `${rest.length} more`) : null;
  const open = unfolded.get(column) ?? (column !== "categories" || chosen.length > 0);
  const details = h("details", { class: "facet", open }, h("summary", { "data-key": `facet ${column}` }, TITLES[column] ?? column), list, more);
  details.addEventListener("toggle", () => unfolded.set(column, details.open));
  return details;
}
