// Elements and icons, made without markup in strings: nothing that was typed or stored becomes HTML.

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  camera: "M4 8h3l1.5-2h7L17 8h3v11H4zM12 10.2a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4z",
  search: "M10.5 4.5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM15 15l5 5",
  filter: "M4 6h16M7 12h10M10 18h4",
  plus: "M12 5v14M5 12h14",
  theme: "M12 3.5a8.5 8.5 0 1 0 0 17zM12 3.5a8.5 8.5 0 0 1 0 17",
  close: "M6 6l12 12M18 6L6 18",
  minus: "M5 12h14",
  left: "M14.5 5l-7 7 7 7",
  right: "M9.5 5l7 7-7 7",
  region: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M9 9h6v6H9z",
  wrong: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM6.5 6.5l11 11",
};

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function icon(name) {
  const drawn = svg("path", { d: ICONS[name] });
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, drawn);
}

// A photo as large as its place allows, whatever its own size: the style sheet reckons with its shape.
export function photo(source, attributes = {}) {
  const image = h("img", { src: source, ...attributes });
  image.addEventListener("load", () => {
    image.parentElement?.style.setProperty("--shape", image.naturalWidth / image.naturalHeight);
  });
  return image;
}

// Draws a part of the page anew; what had the focus there has it again, or the first thing there if it is gone.
export function redraw(place, draw) {
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  draw();
  if (!key) return;
  const again = place.querySelector(`[data-key="${CSS.escape(key)}"]`) ?? place.querySelector("[data-key]");
  again?.focus({ preventScroll: true });
}

export function number(value) {
  return value.toLocaleString("en");
}

export function counted(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

export function $(selector) {
  return document.querySelector(selector);
}
