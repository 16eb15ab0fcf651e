// One result looked at closely: a larger picture, what is known of it, its masks, and matching points.

import { h, icon, photo, redraw, svg, counted } from "./dom.js";
import { get, pictureOf, post } from "./http.js";
import { isPhoto } from "./query.js";
import { asExample, nameOf, sureness } from "./results.js";

const FACTS = ["label", "caption", "tags", "categories", "concepts", "split", "camera", "domain", "path", "url"];

let view = "Photo"; // stays as one steps from result to result

// `on` has query(), can, first, last, step(by), like(result), part(result), wrong(result), remove(result).
export async function showDetails(dialog, result, on) {
  const title = h("h2", { id: "details-title" }, nameOf(result));
  const sheet = h("div", { class: "sheet" });
  const facts = h("dl", {});
  const told = h("div", { role: "status", class: "faint" });
  const close = h("button", { type: "button", class: "plain close", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"));
  const step = (by, name) =>
    h("button", {
      type: "button", class: "plain", "data-key": name, "aria-label": by < 0 ? "Previous result" : "Next result",
      disabled: by < 0 ? on.first : on.last, onclick: () => on.step(by),
    }, icon(name));
  const side = h(
    "div",
    { class: "side" },
    title,
    h("p", { class: "score" }, [sureness(result), result.count === null ? "" : `centroid of ${counted(result.count, "photo")}`].filter(Boolean).join(" · ")),
    views(sheet, result, on, told),
    told,
    facts,
    actions(dialog, result, on),
  );
  const bar = h("div", { class: "bar" }, step(-1, "left"), step(1, "right"), close);
  redraw(dialog, () => dialog.replaceChildren(bar, h("div", { class: "both" }, sheet, side)));
  plain(sheet, result);
  if (!dialog.open) {
    view = "Photo";
    dialog.showModal();
  }
  side.querySelector(`[data-key="${view}"][aria-pressed="false"]`)?.click();
  if (!bar.contains(document.activeElement) && !side.contains(document.activeElement)) close.focus();
  if (result.photo === null) return;
  try {
    facts.replaceChildren(...described(await get(`/images/${result.photo}`)));
  } catch (error) {
    facts.replaceChildren(h("dt", {}, "Gone"), h("dd", {}, error.message));
  }
}

function described(row) {
  const size = row.width && row.height ? [["size", `${row.width} × ${row.height}`]] : [];
  const known = FACTS.filter((name) => row[name] !== null && row[name] !== undefined && row[name].length !== 0);
  const told = (value, name) => (Array.isArray(value) ? value.join(name === "categories" ? " › " : ", ") : String(value));
  return [...known.map((name) => [name, told(row[name], name)]), ...size, ["id", row.id]].flatMap(([name, value]) => [
    h("dt", {}, name),
    h("dd", {}, value),
  ]);
}

function actions(dialog, result, on) {
  const act = (text, run, kind = "") =>
    h("button", { type: "button", class: kind, onclick: () => { dialog.close(); run(result); } }, text);
  const shown = result.photo !== null && result.thumbnail;
  return h(
    "div",
    { class: "actions" },
    act("More like this", on.like, "primary"),
    shown && on.can.photos ? act("Search with a part of it", on.part) : null,
    act("Less like this", on.wrong),
    shown ? h("a", { class: "button", href: `/images/${result.photo}/original`, download: true }, "Download") : null,
    on.can.add && result.count === null ? act("Remove", on.remove, "danger") : null,
  );
}

// -- the views of the picture --------------------------------------------------------------------------

function views(sheet, result, on, told) {
  const query = on.query().like.find(isPhoto);
  const shows = [["Photo", () => plain(sheet, result)]];
  if (on.can.masks && result.photo !== null) shows.push(["Parts", () => masked(sheet, result, told)]);
  if (on.can.match && query && result.photo !== null && result.thumbnail) {
    shows.push(["Matching points", () => matched(sheet, result, query, told)]);
  }
  if (shows.length === 1) return h("span");
  const buttons = shows.map(([name, show], place) =>
    h("button", {
      type: "button",
      "data-key": name,
      "aria-pressed": String(place === 0),
      onclick: (event) => {
        view = name;
        for (const button of buttons) button.setAttribute("aria-pressed", String(button === event.currentTarget));
        told.textContent = "";
        show();
      },
    }, name),
  );
  return h("div", { class: "views", role: "group", "aria-label": "What to see" }, buttons);
}

function picture(result) {
  const name = nameOf(result);
  if (!result.thumbnail) return h("p", { class: "faint" }, "The index holds no photo of this image.");
  return photo(`${result.thumbnail}?size=640`, { alt: result.caption ?? name });
}

function plain(sheet, result) {
  sheet.className = "sheet";
  sheet.replaceChildren(h("div", { class: "frame" }, picture(result)));
}

async function masked(sheet, result, told) {
  plain(sheet, result);
  const frame = sheet.firstChild;
  try {
    const regions = await get(`/images/${result.photo}/regions`);
    if (!regions.length) {
      told.textContent = "No part was found in this photo.";
      return;
    }
    frame.append(h("img", { src: `/images/${result.photo}/mask`, alt: "", class: "mask" }));
    const largest = [...regions].sort((one, other) => other.share - one.share);
    told.replaceChildren(legend(largest));
  } catch (error) {
    told.textContent = error.message;
  }
}

function legend(regions) {
  const entries = regions.map(({ concept, share, colour }) => {
    const swatch = h("span", { class: "swatch" });
    swatch.style.background = `rgb(${colour.join(" ")})`;
    return h("li", {}, swatch, `${concept} ${Math.round(100 * share)} %`);
  });
  return h("ul", { class: "legend" }, entries);
}

async function matched(sheet, result, query, told) {
  sheet.className = "sheet pair";
  const mine = photo(pictureOf(query), { alt: "The photo that was searched with" });
  const theirs = picture(result);
  sheet.replaceChildren(h("div", { class: "frame" }, mine), h("div", { class: "frame" }, theirs));
  told.textContent = "Comparing …";
  try {
    const asked = { query: { [query.kind]: query.value }, id: result.photo };
    if (query.region) asked.query.region = query.region;
    const [found] = await Promise.all([post("/match", asked), loaded(mine), loaded(theirs)]);
    if (!sheet.contains(mine)) return; // another view was chosen meanwhile
    told.textContent = found.verified
      ? `${counted(found.points.length, "point")} agree on one change of view, of ${found.of} that look alike.`
      : `No common view: ${found.points.length} of ${found.of} pairs that look alike are shown.`;
    draw(sheet, mine, theirs, found);
  } catch (error) {
    told.textContent = error.message;
  }
}

function loaded(image) {
  return image.complete ? null : new Promise((done) => { image.onload = image.onerror = done; });
}

function draw(sheet, mine, theirs, { points, verified }) {
  const lines = svg("svg", { class: verified ? "lines" : "lines unsure", "aria-hidden": "true" });
  sheet.append(lines);

  function lay() {
    const base = sheet.getBoundingClientRect();
    const at = (image, x, y) => {
      const { left, top, width, height } = image.getBoundingClientRect();
      return [left - base.left + x * width, top - base.top + y * height].map((value) => value.toFixed(1));
    };
    lines.setAttribute("viewBox", `0 0 ${base.width} ${base.height}`);
    lines.replaceChildren(
      ...points.flatMap(([x0, y0, x1, y1], place) => {
        const [ax, ay] = at(mine, x0, y0);
        const [bx, by] = at(theirs, x1, y1);
        const hue = `hue${place % 6}`;
        return [
          svg("line", { x1: ax, y1: ay, x2: bx, y2: by, class: hue }),
          svg("circle", { cx: ax, cy: ay, r: 3, class: hue }),
          svg("circle", { cx: bx, cy: by, r: 3, class: hue }),
        ];
      }),
    );
  }

  new ResizeObserver(lay).observe(sheet);
}
