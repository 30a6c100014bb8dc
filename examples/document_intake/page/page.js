// The page: sends documents, watches them being read, and shows what was found. No library, no other host.

const find = (id) => document.getElementById(id);
const say = (text) => { find("status").textContent = text; };
const number = new Intl.NumberFormat();
const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const STEPS = { sending: "Sending", pending: "Waiting to be read", processing: "Being read" };
const LABELS = {
  kind: "Kind", format: "Format", pages: "Pages", unreadable_pages: "Pages that could not be read", characters: "Characters", words: "Words", lines: "Lines",
  width: "Width", height: "Height", mode: "Colours",
};
const KINDS = { text: "Text", markdown: "Markdown", pdf: "PDF", image: "Image" };
let maxBytes = Infinity;
let next = null;
let shown = null;

function size(bytes) {
  const units = ["byte", "kilobyte", "megabyte"];
  const step = bytes < 1000 ? 0 : bytes < 1e6 ? 1 : 2;
  const options = { style: "unit", unit: units[step], unitDisplay: step ? "short" : "long", maximumFractionDigits: step ? 1 : 0 };
  return new Intl.NumberFormat(undefined, options).format(bytes / 1000 ** step);
}

function plural(count, one, many) { return count === undefined ? "" : `${number.format(count)} ${count === 1 ? one : many}`; }

function summary(item) {
  const facts = item.facts ?? {};
  if (item.state === "failed") return item.error ?? "It could not be read.";
  if (item.state in STEPS) return `${STEPS[item.state]}${item.progress ? `, ${Math.round(item.progress * 100)} %` : "…"}`;
  const dimensions = facts.width ? `${number.format(facts.width)} × ${number.format(facts.height)} pixels` : "";
  const what = [facts.format ?? KINDS[facts.kind], dimensions,
    plural(facts.pages, "page", "pages"), plural(facts.words, "word", "words")];
  return [...what, size(item.size), when.format(new Date(item.created_at))]
    .filter(Boolean).map((part) => part.replaceAll(" ", "\u00a0")).join(" · ");
}

async function ask(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(body.detail ?? `The server answered ${answer.status}.`), { status: answer.status });
  return body;
}

// One row of the list. What it shows is always drawn from `item`, so that no two places can disagree.
function makeRow(item) {
  const row = find("row").content.firstElementChild.cloneNode(true);
  const [name, about, bar, again] = [".name", ".about", "progress", ".again"].map((part) => row.querySelector(part));
  const draw = (changes = {}) => {
    Object.assign(item, changes);
    row.dataset.state = item.state;
    name.textContent = item.name;
    if (item.id) name.href = `#document=${item.id}`;
    about.textContent = summary(item);
    bar.hidden = !(item.state in STEPS);
    bar.setAttribute("aria-label", `${item.name}: ${STEPS[item.state] ?? "done"}`);
    if (item.progress) bar.value = item.progress; else bar.removeAttribute("value");
    again.hidden = !item.again;
    again.onclick = item.again ?? null;
  };
  draw();
  return { row, item, draw };
}

function send(file) {
  const entry = makeRow({ name: file.name, size: file.size, state: "sending", progress: 0 });
  find("list").prepend(entry.row);
  find("empty").hidden = true;
  if (file.size > maxBytes) return refuse(entry, `It is larger than ${size(maxBytes)} and was not sent.`);
  say(`${file.name}: sending.`);
  const form = new FormData();
  form.append("file", file);
  return new Promise((resolve) => {
    // XMLHttpRequest and not fetch: only it tells how much has been sent, which on a slow link is all there is to see.
    const request = new XMLHttpRequest();
    request.upload.onprogress = (event) => entry.draw({ progress: event.total ? event.loaded / event.total : 0 });
    request.onerror = request.onabort = () => resolve(refuse(entry, "The connection was lost before all of it was sent.", file));
    request.onload = () => {
      const body = request.response ?? {};
      if (request.status < 200 || request.status > 299) return resolve(refuse(entry, body.detail ?? `The server answered ${request.status}.`, request.status >= 500 && file));
      entry.draw({ id: body.document_id, job_id: body.job_id, state: "pending", progress: 0, created_at: new Date().toISOString() });
      say(`${file.name}: sent, waiting to be read.`);
      watch(entry);
      return resolve();
    };
    request.open("POST", "upload");
    request.responseType = "json";
    request.send(form);
  });
}

function refuse(entry, reason, file) {
  entry.draw({ state: "failed", error: reason, again: file ? () => { entry.row.remove(); send(file); } : null });
  say(`${entry.item.name}: ${reason}`);
}

// Ask how far a document is until it is done; less and less often, so that a slow link is not filled with questions.
async function watch(entry) {
  for (let wait = 250; ; wait = Math.min(wait * 1.4, 4000)) {
    await pause(wait);
    try {
      const job = await ask(`jobs/${entry.item.job_id}`);
      if (job.state === "completed" || job.state === "failed" || job.state === "cancelled") break;
      if (job.state !== entry.item.state) wait = 250;
      entry.draw({ state: job.state, progress: job.progress });
    } catch (error) {
      if (error.status === 404) break;
      entry.draw({ progress: 0 });
    }
  }
  const found = await again(() => ask(`documents/${entry.item.id}`));
  entry.draw({ ...found, text: undefined, progress: 0 });
  say(`${found.name}: ${found.state === "failed" ? "" : "read. "}${summary(entry.item)}`);
  if (location.hash === `#document=${found.id}`) await show();
}

async function again(question) {
  for (;;) {
    try { return await question(); } catch (error) { if (error.status && error.status < 500) throw error; }
    await pause(3000);
  }
}

async function list(after) {
  const page = await again(() => ask(`documents${after ? `?after=${encodeURIComponent(after)}` : ""}`));
  for (const item of page.documents) {
    const entry = makeRow(item);
    find("list").append(entry.row);
    if (item.state === "pending" && item.job_id) watch(entry);
  }
  next = page.next;
  find("more").hidden = !next;
  find("empty").hidden = find("list").children.length > 0;
}

function fact(term, value, style) {
  const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
  dt.textContent = term;
  dd.textContent = typeof value === "number" ? number.format(value) : value;
  if (style) dd.className = style;
  find("facts").append(dt, dd);
}

// What the address names: one document (#document=…) or all of them. So Back works, and a document can be bookmarked.
async function show() {
  const id = new URLSearchParams(location.hash.slice(1)).get("document");
  find("overview").hidden = Boolean(id);
  find("detail").hidden = !id;
  if (!id) {
    document.title = "Document intake";
    document.querySelector(`.name[href="#document=${shown}"]`)?.focus();
    return;
  }
  shown = id;
  find("name").textContent = "…";
  find("facts").replaceChildren();
  let found;
  try { found = await ask(`documents/${id}`); } catch (error) { found = { name: "Not found", state: "failed", error: error.message }; }
  if (location.hash !== `#document=${id}`) return;
  document.title = `${found.name} · Document intake`;
  find("name").textContent = found.name;
  find("problem").textContent = found.error ?? "";
  find("problem").hidden = !found.error;
  for (const [key, label] of Object.entries(LABELS)) if (found.facts?.[key] !== undefined) fact(label, KINDS[found.facts[key]] ?? found.facts[key]);
  if (found.state === "pending") fact("State", "Being read");
  if (found.size) fact("Size", size(found.size));
  if (found.created_at) fact("Received", when.format(new Date(found.created_at)));
  if (found.facts?.sha256) fact("SHA-256", found.facts.sha256, "digest");
  find("open").hidden = !found.url;
  find("open").href = found.url ?? "#";
  find("reading").hidden = !found.text;
  find("text").textContent = found.text ?? "";
  find("cut").hidden = found.facts?.is_text_complete !== false;
  find("name").focus();
}

async function sendAll(files) {
  for (const file of files) await send(file); // one after another: on a slow link, two at once are two slow ones
}

find("file").addEventListener("change", (event) => {
  sendAll([...event.target.files]);
  event.target.value = "";
});
find("upload").addEventListener("submit", (event) => event.preventDefault());
find("more").addEventListener("click", () => list(next));
window.addEventListener("hashchange", show);
for (const kind of ["dragenter", "dragover"]) {
  window.addEventListener(kind, (event) => { event.preventDefault(); find("drop").classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  window.addEventListener(kind, (event) => { event.preventDefault(); find("drop").classList.remove("over"); });
}
window.addEventListener("drop", (event) => { if (event.dataTransfer?.files.length) sendAll([...event.dataTransfer.files]); });

ask("limits").then((limits) => {
  maxBytes = limits.max_upload_bytes;
  find("limit").textContent = `, up to ${size(maxBytes).replace(" ", "\u00a0")}`;
}).catch(() => {});
list();
show();
