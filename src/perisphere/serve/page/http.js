// What the page asks of the service; errors carry the service's own line.

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function answer(response) {
  if (response.ok) return response.json();
  let detail = `the service answered ${response.status}.`;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch {
    // no JSON: its status says enough
  }
  throw new Refused(response.status, detail);
}

export async function get(path, values = {}, signal = undefined) {
  const words = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== null && value !== ""));
  const query = words.size ? `?${words}` : "";
  return answer(await fetch(path + query, { signal }));
}

export async function post(path, body, signal = undefined) {
  const headers = { "Content-Type": "application/json" };
  return answer(await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal }));
}

export async function upload(file) {
  const form = new FormData();
  form.append("file", file, "photo");
  return answer(await fetch("/uploads", { method: "POST", body: form }));
}

export async function add(file, fields) {
  const form = new FormData();
  for (const [name, value] of fields) form.append(name, value);
  form.append("file", file, "photo");
  return answer(await fetch("/items", { method: "POST", body: form }));
}

export function pictureOf(example, size = 640) {
  if (example.kind === "upload") return `/uploads/${encodeURIComponent(example.value)}/thumbnail`;
  return example.kind === "id" ? `/images/${example.value}/thumbnail?size=${size}` : null;
}
