// The grid of results: one card each, a line where relevance ends, and keys to go about it.

import { h, icon, svg, counted } from "./dom.js";
import { example } from "./query.js";

// What a result is as an example: a centroid by its label, a photo by its id.
export function asExample(result) {
  return result.count === null ? example("id", result.id) : example("label", result.label);
}

export function nameOf(result) {
  return result.label ?? result.caption ?? result.path ?? `image ${result.id}`;
}

export function sureness(result) {
  if (result.precision !== null) return `${Math.round(100 * result.precision)} % sure`;
  return result.score === null ? "" : result.score.toFixed(3);
}

// Fills `list`. `on` has open(result), select(result, chosen), wrong(result), isSelected(result), isWrong(result).
export function show(list, reply, on) {
  const cards = reply.results.map((result) => card(result, on));
  const { relevance } = reply;
  if (relevance && relevance.rank < cards.length) cards.splice(relevance.rank, 0, relevanceEnds(relevance));
  list.replaceChildren(...cards);
}

function relevanceEnds({ precision, rank }) {
  const text = rank === 0 ? "None of these is likely to be relevant" : "Relevance ends here";
  const share = Math.round(100 * precision);
  return h("li", { class: "ends" }, h("strong", {}, text), ` · from here on fewer than ${share} % of results are right`);
}

function card(result, on) {
  const name = nameOf(result);
  const picture = result.thumbnail
    ? h("img", { src: `${result.thumbnail}?size=320`, alt: "", loading: "lazy", decoding: "async", onerror: (event) => event.target.replaceWith(noPhoto()) })
    : noPhoto();
  const facts = [sureness(result), result.count === null ? "" : counted(result.count, "photo")].filter(Boolean);
  const open = h(
    "button",
    { type: "button", class: "open", "data-key": `open ${result.id}`, onclick: () => on.open(result), "aria-label": spoken(result, name, facts) },
    h("span", { class: "picture" }, picture, ...outlines(result)),
    h(
      "span",
      { class: "about" },
      h("span", { class: "label", title: name }, name),
      facts.length ? h("span", { class: "score", title: explained(result) }, facts.join(" · ")) : null,
      result.caption && result.caption !== name ? h("span", { class: "caption" }, result.caption) : null,
    ),
  );
  const tick = h("input", { type: "checkbox", "data-key": `tick ${result.id}`, "aria-label": `Select ${name}, rank ${result.rank}` });
  tick.checked = on.isSelected(result);
  tick.addEventListener("change", () => {
    whole.classList.toggle("selected", tick.checked);
    on.select(result, tick.checked);
  });
  const wrong = h(
    "button",
    {
      type: "button",
      class: "wrong",
      "data-key": `wrong ${result.id}`,
      title: "Wrong: less like this",
      "aria-label": `Wrong, less like ${name}, rank ${result.rank}`,
      "aria-pressed": String(on.isWrong(result)),
      onclick: () => on.wrong(result),
    },
    icon("wrong"),
  );
  const whole = h("li", { class: "card" }, open, h("label", { class: "tick" }, tick), wrong);
  whole.dataset.id = result.id;
  whole.classList.toggle("selected", tick.checked);
  return whole;
}

function noPhoto() {
  return h("span", { class: "faint" }, "no photo");
}

function spoken(result, name, facts) {
  return [`${result.rank}. ${name}`, ...facts, result.caption !== name ? result.caption : null].filter(Boolean).join(", ");
}

function explained(result) {
  if (result.score === null) return "";
  const score = `score ${result.score.toFixed(4)}`;
  return result.precision === null ? score : `${score}: this share of results with such a score, or a higher one, is right`;
}

function outlines(result) {
  if (!result.regions?.length || !result.width || !result.height) return [];
  const boxes = result.regions.map(({ box: [x0, y0, x1, y1] }) =>
    svg("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, "vector-effect": "non-scaling-stroke" }),
  );
  const view = { viewBox: `0 0 ${result.width} ${result.height}`, preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" };
  return [svg("svg", { ...view, class: "outlines" }, ...boxes)];
}

// Arrow keys go from card to card; Home and End to the first and last; x selects, w marks wrong.
export function keys(list) {
  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const cards = [...list.querySelectorAll(".card")];
    const here = cards.indexOf(event.target.closest(".card"));
    if (here < 0) return;
    if (event.key === "x") cards[here].querySelector("input").click();
    else if (event.key === "w") cards[here].querySelector(".wrong").click();
    else {
      const next = cards[{ ...moves(cards, here), Home: 0, End: cards.length - 1 }[event.key]];
      if (!next) return;
      next.querySelector(".open").focus();
    }
    event.preventDefault();
  });
}

function moves(cards, here) {
  const top = cards[here].offsetTop;
  const across = cards.filter((card) => card.offsetTop === cards[0].offsetTop).length;
  const column = cards[here].offsetLeft;
  const below = cards.findIndex((card, place) => place > here && card.offsetTop > top && card.offsetLeft === column);
  const above = cards.findLastIndex((card) => card.offsetTop < top && card.offsetLeft === column);
  return {
    ArrowLeft: here - 1,
    ArrowRight: here + 1,
    ArrowDown: below < 0 ? Math.min(here + across, cards.length - 1) : below,
    ArrowUp: above,
  };
}
