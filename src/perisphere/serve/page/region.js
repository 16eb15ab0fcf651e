// A region drawn on a photo: by mouse, pen or finger, or with the arrow keys.

import { h, photo as pictured } from "./dom.js";

const LEAST = 0.04;
const STEP = 0.02;
const MIDDLE = [0.25, 0.25, 0.75, 0.75];

// Returns {frame, lay}: an element that shows a photo, and what lays another region on it. `changed` is called
// with the [x0, y0, x1, y1] that was drawn, or null.
export function stage(source, title, region, changed) {
  const photo = pictured(source, { alt: title, draggable: "false" });
  const box = h("div", { class: "region", hidden: region === null });
  const frame = h(
    "div",
    {
      class: "frame",
      tabindex: "0",
      "data-key": "region",
      role: "application",
      "aria-label": "Part of the photo to search with",
      "aria-describedby": "region-keys",
    },
    photo,
    box,
  );
  let drawn = region;

  function show() {
    box.hidden = drawn === null;
    frame.classList.toggle("partly", drawn !== null);
    if (drawn === null) return;
    const [x0, y0, x1, y1] = drawn.map((share) => 100 * share);
    box.style.inset = `${y0}% ${100 - x1}% ${100 - y1}% ${x0}%`;
  }

  function settle(value) {
    drawn = value;
    show();
    changed(value);
  }

  function place(event) {
    const { left, top, width, height } = photo.getBoundingClientRect();
    return [clamp((event.clientX - left) / width), clamp((event.clientY - top) / height)];
  }

  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    frame.focus({ preventScroll: true });
    frame.setPointerCapture(event.pointerId);
    const start = place(event);
    const before = drawn;
    const moves = before !== null && inside(start, before);

    function move(now) {
      if (now.pointerId !== event.pointerId) return; // a second finger
      const point = place(now);
      drawn = moves ? shifted(before, point[0] - start[0], point[1] - start[1]) : between(start, point);
      show();
    }

    function end(now) {
      if (now.pointerId !== event.pointerId) return;
      frame.removeEventListener("pointermove", move);
      frame.removeEventListener("pointerup", end);
      frame.removeEventListener("pointercancel", end);
      const large = drawn !== null && drawn[2] - drawn[0] >= LEAST && drawn[3] - drawn[1] >= LEAST;
      if (now.type === "pointercancel" || !large) {
        drawn = before;
        show();
      } else if (String(drawn) !== String(before)) settle(drawn);
    }

    frame.addEventListener("pointermove", move);
    frame.addEventListener("pointerup", end);
    frame.addEventListener("pointercancel", end);
  });

  const arrows = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  let waiting = 0;
  frame.addEventListener("keydown", (event) => {
    if (event.key in arrows && drawn !== null) {
      const [dx, dy] = arrows[event.key];
      drawn = event.shiftKey ? sized(drawn, dx, dy) : shifted(drawn, dx, dy);
      show();
      clearTimeout(waiting); // one search when the keys rest
      waiting = setTimeout(() => changed(drawn), 500);
    } else if (event.key === "Enter" && drawn === null) settle(MIDDLE);
    else if ((event.key === "Delete" || event.key === "Backspace") && drawn !== null) settle(null);
    else return;
    event.preventDefault();
  });

  function lay(other) {
    clearTimeout(waiting);
    drawn = other;
    show();
  }

  show();
  return { frame, lay };
}

function clamp(value) {
  return Math.min(Math.max(value, 0), 1);
}

function inside([x, y], [x0, y0, x1, y1]) {
  return x0 < x && x < x1 && y0 < y && y < y1;
}

function between([x0, y0], [x1, y1]) {
  return [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
}

function shifted([x0, y0, x1, y1], dx, dy) {
  const x = Math.min(Math.max(dx, -x0), 1 - x1);
  const y = Math.min(Math.max(dy, -y0), 1 - y1);
  return [x0 + x, y0 + y, x1 + x, y1 + y];
}

function sized([x0, y0, x1, y1], dx, dy) {
  return [x0, y0, Math.min(Math.max(x1 + dx, x0 + LEAST), 1), Math.min(Math.max(y1 + dy, y0 + LEAST), 1)];
}
