// The page: one query, held by the address bar; everything else is drawn from it.

import { $, counted, h, icon, number, redraw } from "./dom.js";
import { showAdding, showSure } from "./adding.js";
import { showDetails } from "./details.js";
import { nodeAt, showAmong, showFacets, showTree, titleOf } from "./facets.js";
import { get, pictureOf, post, upload } from "./http.js";
import { asked, asks, example, filter, isPhoto, PAGE, read, same, written } from "./query.js";
import { asExample, keys, show } from "./results.js";
import { stage } from "./region.js";

let about = null;
let tree = null; // no result waits for it
let treeComes = null;
let query = read(location.hash);
let reply = { results: [], relevance: null };
let drawing = 0; // which photo example is on the stage
let staged = { key: null }; // it stays as it is while its region is drawn
let opened = -1; // the result in the dialog
let wordsDrawn = "";
let running = new AbortController();
const selected = new Map();

// -- the query and its answer --------------------------------------------------------------------------

// Changes the query, writes it into the address bar, and asks again.
function change(changes, { keep = false } = {}) {
  query = { ...query, k: PAGE, ...changes };
  const words = written(query);
  history.pushState(null, "", words ? `#${words}` : location.pathname);
  if (!keep) selected.clear();
  return refresh();
}

async function refresh() {
  if (!about) return; // the beginning asks
  running.abort();
  running = new AbortController();
  const { signal } = running;
  drawQuery();
  drawSide(signal);
  document.body.classList.add("busy");
  $("#results").setAttribute("aria-busy", "true");
  try {
    if (query.node.length) await treeComes;
    reply = await answered(signal);
    drawReply();
  } catch (error) {
    if (error.name === "AbortError") return;
    failed(error);
  }
  document.body.classList.remove("busy");
  $("#results").setAttribute("aria-busy", "false");
}

async function answered(signal) {
  const body = asked(query, kinds(), nodeFilter());
  if (asks(query)) return post("/search", body, signal);
  return get("/images", { k: query.k, where: body.where ?? "" }, signal);
}

function kinds() {
  return Object.fromEntries(about.columns.map(({ name, kind }) => [name, kind]));
}

function nodeFilter() {
  if (!query.node.length) return null;
  const where = nodeAt(tree ?? [], query.node)?.where;
  if (!where) throw new Error(`there are no photos in the category ${query.node.join(" › ")}. Choose another.`);
  return where;
}

// -- what is searched for ------------------------------------------------------------------------------

function drawQuery() {
  const filters = Object.values(query.filters).flat().length + (query.node.length ? 1 : 0);
  $("#filters-open .number").textContent = filters || "";
  const words = query.words || query.like.find(({ kind }) => kind === "text")?.value || "";
  if (words !== wordsDrawn) $("#words").value = wordsDrawn = words; // else what is being typed stays
  if (query.like.some(({ kind }) => kind === "text")) $("#meaning").value = "text";
  const section = $("#query");
  section.hidden = query.like.length + query.unlike.length === 0;
  const photos = query.like.filter(isPhoto);
  drawing = Math.min(drawing, Math.max(photos.length - 1, 0));
  const shown = photos[drawing];
  setStage(section.querySelector(".stage"), shown);
  const part = placed(shown?.region);
  if ($("#part").textContent !== part) $("#part").textContent = part; // told once
  const chips = [...query.like.map((one) => chip(one, "like")), ...query.unlike.map((one) => chip(one, "unlike"))];
  redraw(section, () => {
    section.querySelector(".chips").replaceChildren(...chips);
    section.querySelector(".hint").replaceChildren(...hint(shown));
  });
}

function setStage(place, shown) {
  const source = shown ? pictureOf(shown) : null;
  const key = shown ? `${query.like.indexOf(shown)} ${source}` : null;
  if (key === staged.key) staged.lay?.(shown.region);
  else {
    staged.lay?.(null); // what its keys would still change is gone
    const at = query.like.indexOf(shown);
    staged = shown ? { key, ...stage(source, "The photo to search with", shown.region, (region) => repart(at, region)) } : { key };
    place.replaceChildren(...(shown ? [staged.frame] : []));
    place.querySelector("img")?.addEventListener("error", () => gone(shown));
  }
}

function hint(shown) {
  if (!shown) return [];
  if (!about.can.photos) return ["This index holds no network: photos of the index can be searched with, others cannot."];
  const whole = h("button", { type: "button", class: "link", "data-key": "whole", onclick: () => repart(query.like.indexOf(shown), null) }, "Use the whole photo");
  return shown.region ? [whole] : ["Draw on the photo to search with a part of it."];
}

// Where the part is, for those who do not see it.
function placed(region) {
  if (!region) return "";
  const [x0, y0, x1, y1] = region.map((share) => Math.round(100 * share));
  return `A part of the photo: ${x0} to ${x1} % across, ${y0} to ${y1} % down.`;
}

function repart(at, region) {
  return change({ like: query.like.map((one, place) => (place === at ? { ...one, region } : one)) });
}

function gone(one) {
  const upload = one?.kind === "upload";
  staged = { key: null };
  $("#query .stage").replaceChildren();
  const line = upload ? "The photo of this link is not kept any more. Choose it again." : "The photo cannot be shown.";
  $("#query .hint").replaceChildren(line);
}

function chip(one, side) {
  const source = isPhoto(one) ? pictureOf(one, 160) : null;
  const name = { id: `photo ${one.value}`, upload: "your photo", class: titleOf(tree ?? [], one.value) ?? one.value, text: `“${one.value}”`, label: String(one.value) }[one.kind];
  const photos = query.like.filter(isPhoto);
  const place = photos.indexOf(one);
  const text = h("span", {}, side === "unlike" ? `less like ${name}` : name, one.region ? " (a part)" : "");
  const picked =
    place >= 0 && photos.length > 1
      ? h("button", { type: "button", class: "plain", "aria-pressed": String(place === drawing), title: "Show and draw on it",
          onclick: () => { drawing = place; drawQuery(); } }, thumbnail(source), text)
      : h("span", { class: "plain" }, source ? thumbnail(source) : null, text);
  const remove = h("button", { type: "button", class: "plain", "aria-label": `Leave out ${name}`, "data-key": `out ${side} ${name}`,
    onclick: () => change({ [side]: query[side].filter((other) => other !== one) }) }, icon("close"));
  return h("li", { class: `chip ${side}` }, picked, remove);
}

function thumbnail(source) {
  return h("img", { src: source, alt: "", width: "28", height: "28", onerror: (event) => event.target.remove() });
}

async function choose(files) {
  const photos = [...files].filter(({ type }) => type.startsWith("image/"));
  if (!photos.length) return failed(new Error("This is no photo. Choose a picture file."));
  document.body.classList.add("busy");
  try {
    const sent = await Promise.all(photos.map(upload));
    drawing = 0;
    await change({ like: sent.map((one) => example("upload", one.upload)), unlike: [] });
  } catch (error) {
    failed(error);
    document.body.classList.remove("busy");
  }
}

// -- the answer ----------------------------------------------------------------------------------------

function drawReply() {
  redraw($("#results"), () => show($("#results"), reply, {
    open: (result) => openAt(reply.results.indexOf(result)),
    select,
    wrong: (result) => mark(result),
    isSelected: (result) => selected.has(keyOf(result)),
    isWrong: (result) => query.unlike.some((one) => same(one, asExample(result))),
  }));
  $("#status").textContent = told();
  const seconds = reply.seconds === undefined ? "" : `, ${reply.seconds < 0.01 ? "under 0.01" : reply.seconds.toFixed(2)} s`;
  $("#road").textContent = asks(query) ? `${reply.road}${seconds}` : "";
  $("#notes").replaceChildren(...notes());
  $("#more").hidden = reply.results.length < query.k || query.k >= 1000;
  drawSelection();
}

function told() {
  const count = reply.results.length;
  if (!asks(query)) return `${counted(reply.total, "photo")}${count < reply.total ? `, the first ${number(count)}` : ""}`;
  if (!count) return "Nothing was found. Take a filter away, or use other words.";
  const rank = reply.relevance?.rank;
  const end = rank === undefined ? "" : `; ${likely(rank, count)} likely to be relevant`;
  return `${counted(count, "result")} of ${counted(reply.images, "photo")}${end}`;
}

function likely(rank, count) {
  if (rank < 2) return rank === 0 ? "none is" : "the first is";
  return rank < count ? `the first ${number(rank)} are` : "all are";
}

function notes() {
  const lines = (reply.query?.notes ?? []).map((note) => h("p", { class: "faint" }, note));
  for (const [word, near] of Object.entries(reply.query?.unknown ?? {})) {
    const offers = near.map((other) =>
      h("button", { type: "button", class: "link", onclick: () => askWords(mended(wordsNow(), word, other)) }, other),
    );
    const ask = offers.length ? [" Did you mean ", ...offers.flatMap((offer, place) => (place ? [", ", offer] : [offer])), "?"] : [];
    lines.push(h("p", { class: "note" }, `The index does not know “${word}”.`, ...ask));
  }
  return lines;
}

function failed(error) {
  reply = { results: [], relevance: null, total: 0 };
  $("#results").replaceChildren();
  $("#more").hidden = true;
  $("#road").textContent = "";
  $("#status").textContent = "";
  const line = error.message.charAt(0).toUpperCase() + error.message.slice(1);
  $("#notes").replaceChildren(h("div", { class: "error", role: "alert" }, h("p", {}, line), mend(error)));
  drawSelection();
}

function mend(error) {
  const offer = (text, run) => h("button", { type: "button", onclick: run }, text);
  if (error.status === 401) {
    const token = h("label", {}, "Token ", h("input", { name: "token", type: "password" }));
    return h("form", { action: "/", method: "get" }, token, h("button", { class: "primary" }, "Enter"));
  }
  const gone = error.status === 404 && query.like.some(({ kind }) => kind === "upload");
  return gone ? offer("Choose a photo", () => $("#file").click()) : offer("Try again", refresh);
}

// -- the side ------------------------------------------------------------------------------------------

async function drawSide(signal) {
  showAmong($("#among"), about.centroids, query.among, (among) => change({ among }));
  drawTree();
  try {
    if (query.node.length) await treeComes;
    const found = await countsOf(signal);
    const columns = about.columns.map(({ name }) => name);
    showFacets($("#facets"), columns, found, query.filters, (column, value, on) => {
      const values = (query.filters[column] ?? []).filter((other) => other !== value);
      change({ filters: { ...query.filters, [column]: on ? [...values, value] : values } }, { keep: true });
    });
  } catch (error) {
    if (error.name !== "AbortError") $("#facets").replaceChildren(h("p", { class: "faint" }, error.message));
  }
}

function drawTree() {
  if (!tree) return;
  showTree($("#tree"), tree, query.node, {
    choose: (node) => change({ node }),
    search: (name) => change({ like: [example("class", name)], unlike: [], words: "", node: [] }),
  });
}

function planted({ nodes }) {
  tree = nodes;
  drawTree();
  if (query.like.some(({ kind }) => kind === "class")) drawQuery(); // by their titles
}

// The counts of a column are those under the filters of all others: what choosing a value would add.
async function countsOf(signal) {
  const names = about.columns.map(({ name }) => name);
  const chosen = names.filter((name) => query.filters[name]?.length);
  const rest = names.filter((name) => !chosen.includes(name));
  const ask = (columns, but) =>
    get("/facets", { columns: columns.join(",") || names[0], where: filter(query, kinds(), nodeFilter(), but) }, signal);
  if (!names.length) return { images: about.images, columns: {} };
  const found = await Promise.all([ask(rest, null), ...chosen.map((name) => ask([name], name))]);
  return { images: found[0].images, columns: Object.assign({}, ...found.map(({ columns }) => columns)) };
}

// -- selecting, marking, looking closely ---------------------------------------------------------------

function keyOf(result) {
  const { kind, value } = asExample(result);
  return `${kind}:${value}`;
}

function select(result, on) {
  if (on) selected.set(keyOf(result), result);
  else selected.delete(keyOf(result));
  drawSelection();
}

function drawSelection() {
  const bar = $("#selection");
  bar.hidden = selected.size === 0;
  bar.querySelector(".count").textContent = `${number(selected.size)} selected`;
  const photos = [...selected.values()].every(({ count }) => count === null);
  bar.querySelector('[data-act="remove"]').hidden = !about?.can.add || !photos;
}

function mark(result) {
  const one = asExample(result);
  const marked = query.unlike.some((other) => same(one, other));
  if (!marked && !asks(query)) {
    $("#notes").replaceChildren(h("p", { class: "note" }, "Search for something first; then mark what is wrong."));
    return;
  }
  change({ unlike: marked ? query.unlike.filter((other) => !same(one, other)) : [...query.unlike, one] });
}

function actOnSelected(act) {
  $("#results").focus({ preventScroll: true }); // the bar goes away
  const chosen = [...selected.values()];
  if (act === "clear") {
    selected.clear();
    drawReply();
  } else if (act === "like") like(chosen);
  else if (act === "unlike") {
    const fresh = chosen.map(asExample).filter((one) => !query.unlike.some((other) => same(one, other)));
    if (asks(query)) change({ unlike: [...query.unlike, ...fresh] });
    else mark(chosen[0]);
  } else remove(chosen);
}

function like(results) {
  drawing = 0;
  window.scrollTo({ top: 0 });
  change({ like: results.map(asExample), unlike: [], words: "" });
}

function part(result) {
  drawing = 0;
  window.scrollTo({ top: 0 });
  change({ like: [example("id", result.photo, [0.25, 0.25, 0.75, 0.75])], unlike: [], words: "" });
}

function remove(results) {
  showSure($("#sure"), `Remove ${counted(results.length, "photo")} from the index?`, "Remove", async () => {
    try {
      await post("/items/remove", { ids: results.map(({ id }) => id) });
      selected.clear();
      const ids = results.map(({ id }) => id);
      const stays = (one) => one.kind !== "id" || !ids.includes(one.value);
      await begin();
      await change({ like: query.like.filter(stays), unlike: query.unlike.filter(stays) });
    } catch (error) {
      failed(error);
    }
  });
}

function openAt(place) {
  if (place < 0 || place >= reply.results.length) return;
  opened = place;
  showDetails($("#details"), reply.results[place], {
    query: () => query,
    can: about.can,
    first: place === 0,
    last: place === reply.results.length - 1,
    step: (by) => openAt(opened + by),
    like: (result) => like([result]),
    part,
    wrong: mark,
    remove: (result) => remove([result]),
  });
}

async function more() {
  const before = reply.results.length;
  await change({ k: Math.min(query.k + PAGE, 1000) }, { keep: true });
  $("#results").querySelectorAll(".card .open")[before]?.focus();
}

// -- words ---------------------------------------------------------------------------------------------

function wordsNow() {
  return $("#words").value.trim();
}

// The words with a whole word of them replaced.
function mended(words, wrong, right) {
  const literal = wrong.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  return words.replace(new RegExp(`(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])`, "iu"), () => right);
}

function askWords(words) {
  const byMeaning = !$("#meaning").hidden && $("#meaning").value === "text";
  const like = query.like.filter(({ kind }) => kind !== "text");
  if (byMeaning && words) change({ words: "", like: [...like, example("text", words)] });
  else change({ words, like });
}

// -- the beginning -------------------------------------------------------------------------------------

async function begin() {
  about = await get("/about");
  treeComes = get("/classes").then(planted, (error) => {
    $("#tree").hidden = false;
    $("#tree .tree").replaceChildren(h("p", { class: "faint" }, error.message));
  });
  document.title = `${about.name} · Perisphere`;
  $("#meaning").hidden = !about.can.text;
  $("#add-open").hidden = !(about.can.add && about.can.photos);
  $("#choose").hidden = !about.can.photos;
}

function wire() {
  for (const place of document.querySelectorAll("[data-icon]")) place.append(icon(place.dataset.icon));
  $(".skip").addEventListener("click", (event) => { event.preventDefault(); $("#results").focus(); }); // the address is the query's
  $("#ask").addEventListener("submit", (event) => { event.preventDefault(); askWords(wordsNow()); });
  $("#file").addEventListener("change", (event) => { choose(event.target.files); event.target.value = ""; });
  $("#more").addEventListener("click", more);
  $("#selection").addEventListener("click", (event) => {
    const act = event.target.closest("[data-act]")?.dataset.act;
    if (act) actOnSelected(act);
  });
  $("#add-open").addEventListener("click", () => showAdding($("#adding"), async () => { await begin(); await refresh(); }));
  $("#details").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") openAt(opened - 1);
    if (event.key === "ArrowRight") openAt(opened + 1);
  });
  $("#details").addEventListener("close", () => $("#results").querySelectorAll(".card .open")[opened]?.focus());
  window.addEventListener("popstate", () => { query = read(location.hash); selected.clear(); refresh(); });
  keys($("#results"));
  wirePhotos();
  wireSide();
  wireTheme();
}

function wirePhotos() {
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length && about?.can.photos) { event.preventDefault(); choose(files); }
  });
  let depth = 0;
  const dragged = (event) => event.dataTransfer?.types.includes("Files") && about?.can.photos;
  const shade = (by) => { depth = Math.max(depth + by, 0); document.body.classList.toggle("dragging", depth > 0); };
  window.addEventListener("dragenter", (event) => dragged(event) && shade(1));
  window.addEventListener("dragleave", (event) => dragged(event) && shade(-1));
  window.addEventListener("dragover", (event) => dragged(event) && event.preventDefault());
  window.addEventListener("drop", (event) => {
    if (!dragged(event)) return;
    event.preventDefault();
    shade(-depth);
    choose(event.dataTransfer.files);
  });
}

function wireSide() {
  const set = (open) => {
    document.body.classList.toggle("filtering", open);
    $("#filters-open").setAttribute("aria-expanded", String(open));
    for (const part of document.querySelectorAll(".skip, header, main, #selection")) part.inert = open;
    if (open) [...$("#filters").querySelectorAll("button, input, summary")].find((one) => one.checkVisibility())?.focus();
    else $("#filters-open").focus();
  };
  $("#filters-open").addEventListener("click", () => set(!document.body.classList.contains("filtering")));
  $("#filters-close").addEventListener("click", () => set(false));
  matchMedia("(min-width: 901px)").addEventListener("change", () => set(false)); // no drawer where there is room
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.body.classList.contains("filtering")) set(false);
    const typing = event.target.closest("input, select, textarea, dialog");
    if (event.key === "/" && !typing) { event.preventDefault(); $("#words").focus(); }
  });
}

function wireTheme() {
  const root = document.documentElement;
  $("#theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // storage is forbidden here: it holds until the page is left
    }
  });
}

wire();
try {
  await begin();
  await refresh();
} catch (error) {
  about ??= { columns: [], can: {}, centroids: null };
  failed(error);
}
