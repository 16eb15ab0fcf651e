// What is searched for, as the address bar holds it and as the service is asked.
//
// An example is {kind, value, region}: kind is id, upload, class, text or label; region is null or
// [x0, y0, x1, y1] in shares of width and height.

export const PAGE = 48;
const MOST = 1000;
const KINDS = ["id", "upload", "class", "text", "label"];

export function empty() {
  return { words: "", like: [], unlike: [], filters: {}, node: [], among: "", k: PAGE };
}

export function example(kind, value, region = null) {
  return { kind, value, region };
}

export function same(one, other) {
  return one.kind === other.kind && one.value === other.value;
}

export function isPhoto(one) {
  return one.kind === "id" || one.kind === "upload";
}

export function asks(query) {
  return query.like.length > 0 || query.words !== "";
}

// -- the address ---------------------------------------------------------------------------------------

export function written(query) {
  const words = new URLSearchParams();
  if (query.words) words.append("words", query.words);
  for (const side of ["like", "unlike"]) for (const one of query[side]) words.append(side, spelled(one));
  for (const [column, values] of Object.entries(query.filters)) {
    for (const value of values) words.append(`is.${column}`, value);
  }
  for (const name of query.node) words.append("in", name);
  if (query.among) words.append("among", query.among);
  if (query.k !== PAGE) words.append("k", query.k);
  return words.toString();
}

export function read(hash) {
  const query = empty();
  for (const [name, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (name === "words") query.words = value.slice(0, 1000);
    else if (name === "like" || name === "unlike") query[name].push(...[understood(value)].filter(Boolean));
    else if (name.startsWith("is.")) (query.filters[name.slice(3)] ??= []).push(value);
    else if (name === "in") query.node.push(value);
    else if (name === "among") query.among = value;
    else if (name === "k") query.k = Math.min(Math.max(Math.trunc(Number(value)) || PAGE, 1), MOST);
  }
  return query;
}

function spelled({ kind, value, region }) {
  const part = region ? `@${region.map((share) => Number(share.toFixed(4))).join(",")}` : "";
  return `${kind}${part}:${value}`;
}

function understood(text) {
  const found = /^(\w+)(?:@([\d.,]+))?:(.*)$/s.exec(text);
  if (!found || !KINDS.includes(found[1])) return null;
  const [, kind, part, value] = found;
  const region = part ? part.split(",").map(Number) : null;
  if (region && (region.length !== 4 || !region.every((share) => share >= 0 && share <= 1))) return null;
  if (kind === "id" && !/^[1-9]\d{0,17}$/.test(value)) return null;
  return example(kind, kind === "id" ? Number(value) : value, region);
}

// -- the request ---------------------------------------------------------------------------------------

export function asked(query, kinds, nodeFilter) {
  const body = { like: query.like.map(sent), unlike: query.unlike.map(sent), k: query.k };
  if (query.words) body.words = query.words;
  const where = filter(query, kinds, nodeFilter);
  if (where) body.where = where;
  if (query.among) body.among = query.among;
  return body;
}

function sent({ kind, value, region }) {
  return region ? { [kind]: value, region } : { [kind]: value };
}

// The filter of the chosen values: one of the values of each column. `but` leaves one column out.
export function filter(query, kinds, nodeFilter, but = null) {
  const parts = nodeFilter ? [nodeFilter] : [];
  for (const [column, values] of Object.entries(query.filters)) {
    if (column === but || !values.length || !(column in kinds)) continue;
    parts.push(
      kinds[column] === "list"
        ? values.map((value) => `${column} has ${quoted(value)}`).join(" or ")
        : `${column} in (${values.map(quoted).join(", ")})`,
    );
  }
  return parts.map((part) => `(${part})`).join(" and ");
}

function quoted(value) {
  const escapes = { "\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r" };
  return `'${value.replace(/[\\'\n\t\r]/g, (character) => escapes[character])}'`;
}
