// The dialogs that change the index: adding photos, and being sure before removing some.

import { h, counted } from "./dom.js";
import { add } from "./http.js";

const FIELDS = [["label", "Label"], ["caption", "Caption"], ["tags", "Tags, with commas between"]];

export function showAdding(dialog, done) {
  const files = h("input", { type: "file", accept: "image/*", multiple: true, required: true, id: "add-files" });
  const inputs = FIELDS.map(([name, title]) => [name, title, h("input", { type: "text", id: `add-${name}`, maxlength: "1000" })]);
  const told = h("p", { role: "status", class: "faint" });
  const send = h("button", { type: "submit", class: "primary" }, "Add");
  const form = h(
    "form",
    {},
    h("h2", { id: "adding-title" }, "Add photos to the index"),
    h("label", { for: "add-files" }, "Photos"),
    files,
    inputs.map(([name, title, input]) => [h("label", { for: `add-${name}` }, title), input]),
    told,
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Close"), send),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    const added = await addAll([...files.files], fieldsOf(inputs), told);
    send.disabled = false;
    if (added) done();
  });
  dialog.replaceChildren(form);
  dialog.showModal();
}

function fieldsOf(inputs) {
  const fields = [];
  for (const [name, , input] of inputs) {
    const value = input.value.trim();
    if (name === "tags") fields.push(...value.split(",").map((tag) => ["tags", tag.trim()]).filter(([, tag]) => tag));
    else if (value) fields.push([name, value]);
  }
  return fields;
}

async function addAll(files, fields, told) {
  let added = 0;
  const failed = [];
  for (const [place, file] of files.entries()) {
    told.textContent = `Adding ${place + 1} of ${files.length} …`;
    try {
      await add(file, fields);
      added += 1;
    } catch (error) {
      failed.push(`${file.name}: ${error.message}`);
    }
  }
  told.textContent = [`Added ${counted(added, "photo")}.`, ...failed].join(" ");
  return added;
}

export function showSure(dialog, question, verb, agreed) {
  dialog.replaceChildren(
    h("h2", { id: "sure-title" }, question),
    h("p", { class: "faint" }, "Photos that were added on this page are deleted; other files stay where they are."),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", onclick: () => dialog.close() }, "Keep"),
      h("button", { type: "button", class: "danger", onclick: () => { dialog.close(); agreed(); } }, verb),
    ),
  );
  dialog.showModal();
}
