// The readers' page of a study. It knows nothing about the images but what it shows: a random token each.

interface Settings {
  title: string;
  viewing_ms: number;
  ask_condition: boolean;
  ask_ratings: boolean;
  ask_marks: boolean;
  ask_remark: boolean;
  practice_feedback: boolean;
}
interface Info {
  title: string;
  key_sha256: string;
  created: string;
  settings: Settings;
  conditions: string[];
  reasons: { code: string; text: string }[];
}
interface Current {
  token: string;
  image: string;
  practice: boolean;
  views: number;
}
interface State {
  reader: string;
  practice_total: number;
  practice_done: number;
  total: number;
  done: number;
  finished: boolean;
  can_undo: boolean;
  current: Current | null;
}
interface Mark {
  reason: string;
  x?: number;
  y?: number;
  w?: number;
  h?: number;
}
/** What a closed tab must not lose: the answer as far as it was given, and the name under which it is sent. */
interface Draft {
  token: string;
  answer_id: string;
  fields: Record<string, string>;
  marks: Mark[];
  response_ms: number;
  viewed_ms: number;
}

class Refused extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
  }
}

const byId = <T extends HTMLElement = HTMLElement>(id: string): T => {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
};
const make = <K extends keyof HTMLElementTagNameMap>(tag: K, text = "", attributes: Record<string, string> = {}) => {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const clamp = (v: number, low: number, high: number) => Math.min(high, Math.max(low, v));
const randomId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

const kCode = "dermgan-study-code";
const kDraft = "dermgan-study-draft";

let info: Info;
let state: State;
let code = "";
let draft: Draft;
let shownAt: number | null = null; // performance.now() when the image appeared, of this visit
let visibleSince: number | null = null;
let busy = false;
let imageUrl = "";
let hideTimer = 0;

// ---------------------------------------------------------------------------------------------------------------- server

async function ask(path: string, body?: unknown): Promise<Response> {
  const headers: Record<string, string> = {};
  if (code) headers["Authorization"] = `Bearer ${code}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
  });
  if (response.ok) return response;
  let message = `The server answered ${response.status}.`;
  let name = "";
  try {
    const error = (await response.json()) as { code?: string; message?: string };
    name = error.code ?? "";
    if (error.message) message = error.message;
  } catch {
    // No JSON: the status says it.
  }
  throw new Refused(response.status, name, message);
}

function complain(text: string) {
  const alert = byId("alert");
  alert.textContent = text;
  alert.hidden = text === "";
  if (text) alert.scrollIntoView({ block: "nearest" });
}

function explain(error: unknown) {
  if (error instanceof Refused) {
    const text = error.message;
    return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
  }
  return "The server cannot be reached. Nothing is lost: try again in a moment.";
}

function show(id: "login" | "intro" | "task" | "done") {
  for (const section of ["login", "intro", "task", "done"]) byId(section).hidden = section !== id;
  byId("leave").hidden = id === "login";
  byId("progress-area").hidden = id !== "task";
}

// ------------------------------------------------------------------------------------------------------------------ zoom

const view = { scale: 1, x: 0, y: 0 };
const kMostZoom = 8;

function place() {
  const stage = byId("stage");
  const side = stage.clientWidth;
  view.x = clamp(view.x, side * (1 - view.scale), 0);
  view.y = clamp(view.y, side * (1 - view.scale), 0);
  byId("layer").style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  byId("zoom-value").textContent = `${Math.round(view.scale * 100)} %`;
  stage.classList.toggle("zoomed", view.scale > 1);
}

/** Zooms so that the point of the image under (x, y), pixels of the stage, stays there. */
function zoom(factor: number, x?: number, y?: number) {
  const side = byId("stage").clientWidth;
  const cx = x ?? side / 2;
  const cy = y ?? side / 2;
  const scale = clamp(view.scale * factor, 1, kMostZoom);
  view.x = cx - ((cx - view.x) * scale) / view.scale;
  view.y = cy - ((cy - view.y) * scale) / view.scale;
  view.scale = scale;
  place();
}

function resetZoom() {
  view.scale = 1;
  view.x = view.y = 0;
  place();
}

const pointers = new Map<number, { x: number; y: number }>();
let drawing = false;
let drawStart: { x: number; y: number } | null = null;
let drawn: Mark | null = null;

function pointOf(event: PointerEvent | WheelEvent) {
  const bounds = byId("stage").getBoundingClientRect();
  return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
}
function fraction(p: { x: number; y: number }) {
  const side = byId("stage").clientWidth * view.scale;
  return { x: clamp((p.x - view.x) / side, 0, 1), y: clamp((p.y - view.y) / side, 0, 1) };
}

function setUpStage() {
  const stage = byId("stage");
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const p = pointOf(event);
    zoom(Math.exp(-event.deltaY * 0.0022), p.x, p.y);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    if (event.target instanceof Element && event.target.closest("#cover")) return;
    stage.setPointerCapture(event.pointerId);
    const p = pointOf(event);
    pointers.set(event.pointerId, p);
    if (drawing && pointers.size === 1) {
      drawStart = fraction(p);
      drawn = null;
    } else {
      drawStart = null;
    }
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = pointOf(event);
    if (drawStart) {
      const end = fraction(now);
      const mark = {
        reason: drawn?.reason ?? info.reasons[0]!.code,
        x: Math.min(drawStart.x, end.x), y: Math.min(drawStart.y, end.y),
        w: Math.abs(end.x - drawStart.x), h: Math.abs(end.y - drawStart.y),
      };
      if (drawn) Object.assign(drawn, mark);
      else if (mark.w > 0.015 && mark.h > 0.015) draft.marks.push((drawn = mark));
      if (drawn) renderBoxes();
      return;
    }
    if (pointers.size === 1) {
      view.x += now.x - before.x;
      view.y += now.y - before.y;
      pointers.set(event.pointerId, now);
      place();
    } else if (pointers.size === 2) {
      const other = [...pointers.entries()].find(([id]) => id !== event.pointerId)![1];
      const was = Math.hypot(before.x - other.x, before.y - other.y);
      const is = Math.hypot(now.x - other.x, now.y - other.y);
      pointers.set(event.pointerId, now);
      if (was > 0) zoom(is / was, (now.x + other.x) / 2, (now.y + other.y) / 2);
    }
  });
  const end = (event: PointerEvent) => {
    pointers.delete(event.pointerId);
    if (drawStart && drawn) {
      setDrawing(false);
      renderMarks();
      keep();
      byId("marks").querySelector<HTMLSelectElement>("li:last-child select")?.focus({ preventScroll: true });
    }
    drawStart = null;
    drawn = null;
  };
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
  stage.addEventListener("keydown", (event) => {
    if (event.target !== stage || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = stage.clientWidth / 8;
    const moves: Record<string, [number, number]> = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const move = moves[event.key];
    if (!move || view.scale === 1) return;
    event.preventDefault();
    view.x += move[0];
    view.y += move[1];
    place();
  });
  stage.addEventListener("dblclick", (event) => {
    const bounds = stage.getBoundingClientRect();
    if (!drawing) view.scale > 1 ? resetZoom() : zoom(2.5, event.clientX - bounds.left, event.clientY - bounds.top);
  });
  byId("zoom-in").addEventListener("click", () => zoom(1.5));
  byId("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  byId("zoom-reset").addEventListener("click", resetZoom);
  window.addEventListener("resize", place);
}

// ----------------------------------------------------------------------------------------------------------------- marks

function setDrawing(on: boolean) {
  drawing = on;
  byId("draw").setAttribute("aria-pressed", String(on));
  byId("draw-help").hidden = !on;
  byId("stage").classList.toggle("drawing", on);
}

function renderBoxes() {
  const boxes = byId("boxes");
  boxes.replaceChildren();
  draft.marks.forEach((mark, i) => {
    if (mark.x === undefined || mark.y === undefined || mark.w === undefined || mark.h === undefined) return;
    const box = make("div", "", { class: "box" });
    box.style.left = `${mark.x * 100}%`;
    box.style.top = `${mark.y * 100}%`;
    box.style.width = `${mark.w * 100}%`;
    box.style.height = `${mark.h * 100}%`;
    box.append(make("span", String(i + 1)));
    boxes.append(box);
  });
}

function renderMarks() {
  const list = byId("marks");
  list.replaceChildren();
  draft.marks.forEach((mark, i) => {
    const row = make("li");
    const where = mark.x === undefined ? "the whole image" : "a box";
    row.append(make("span", String(i + 1), { class: "number", "aria-hidden": "true" }));
    const select = make("select", "", { "aria-label": `Mark ${i + 1}, ${where}: what looks wrong` });
    for (const reason of info.reasons) {
      const text = mark.x === undefined ? `${reason.text} (whole image)` : reason.text;
      select.append(make("option", text, { value: reason.code }));
    }
    select.value = mark.reason;
    select.addEventListener("change", () => {
      mark.reason = select.value;
      keep();
    });
    const remove = make("button", "Remove", { type: "button", "aria-label": `Remove mark ${i + 1}`, class: "quiet" });
    remove.addEventListener("click", () => {
      draft.marks.splice(i, 1);
      renderMarks();
      keep();
      byId("draw").focus();
    });
    if (mark.x !== undefined) {
      // Arrow keys on "Remove" move the box: they have no other use on a button.
      remove.addEventListener("keydown", (event) => moveBox(mark, event));
    }
    row.append(select, remove);
    list.append(row);
  });
  byId<HTMLButtonElement>("draw").disabled = byId<HTMLButtonElement>("whole").disabled = draft.marks.length >= 20;
  renderBoxes();
}

function moveBox(mark: Mark, event: KeyboardEvent) {
  const steps: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = steps[event.key];
  if (!step || mark.x === undefined || mark.y === undefined || mark.w === undefined || mark.h === undefined) return;
  event.preventDefault();
  const by = 0.02;
  if (event.shiftKey) {
    mark.w = clamp(mark.w + step[0] * by, 0.04, 1 - mark.x);
    mark.h = clamp(mark.h + step[1] * by, 0.04, 1 - mark.y);
  } else {
    mark.x = clamp(mark.x + step[0] * by, 0, 1 - mark.w);
    mark.y = clamp(mark.y + step[1] * by, 0, 1 - mark.h);
  }
  renderBoxes();
  keep();
}

// ------------------------------------------------------------------------------------------------------------------ form

function scales() {
  for (const field of document.querySelectorAll<HTMLFieldSetElement>("fieldset[data-scale]")) {
    const steps = make("div", "", { class: "steps" });
    const low = field.dataset["low"] ?? "";
    const high = field.dataset["high"] ?? "";
    for (let i = 1; i <= 5; ++i) {
      const label = make("label");
      const note = i === 1 ? `, ${low}` : i === 5 ? `, ${high}` : "";
      label.append(make("input", "", { type: "radio", name: field.dataset["scale"] ?? "", value: String(i), "aria-label": `${i} of 5${note}` }));
      label.append(make("span", String(i)));
      steps.append(label);
    }
    const ends = make("div", "", { class: "ends", "aria-hidden": "true" });
    ends.append(make("span", low), make("span", high));
    field.append(steps, ends);
  }
}

const form = () => byId<HTMLFormElement>("answer");
const value = (name: string) => String(new FormData(form()).get(name) ?? "");

function missing(): string[] {
  const asked: [string, string, boolean][] = [
    ["verdict", "real or synthetic", true],
    ["confidence", "how sure you are", true],
    ["condition", "the condition", info.settings.ask_condition],
    ["realism", "how realistic it looks", info.settings.ask_ratings],
    ["artefacts", "artefacts", info.settings.ask_ratings],
  ];
  return asked.filter(([name, , wanted]) => wanted && value(name) === "").map(([, text]) => text);
}

function refresh() {
  const left = missing();
  const started = ["verdict", "confidence"].some((name) => value(name) !== "");
  byId("missing").textContent = left.length && started ? `Still to say: ${left.join(", ")}` : "";
}

/** Viewing time so far: the image is there and the tab is in front. */
function viewed() {
  return draft.viewed_ms + (visibleSince === null ? 0 : performance.now() - visibleSince);
}
function responded() {
  return draft.response_ms + (shownAt === null ? 0 : performance.now() - shownAt);
}

/** Keeps the answer so far for the case that the tab is closed. */
function keep() {
  for (const name of ["verdict", "confidence", "condition", "realism", "artefacts", "remark"]) draft.fields[name] = value(name);
  try {
    localStorage.setItem(kDraft, JSON.stringify({ ...draft, viewed_ms: viewed(), response_ms: responded() }));
  } catch {
    // Private windows may refuse: then a closed tab loses the one unsent answer.
  }
  refresh();
}

function takeDraft(token: string) {
  draft = { token, answer_id: randomId(), fields: {}, marks: [], response_ms: 0, viewed_ms: 0 };
  try {
    const kept = JSON.parse(localStorage.getItem(kDraft) ?? "null") as Draft | null;
    if (kept && kept.token === token && Array.isArray(kept.marks)) draft = kept;
  } catch {
    // Not ours, or broken: begin afresh.
  }
  form().reset();
  for (const [name, text] of Object.entries(draft.fields)) {
    if (!text) continue;
    const field = form().elements.namedItem(name);
    if (field instanceof RadioNodeList || field instanceof HTMLSelectElement || field instanceof HTMLTextAreaElement) field.value = text;
  }
}

function stopViewing() {
  if (visibleSince !== null) draft.viewed_ms += performance.now() - visibleSince;
  visibleSince = null;
}

function cover(text: string, button: boolean) {
  byId("cover-text").textContent = text;
  byId("show").hidden = !button;
  byId("cover").hidden = false;
}

/** Fetches the image of this showing and puts it on the stage. */
async function present() {
  const current = state.current;
  if (!current) return;
  const response = await ask(current.image);
  const blob = await response.blob();
  if (imageUrl) URL.revokeObjectURL(imageUrl);
  imageUrl = URL.createObjectURL(blob);
  const image = byId<HTMLImageElement>("image");
  image.src = imageUrl;
  await image.decode();
  byId("cover").hidden = true;
  await new Promise(requestAnimationFrame);
  shownAt = performance.now();
  visibleSince = document.visibilityState === "visible" ? shownAt : null;
  if (info.settings.viewing_ms > 0) {
    hideTimer = window.setTimeout(() => {
      stopViewing();
      image.removeAttribute("src");
      cover("The time for this image is over. Please answer.", false);
    }, info.settings.viewing_ms);
  }
}

async function render() {
  window.clearTimeout(hideTimer);
  byId<HTMLProgressElement>("progress").max = Math.max(1, state.total);
  byId<HTMLProgressElement>("progress").value = state.done;
  byId("undo").hidden = byId("undo-done").hidden = !state.can_undo;
  const current = state.current;
  if (!current) {
    show("done");
    byId("main").focus();
    return;
  }
  byId("progress-text").textContent = current.practice
    ? `Practice ${state.practice_done + 1} of ${state.practice_total}`
    : `Image ${state.done + 1} of ${state.total}`;
  byId("practice").hidden = !current.practice;
  shownAt = visibleSince = null;
  takeDraft(current.token);
  setDrawing(false);
  resetZoom();
  renderMarks();
  refresh();
  show("task");
  place();
  window.scrollTo({ top: 0 });
  byId<HTMLImageElement>("image").removeAttribute("src");
  if (info.settings.viewing_ms > 0) {
    cover(`The image is shown for ${info.settings.viewing_ms / 1000} seconds.`, true);
    byId("show").focus();
  } else {
    cover("", false);
    await present();
    byId("stage").focus({ preventScroll: true });
  }
}

async function guarded(work: () => Promise<void>) {
  if (busy) return;
  busy = true;
  byId<HTMLButtonElement>("save").disabled = true;
  try {
    complain("");
    await work();
  } catch (error) {
    if (error instanceof Refused && error.code === "bad_code") {
      code = "";
      localStorage.removeItem(kCode);
      show("login");
    }
    complain(explain(error));
    // The server knows what comes next: after an answer from another tab, say.
    if (error instanceof Refused && (error.code === "not_now" || error.code === "no_undo")) {
      try {
        state = (await (await ask("/v1/study/state")).json()) as State;
        await render();
      } catch (again) {
        complain(explain(again));
      }
    }
  } finally {
    busy = false;
    byId<HTMLButtonElement>("save").disabled = false;
  }
}

async function save() {
  const left = missing();
  if (left.length) {
    byId("missing").textContent = `Still to say: ${left.join(", ")}`;
    return;
  }
  if (shownAt === null) {
    byId("missing").textContent = "Please look at the image first.";
    return;
  }
  keep();
  const asked = info.settings;
  const body: Record<string, unknown> = {
    token: draft.token,
    answer_id: draft.answer_id,
    verdict: value("verdict"),
    confidence: Number(value("confidence")),
    response_ms: Math.round(responded()),
    viewed_ms: Math.round(viewed()),
  };
  if (asked.ask_condition) body["condition"] = value("condition");
  if (asked.ask_ratings) {
    body["realism"] = Number(value("realism"));
    body["artefacts"] = Number(value("artefacts"));
  }
  if (asked.ask_marks) body["marks"] = draft.marks;
  if (asked.ask_remark && value("remark").trim()) body["remark"] = value("remark").trim();
  const reply = (await (await ask("/v1/study/answers", body)).json()) as { accepted: boolean; state: State; practice_source?: string };
  localStorage.removeItem(kDraft);
  const wasPractice = state.current?.practice ?? false;
  state = reply.state;
  await render();
  const notes: string[] = [];
  if (reply.practice_source) notes.push(`The last image was ${reply.practice_source === "real" ? "a real photograph" : "synthetic"}.`);
  if (wasPractice && state.current && !state.current.practice) notes.push("The practice is over: from now on your answers count.");
  complain(notes.join(" "));
}

async function undo() {
  state = ((await (await ask("/v1/study/undo", {})).json()) as { state: State }).state;
  localStorage.removeItem(kDraft);
  await render();
}

// ----------------------------------------------------------------------------------------------------------------- begin

async function enter(given: string) {
  code = given.trim();
  try {
    state = (await (await ask("/v1/study/state")).json()) as State;
  } catch (error) {
    code = "";
    throw error;
  }
  localStorage.setItem(kCode, code);
  if (state.done + state.practice_done === 0) {
    const points: string[] = [];
    if (state.practice_total) points.push(`${state.practice_total} images for practice come first; they do not count.`);
    points.push(`Then ${state.total} images. Some may come up again; please judge each as if you had not seen it.`);
    if (info.settings.viewing_ms) points.push(`Each image is shown for ${info.settings.viewing_ms / 1000} seconds.`);
    else points.push("Take the time that you need. You can zoom, and take back the last answer.");
    points.push("How many of the images are real is not told.");
    byId("intro-points").replaceChildren(...points.map((text) => make("li", text)));
    show("intro");
    byId("start").focus();
  } else {
    await render();
  }
}

function leave() {
  code = "";
  localStorage.removeItem(kCode);
  stopViewing();
  window.clearTimeout(hideTimer);
  byId<HTMLInputElement>("code").value = "";
  complain("");
  show("login");
}

function setUpKeys() {
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (byId("task").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return;
    const pick = (name: string, chosen: string) => {
      const field = form().querySelector<HTMLInputElement>(`input[name="${name}"][value="${chosen}"]`);
      if (!field) return;
      field.checked = true;
      keep();
    };
    const key = event.key.toLowerCase();
    if (key === "r") pick("verdict", "real");
    else if (key === "s") pick("verdict", "synthetic");
    else if (/^[1-5]$/.test(key)) pick("confidence", key);
    else if (key === "+" || key === "=") zoom(1.5);
    else if (key === "-") zoom(1 / 1.5);
    else if (key === "0") resetZoom();
    else if (key === "enter" && !(target instanceof HTMLButtonElement)) void guarded(save);
    else return;
    event.preventDefault();
  });
}

function fromHash() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return location.hash.slice(1); // a stray per cent sign: the server says that this is no code
  }
}

async function begin() {
  info = (await (await ask("/v1/study")).json()) as Info;
  document.title = info.title;
  byId("title").textContent = info.title;
  byId("hash").textContent = byId("hash-done").textContent = info.key_sha256;
  byId("created").textContent = info.created.replace("T", " ").replace("Z", " UTC");
  const asked = info.settings;
  byId("condition-field").hidden = !asked.ask_condition;
  byId("realism-field").hidden = byId("artefacts-field").hidden = !asked.ask_ratings;
  byId("marks-field").hidden = !asked.ask_marks;
  byId("remark-field").hidden = !asked.ask_remark;
  const condition = byId<HTMLSelectElement>("condition");
  condition.append(make("option", "Please choose", { value: "" }));
  for (const name of info.conditions) condition.append(make("option", name.replaceAll("_", " "), { value: name }));
  condition.append(make("option", "I cannot tell", { value: "unsure" }));
  scales();
  setUpStage();
  setUpKeys();

  byId("login-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void guarded(() => enter(byId<HTMLInputElement>("code").value));
  });
  byId("start").addEventListener("click", () => void guarded(render));
  byId("leave").addEventListener("click", leave);
  byId("undo").addEventListener("click", () => void guarded(undo));
  byId("undo-done").addEventListener("click", () => void guarded(undo));
  byId("show").addEventListener("click", () => void guarded(present));
  byId("draw").addEventListener("click", (event) => {
    // A click by keyboard has no place: the box comes to the middle and is moved by the arrow keys.
    if ((event as MouseEvent).detail === 0) {
      draft.marks.push({ reason: info.reasons[0]!.code, x: 0.35, y: 0.35, w: 0.3, h: 0.3 });
      byId("draw-help").hidden = false;
      renderMarks();
      keep();
      byId("marks").querySelector<HTMLButtonElement>("li:last-child button")?.focus();
    } else {
      setDrawing(!drawing);
    }
  });
  byId("whole").addEventListener("click", () => {
    draft.marks.push({ reason: info.reasons[0]!.code });
    renderMarks();
    keep();
    byId("marks").querySelector<HTMLSelectElement>("li:last-child select")?.focus();
  });
  form().addEventListener("input", keep);
  form().addEventListener("change", keep);
  form().addEventListener("submit", (event) => {
    event.preventDefault();
    void guarded(save);
  });
  document.addEventListener("visibilitychange", () => {
    if (byId("task").hidden || shownAt === null || !byId("cover").hidden) return;
    if (document.visibilityState === "hidden") stopViewing();
    else visibleSince ??= performance.now();
    keep();
  });

  // An invitation may carry the code behind '#', which browsers do not send to servers; it goes from the address at once.
  const invited = fromHash();
  if (invited) history.replaceState(null, "", location.pathname);
  const known = invited || localStorage.getItem(kCode) || "";
  if (known) {
    await guarded(() => enter(known));
    if (!code) show("login");
  } else {
    show("login");
    byId("code").focus();
  }
}

begin().catch((error: unknown) => complain(explain(error)));
