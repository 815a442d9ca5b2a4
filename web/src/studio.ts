// The studio's page: state, the live picture, strips, the basket.
import * as api from './api';
import { ApiError, type Capabilities, type Controls, type Job, type Region, regionsOf, withRegions } from './api';
import { Brush, Editor, type EditorState, type Lesion, type Shape, type Tool, drawFrame, kept, kMaskSide, regionFields, sides } from './editor';

const $ = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;

function make<K extends keyof HTMLElementTagNameMap>(tag: K, facts: Partial<HTMLElementTagNameMap[K]> = {},
                                                     ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), facts);
  element.append(...children);
  return element;
}

const words = (name: string): string => name.replace(/_/g, ' ');
const signed = (v: number): string => (v > 0 ? '+' : '') + v.toFixed(1);
const percent = (v: number): string => `${Math.round(v * 100)} %`;

// ---------------------------------------------------------------- state

/** What the model can be asked for. What it does not heed has a stand-in here, is not shown and never sent. */
let offer: Capabilities & { controls: Required<Capabilities['controls']> };
let heeds = { condition: true, skin: true, region: true };
const newLesion = (condition: string, shape: Shape, tool: Tool = 'blob'): Lesion => ({ condition, tool, shape, brush: new Brush() });
const state = {
  skin: '',
  seed: Math.floor(Math.random() * 1e4),
  directions: [] as number[],
  editor: { lesions: [newLesion('', { x: 0.5, y: 0.5, size: 0.35, aspect: 1 })], active: 0, brushWidth: 0.08, erasing: false } as EditorState,
};
/** The lesion that is edited. */
const lesion = (): Lesion => state.editor.lesions[state.editor.active];
/** The colour of state.skin, as far as it is known. */
let skinNow: { hex: string; ita: number; extrapolated: boolean } = { hex: '#c89b7b', ita: 25, extrapolated: false };
const kStandIn: api.SkinStep = { hex: '#c89b7b', ita_deg: -60, extrapolated: false };

function request(): Controls {
  const directions = state.directions.some((v) => v !== 0) ? { directions: [...state.directions] } : {};
  return withRegions({ skin: state.skin, seed: state.seed, ...directions } as Controls, state.editor.lesions.map(regionFields));
}

/** The part of a request that the model heeds: what is sent. */
function told(r: Controls): Partial<Controls> {
  const { condition, skin, seed, directions, ...region } = r;
  return {
    seed, ...(directions ? { directions } : {}), ...(heeds.condition ? { condition } : {}), ...(heeds.skin ? { skin } : {}),
    ...(heeds.region ? region : {}),
  };
}

// ---------------------------------------------------------------- messages

const status = $('status');
function say(text: string, bad = false): void {
  status.textContent = text;
  status.classList.toggle('bad', bad);
}

let askingForToken: Promise<void> | undefined;
function askForToken(): Promise<void> {
  askingForToken ??= new Promise((done) => {
    const dialog = $<HTMLDialogElement>('token');
    dialog.showModal();
    $<HTMLFormElement>('token-form').onsubmit = (e) => {
      e.preventDefault();
      api.setToken($<HTMLInputElement>('token-text').value.trim());
      dialog.close();
      askingForToken = undefined;
      done();
    };
  });
  return askingForToken;
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Runs `work`; asks for the token, and waits where the server says "later". */
async function patient<T>(work: () => Promise<T>, stillWanted: () => boolean = () => true): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ApiError) || !stillWanted()) throw error;
      if (error.status === 401) await askForToken();
      else if (error.status === 429 || error.code === 'busy') {
        const seconds = error.retryAfter || 1;
        say(`The server is busy; asking again in ${seconds} s.`);
        await pause(seconds * 1000);
        if (!stillWanted()) throw error;
      } else throw error;
    }
  }
}

// ---------------------------------------------------------------- the live picture

interface Shown { job: string; request: Controls; image: ImageBitmap; blob: Blob; extrapolated: boolean }
let shown: Shown | undefined;
let outline: ImageBitmap | undefined;  // the asked regions where one has a natural outline, white on black

/** At most one request is under way. What is wanted meanwhile is kept, and only the newest of it: so the picture follows
 *  a moving slider at the rate at which images can be made, and the last position is always shown. */
class Live {
  private wanted: Controls | undefined;
  private running = false;
  private follow: AbortController | undefined;
  private number = 0;
  /** Called once the first picture is there and measured. */
  first: (() => void) | undefined;

  want(controls: Controls): void {
    this.wanted = controls;
    ++this.number;
    this.follow?.abort();  // measuring a picture that is passing by
    if (!this.running) void this.loop();
  }

  private async loop(): Promise<void> {
    this.running = true;
    while (this.wanted) {
      const controls = this.wanted;
      this.wanted = undefined;
      const waiting = new AbortController();
      // A job that still waits in a long queue is given up for a newer one.
      const watch = setInterval(() => { if (this.wanted && performance.now() - begin > 1500) waiting.abort(); }, 100);
      const begin = performance.now();
      $('stale').hidden = false;
      try {
        const empty = !heeds.region ? -1 : state.editor.lesions.findIndex((l) => l.tool === 'brush' && l.brush.area() < 0.0005);
        if (empty >= 0) {
          say(`Draw ${state.editor.lesions.length > 1 ? `lesion ${empty + 1}` : 'the lesion'} on one of the pictures.`);
          continue;
        }
        const natural = heeds.region && regionsOf(controls).some((r) => r.shape === 'blob');
        const [job, region] = await patient(() => Promise.all([
          api.run({ ...told(controls), model: offer.model }, { signal: waiting.signal }),
          natural ? api.regionMask({ ...told(controls), model: offer.model }, waiting.signal) : undefined,
        ]), () => !this.wanted);
        const blob = await api.result(job.results[0], waiting.signal);
        const image = await createImageBitmap(blob);
        outline = region ? await createImageBitmap(region) : undefined;
        shown?.image.close();
        shown = { job: job.id, request: controls, image, blob, extrapolated: job.requests[0].extrapolated ?? false };
        draw();
        await new Promise(requestAnimationFrame);  // the frame that shows it
        const ms = Math.round(performance.now() - begin);
        $('time').textContent = `${ms} ms`;
        document.body.dataset.shown = String(Number(document.body.dataset.shown ?? 0) + 1);
        if (!this.wanted) {
          say(`Seed ${controls.seed}, made in ${ms} ms.`);
          void this.measure(job, this.number).then(() => {
            this.first?.();
            this.first = undefined;
          });
        }
      } catch (error) {
        if (!waiting.signal.aborted) say((error as Error).message, true);
        if (error instanceof ApiError && error.status === 0 && error.code === 'unreachable' && !this.wanted) {
          await pause(2000);
          this.wanted ??= controls;
        }
      } finally {
        clearInterval(watch);
      }
    }
    $('stale').hidden = true;
    this.running = false;
  }

  private async measure(job: Job, number: number): Promise<void> {
    this.follow = new AbortController();
    try {
      await pause(120);
      if (number !== this.number) return;
      const measured = await api.measure(job.id, 0, this.follow.signal);
      if (number === this.number) showMeasured(measured);
    } catch (error) {
      if (!this.follow.signal.aborted) say((error as Error).message, true);
    }
  }
}
const live = new Live();

function changed(): void {
  $('measures').classList.add('old');
  refresh();
  live.want(request());
}

function measureTile(title: string, value: (Node | string)[], off: boolean): HTMLElement {
  const b = make('b', {}, ...value);
  const tile = make('div', { className: off ? 'measure off' : 'measure' }, title, b);
  return tile;
}
function swatch(hex: string): HTMLElement {
  const i = make('i');
  i.style.backgroundColor = hex;
  return i;
}

function showMeasured(m: api.Measured): void {
  const box = $('measures');
  const none = 'none found';
  const error = (v: number | null) => (v === null ? none : percent(v));
  const tiles: HTMLElement[] = [];
  if (m.condition) {
    const { asked, seen, probability } = m.condition;
    const tile = measureTile('condition seen', [words(seen)], asked !== null && seen !== asked);
    tile.classList.add('named');
    tile.title = 'By the classifier';
    if (asked !== null && probability !== null) tile.title += `: ${words(asked)} with probability ${probability.toFixed(2)}`;
    tiles.push(tile);
  }
  // Where the model could not be asked, what was measured stands alone.
  const { skin, ita_deg: ita, area } = m;
  if (skin.asked !== null && skin.ciede2000 !== null && ita.asked !== null) {
    tiles.push(
      measureTile('skin colour', [swatch(skin.asked), swatch(skin.measured), `ΔE ${skin.ciede2000.toFixed(1)}`], skin.ciede2000 > 5),
      measureTile('ITA', [`${ita.asked.toFixed(0)}° → ${ita.measured.toFixed(0)}°`], Math.abs(ita.asked - ita.measured) > 8));
  } else tiles.push(measureTile('skin colour', [swatch(skin.measured), `ITA ${ita.measured.toFixed(0)}°`], false));
  if (area.asked !== null) {
    tiles.push(
      measureTile('lesion area', [m.found ? `${percent(area.asked)} → ${percent(area.measured)}` : none], !m.found || Math.abs(area.measured / area.asked - 1) > 0.5),
      measureTile('centre off by', [error(m.centre.distance)], m.centre.distance === null || m.centre.distance > 0.08));
  } else tiles.push(measureTile('lesion area', [m.found ? percent(area.measured) : none], !m.found));
  if (m.region_iou !== null) tiles.push(measureTile('overlap (IoU)', [m.found ? m.region_iou.toFixed(2) : none], m.region_iou < 0.6));
  box.replaceChildren(...tiles);
  box.classList.remove('old');
  box.dataset.ready = 'true';
}

// ---------------------------------------------------------------- drawing

const askedPen = canvasOf('asked'), madePen = canvasOf('stage');
function canvasOf(id: string): CanvasRenderingContext2D {
  return $(id).querySelector('canvas')!.getContext('2d')!;
}

function mixed(hex: string, factor: number): string {
  const v = [1, 3, 5].map((i) => Math.round(parseInt(hex.slice(i, i + 2), 16) * factor));
  return `rgb(${v.join(' ')})`;
}

function regionPath(pen: CanvasRenderingContext2D, side: number, { tool, shape: s }: Lesion): void {
  const [w, h] = sides(s);
  pen.beginPath();
  if (tool === 'box') pen.rect((s.x - w / 2) * side, (s.y - h / 2) * side, w * side, h * side);
  else pen.ellipse(s.x * side, s.y * side, w / 2 * side, h / 2 * side, 0, 0, 2 * Math.PI);
}

const layer = document.createElement('canvas');
layer.width = layer.height = kMaskSide;
/** A mask, white on black, as a layer of one colour. */
function tinted(mask: CanvasImageSource, colour: string, edgeOnly: boolean): HTMLCanvasElement {
  const pen = layer.getContext('2d', { willReadFrequently: true })!;
  pen.globalCompositeOperation = 'copy';
  pen.drawImage(mask, 0, 0, kMaskSide, kMaskSide);
  const picture = pen.getImageData(0, 0, kMaskSide, kMaskSide);
  const d = picture.data, inside = new Uint8Array(kMaskSide * kMaskSide);
  for (let i = 0; i < inside.length; ++i) inside[i] = d[i * 4] >= 128 ? 1 : 0;
  for (let i = 0; i < inside.length; ++i) {
    const x = i % kMaskSide;
    const edge = inside[i] && (x === 0 || x === kMaskSide - 1 || i < kMaskSide || i >= inside.length - kMaskSide ||
                               !inside[i - 1] || !inside[i + 1] || !inside[i - kMaskSide] || !inside[i + kMaskSide]);
    d[i * 4 + 3] = (edgeOnly ? edge : inside[i]) ? 255 : 0;
  }
  pen.putImageData(picture, 0, 0);
  pen.globalCompositeOperation = 'source-in';
  pen.fillStyle = colour;
  pen.fillRect(0, 0, kMaskSide, kMaskSide);
  return layer;
}

/** Where the lesions lie, and the seed that natural outlines are drawn from. */
const placeOf = (r: Controls): string => JSON.stringify([r.seed, regionsOf(r).map((g) => [g.shape, g.x, g.y, g.size, g.aspect, g.mask])]);

/** The outlines as the server tells them, once it has told those of the present lesions. */
function naturalOutline(): CanvasImageSource | undefined {
  return outline && shown && placeOf(request()) === placeOf(shown.request) ? outline : undefined;
}

function fit(pen: CanvasRenderingContext2D): number {
  const canvas = pen.canvas;
  const side = Math.max(64, Math.round(canvas.clientWidth * Math.min(2, devicePixelRatio)));
  if (canvas.width !== side) canvas.width = canvas.height = side;
  pen.imageSmoothingQuality = 'high';
  return side;
}

function draw(): void {
  const natural = naturalOutline();
  const { lesions, active } = state.editor;
  const frames = (pen: CanvasRenderingContext2D, side: number) => {
    lesions.forEach((l, i) => { if (i !== active) drawFrame(pen, side, l, false); });
    drawFrame(pen, side, lesions[active], true);
  };
  {
    const side = fit(askedPen);
    askedPen.fillStyle = skinNow.hex;
    askedPen.fillRect(0, 0, side, side);
    const colour = mixed(skinNow.hex, 0.5);
    if (natural) askedPen.drawImage(tinted(natural, colour, false), 0, 0, side, side);
    else {
      for (const l of lesions) {
        if (l.tool === 'brush') {
          askedPen.drawImage(tinted(l.brush.canvas, colour, false), 0, 0, side, side);
          continue;
        }
        regionPath(askedPen, side, l);
        askedPen.fillStyle = colour;
        askedPen.globalAlpha = l.tool === 'blob' ? 0.55 : 1;
        askedPen.fill();
        askedPen.globalAlpha = 1;
      }
    }
    frames(askedPen, side);
  }
  {
    const side = fit(madePen);
    madePen.clearRect(0, 0, side, side);
    if (shown) madePen.drawImage(shown.image, 0, 0, side, side);
    if (!heeds.region || !$<HTMLInputElement>('outline').checked) return;
    const ratio = side / 512;
    const edge = (mask: CanvasImageSource) => {
      madePen.globalAlpha = 0.9;
      madePen.drawImage(tinted(mask, '#fff', true), 0, 0, side, side);
      madePen.globalAlpha = 1;
    };
    if (natural) edge(natural);
    else {
      for (const l of lesions) {
        if (l.tool === 'brush') {
          edge(l.brush.canvas);
          continue;
        }
        regionPath(madePen, side, l);
        madePen.lineWidth = 2 * ratio;
        madePen.strokeStyle = 'rgba(255,255,255,.85)';
        madePen.stroke();
      }
    }
    if (document.activeElement === $('stage')) frames(madePen, side);
  }
}

// ---------------------------------------------------------------- controls

interface Slider { set(v: number): void }
function slider(host: HTMLElement, name: string, min: number, max: number, step: number, text: (v: number) => string,
                change: (v: number) => void, id = `slider-${name}`): Slider {
  const input = make('input', { type: 'range', min: String(min), max: String(max), step: String(step), id });
  const out = make('output', {});
  out.htmlFor.add(input.id);
  const label = make('label', { htmlFor: input.id }, name);
  input.addEventListener('input', () => change(Number(input.value)));
  host.append(make('div', { className: 'slider' }, label, input, out));
  return {
    set(v) {
      input.value = String(v);
      out.textContent = text(v);
      input.setAttribute('aria-valuetext', text(v));
    },
  };
}

/** Radio buttons as a row of buttons: arrows move between them, as the pattern asks. */
function radios(host: HTMLElement, entries: { value: string; label: Node | string; name: string; far?: boolean; colour?: string }[],
                choose: (value: string) => void): (value: string | undefined) => void {
  const buttons = entries.map((entry) => {
    const b = make('button', { type: 'button', title: entry.name }, entry.label);
    b.setAttribute('role', 'radio');
    b.setAttribute('aria-label', entry.far ? `${entry.name}, beyond the data` : entry.name);
    b.dataset.value = entry.value;
    if (entry.far) b.classList.add('far');
    if (entry.colour) b.style.backgroundColor = entry.colour;
    b.addEventListener('click', () => choose(entry.value));
    b.addEventListener('keydown', (e) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
      if (!step) return;
      e.preventDefault();
      const next = buttons[(buttons.indexOf(b) + step + buttons.length) % buttons.length];
      next.focus();
      choose(next.dataset.value!);
    });
    return b;
  });
  host.replaceChildren(...buttons);
  return (value) => {
    const any = buttons.some((b) => b.dataset.value === value);
    buttons.forEach((b, i) => {
      const chosen = b.dataset.value === value;
      b.setAttribute('aria-checked', String(chosen));
      b.tabIndex = chosen || (!any && i === 0) ? 0 : -1;
    });
  };
}

let markCondition: (v: string | undefined) => void, markMonk: typeof markCondition, markTool: typeof markCondition;
let directionSliders: Slider[] = [];
let sizeSlider: Slider, aspectSlider: Slider, xSlider: Slider, ySlider: Slider, brushSlider: Slider;

const toolNames = { blob: 'Natural', ellipse: 'Ellipse', box: 'Box', brush: 'Brush' } as const;

function buildControls(): void {
  const c = offer.controls;
  markCondition = radios($('conditions'), c.condition.values.map((v) => ({ value: v, label: words(v), name: words(v) })), (v) => {
    lesion().condition = v;
    changed();
  });
  markMonk = radios($('monk'), c.skin.monk.map((s) => ({
    value: `monk:${s.tone}`, label: '', name: `Monk ${s.tone}, ITA ${Math.round(s.ita_deg)}°`, far: s.extrapolated, colour: s.hex,
  })), (v) => chooseSkin(v));
  const scale = c.skin.ita, track = $('ita-track');
  const first = scale[0].ita_deg, span = scale[scale.length - 1].ita_deg - first;
  const at = (ita: number) => Math.min(100, Math.max(0, (ita - first) / span * 100));
  track.style.background = `linear-gradient(to right, ${scale.map((s) => `${s.hex} ${at(s.ita_deg).toFixed(1)}%`).join(', ')})`;
  const zones = [make('i'), make('i')];
  zones[0].style.left = '0';
  zones[0].style.width = `${at(c.skin.seen_ita_deg[0])}%`;
  zones[1].style.right = '0';
  zones[1].style.width = `${100 - at(c.skin.seen_ita_deg[1])}%`;
  track.replaceChildren(...zones);
  const ita = $<HTMLInputElement>('ita');
  ita.min = String(first);
  ita.max = String(first + span);

  markTool = radios($('tools'), (Object.keys(toolNames) as (keyof typeof toolNames)[]).map((v) => ({ value: v, label: toolNames[v], name: toolNames[v] })),
    (v) => chooseTool(v as Tool));
  const shape = (part: Partial<Shape>) => {
    lesion().shape = kept({ ...lesion().shape, ...part });
    changed();
  };
  const host = $('shape-sliders');
  host.replaceChildren();
  sizeSlider = slider(host, 'size', 0.04, 1, 0.01, (v) => v.toFixed(2), (v) => shape({ size: v }));
  aspectSlider = slider(host, 'form', -1.6, 1.6, 0.02, (v) => (2 ** v).toFixed(2), (v) => shape({ aspect: 2 ** v }));
  xSlider = slider(host, 'across', 0, 1, 0.01, (v) => v.toFixed(2), (v) => shape({ x: v }));
  ySlider = slider(host, 'down', 0, 1, 0.01, (v) => v.toFixed(2), (v) => shape({ y: v }));
  $('brush-slider').replaceChildren();
  brushSlider = slider($('brush-slider'), 'brush', 0.01, 0.25, 0.01, (v) => v.toFixed(2), (v) => {
    state.editor.brushWidth = v;
    refresh();
  });

  $('direction-sliders').replaceChildren();
  directionSliders = c.directions.map((d, i) => slider($('direction-sliders'), `${i + 1} ${d.name}`, d.min, d.max, 0.1, signed, (v) => {
    state.directions[i] = v;
    changed();
  }, `direction-${i + 1}`));

  $('group-condition').hidden = !heeds.condition;
  $('group-skin').hidden = !heeds.skin;
  for (const id of ['group-lesion', 'asked-figure', 'outline-check']) $(id).hidden = !heeds.region;
  $('group-directions').hidden = c.directions.length === 0;
  $('stages').classList.toggle('alone', !heeds.region);
  $('stage').setAttribute('aria-label', heeds.region ? 'The image made. The lesion can be dragged here too.' : 'The image made.');

  const sweepKey = $<HTMLSelectElement>('sweep-key');
  sweepKey.replaceChildren(...Object.entries(sweeps()).map(([key, s]) => make('option', { value: key }, s.label)));
  fillSweepRange();
}

function chooseTool(tool: Tool): void {
  const l = lesion();
  // What is there is what one goes on drawing on.
  if (tool === 'brush' && l.tool !== 'brush' && l.brush.area() === 0) l.brush.drawEllipse(l.shape);
  l.tool = tool;
  changed();
}

// ---------------------------------------------------------------- several lesions

let lesionNames: string[] = [];
let markLesion: typeof markCondition;
/** The buttons that choose the lesion to edit, made anew when there are others. */
function buildLesions(): void {
  const { lesions, active } = state.editor;
  const names = lesions.map((l, i) => `${i + 1} ${words(l.condition)}`);
  const host = $('lesions');
  if (names.join() !== lesionNames.join() || host.childElementCount !== names.length) {
    const focused = host.contains(document.activeElement);
    lesionNames = names;
    markLesion = radios(host, names.map((name, i) => ({ value: String(i), label: name, name: `Lesion ${name}` })), (v) => {
      state.editor.active = Number(v);
      refresh();
    });
    if (focused) (host.children[active] as HTMLElement).focus();
  }
  host.hidden = lesions.length < 2;
  markLesion(String(active));
  $('condition-of').textContent = lesions.length < 2 ? '' : `of lesion ${active + 1}`;
  $('lesion-remove').hidden = lesions.length < 2;
  $('lesion-remove').title = `Take lesion ${active + 1} out of the picture`;
  $('lesion-remove').setAttribute('aria-label', `Remove lesion ${active + 1}`);
  const most = offer.limits.regions_per_image;
  $<HTMLButtonElement>('lesion-add').disabled = lesions.length >= most;
  $('lesion-add').title = lesions.length >= most ? `One picture takes ${most} lesions at most` : 'Another lesion in the same picture';
}

/** A further lesion, of the same condition, where there is most room. */
function addLesion(): void {
  const { lesions } = state.editor;
  const size = Math.max(0.1, Math.min(0.25, lesion().shape.size * 0.6));
  let best = { x: 0.5, y: 0.5, size, aspect: 1 }, room = -Infinity;
  for (let x = 0.2; x < 0.85; x += 0.1) {
    for (let y = 0.2; y < 0.85; y += 0.1) {
      const free = Math.min(...lesions.map(({ shape: s }) => Math.hypot(x - s.x, y - s.y) - s.size / 2)) - 0.2 * Math.hypot(x - 0.5, y - 0.5);
      if (free > room + 1e-9) [best, room] = [{ x, y, size, aspect: 1 }, free];
    }
  }
  const tool = lesion().tool;
  lesions.push(newLesion(lesion().condition, kept(best), tool === 'brush' ? 'blob' : tool));
  state.editor.active = lesions.length - 1;
  changed();
  say(`Lesion ${lesions.length} is there; drag it, or choose its condition.`);
}

function removeLesion(): void {
  const { editor } = state;
  if (editor.lesions.length < 2) return;
  editor.lesions.splice(editor.active, 1);
  editor.active = Math.min(editor.active, editor.lesions.length - 1);
  changed();
  if (editor.lesions.length < 2) $('lesion-add').focus();
}

let skinNumber = 0;
/** @param text  #rrggbb, ita:25 or monk:6 */
function chooseSkin(text: string): void {
  state.skin = text;
  const number = ++skinNumber;
  const near = text.startsWith('ita:') ? nearestStep(Number(text.slice(4)))
    : text.startsWith('monk:') ? offer.controls.skin.monk[Number(text.slice(5)) - 1] : undefined;
  if (near) skinNow = { hex: near.hex, ita: text.startsWith('ita:') ? Number(text.slice(4)) : near.ita_deg, extrapolated: near.extrapolated };
  else {
    skinNow = { ...skinNow, hex: text };
    api.colourOf(text, offer.model).then((c) => {
      if (number !== skinNumber) return;
      skinNow = { hex: c.hex, ita: c.ita_deg, extrapolated: c.extrapolated };
      refresh();
    }).catch((error: Error) => say(error.message, true));
  }
  changed();
}
function nearestStep(ita: number): api.SkinStep {
  const scale = offer.controls.skin.ita;
  return scale.reduce((best, s) => (Math.abs(s.ita_deg - ita) < Math.abs(best.ita_deg - ita) ? s : best));
}

/** Everything on the page that follows from the state. */
function refresh(): void {
  const { editor } = state;
  const l = lesion(), s = l.shape;
  buildLesions();
  markCondition(l.condition);
  markMonk(state.skin.startsWith('monk:') ? state.skin : undefined);
  markTool(l.tool);
  $<HTMLInputElement>('ita').value = String(Math.round(skinNow.ita));
  $('ita').setAttribute('aria-valuetext', `ITA ${Math.round(skinNow.ita)} degrees${skinNow.extrapolated ? ', beyond the data' : ''}`);
  const hex = $<HTMLInputElement>('hex');
  if (document.activeElement !== hex) hex.value = skinNow.hex;
  $('skin-name').textContent = `ITA ${Math.round(skinNow.ita)}°`;
  $('beyond').hidden = !skinNow.extrapolated;
  const brush = l.tool === 'brush';
  $('shape-sliders').hidden = brush;
  $('brush-tools').hidden = !brush;
  sizeSlider.set(s.size);
  aspectSlider.set(Math.log2(s.aspect));
  xSlider.set(s.x);
  ySlider.set(s.y);
  brushSlider.set(editor.brushWidth);
  $('erase').setAttribute('aria-pressed', String(editor.erasing));
  const [low, high] = offer.controls.size.seen;
  const size = brush ? Math.sqrt(l.brush.area() * 4 / Math.PI) : s.size;
  $('size-beyond').hidden = (brush && size === 0) || (size >= low - 0.005 && size <= high + 0.005);
  directionSliders.forEach((d, i) => d.set(state.directions[i]));
  const seed = $<HTMLInputElement>('seed');
  if (document.activeElement !== seed) seed.value = String(state.seed);
  $('asked-note').textContent = brush ? 'draw on either picture' : editor.lesions.length > 1 ? 'click a lesion to edit it' : 'drag, or draw a new one';
  const spoken = editor.lesions.map((one) => (one.tool === 'brush'
    ? `${words(one.condition)}, drawn by brush, ${percent(one.brush.area())} of the picture`
    : `${words(one.condition)}, ${toolNames[one.tool]}, ${percent(one.shape.size)} of the side, at ${percent(one.shape.x)} across and ${percent(one.shape.y)} down`));
  $('region-text').textContent = !heeds.region ? '' : spoken.length === 1 ? `${spoken[0]}.`
    : spoken.map((text, k) => `Lesion ${k + 1}${k === editor.active ? ', edited' : ''}: ${text}.`).join(' ');
  draw();
}

/** Everything as it was asked for once. */
async function adopt(r: Controls): Promise<void> {
  const lesions = await Promise.all(regionsOf(r).map(async (g) => {
    const made = newLesion(g.condition, lesion().shape, g.shape === 'mask' ? 'brush' : g.shape);
    if (g.mask) await made.brush.load(g.mask);
    else made.shape = kept({ x: g.x ?? 0.5, y: g.y ?? 0.5, size: g.size ?? 0.35, aspect: g.aspect ?? 1 });
    return made;
  }));
  $<HTMLDialogElement>('basket').close();
  state.editor.lesions = lesions;
  state.editor.active = 0;
  state.seed = r.seed;
  state.directions = offer.controls.directions.map((_, i) => r.directions?.[i] ?? 0);
  chooseSkin(r.skin);
  $('stages').scrollIntoView({ block: 'nearest', behavior: 'smooth' });
}

// ---------------------------------------------------------------- strips

interface SweepKind {
  label: string;
  from: number;
  to: number;
  low: number;  // what can be asked for
  high: number;
  values?: string[];
  apply: (r: Controls, v: string) => Controls;
  name: (r: Controls) => string;  // of what is asked for in the end
}
function sweeps(): Record<string, SweepKind> {
  const c = offer.controls;
  /** Changes the lesion that is edited, and leaves the others. */
  const changing = (r: Controls, change: (g: Region) => Region): Controls =>
    withRegions(r, regionsOf(r).map((g, i) => (i === state.editor.active ? change(g) : g)));
  const edited = (r: Controls): Region => regionsOf(r)[state.editor.active];
  const number = (label: string, key: 'size' | 'x' | 'y' | 'aspect', from: number, to: number, low: number, high: number): SweepKind => ({
    label, from, to, low, high, name: (r) => `${label} ${(edited(r)[key] ?? 0).toFixed(2)}`,
    apply: (r, v) => changing(r, (g) => ({
      condition: g.condition, shape: g.shape === 'mask' ? 'blob' : g.shape,
      ...kept({ ...{ x: g.x ?? 0.5, y: g.y ?? 0.5, size: g.size ?? 0.35, aspect: g.aspect ?? 1 }, [key]: Number(v) }),
    })),
  });
  const half = Math.min(0.5, lesion().shape.size / 2);
  const kinds: Record<string, SweepKind> = {
    skin: {
      label: 'skin (ITA)', from: Math.round(c.skin.seen_ita_deg[0]), to: Math.round(Math.min(60, c.skin.seen_ita_deg[1])),
      low: c.skin.ita[0].ita_deg, high: c.skin.ita[c.skin.ita.length - 1].ita_deg,
      apply: (r, v) => ({ ...r, skin: `ita:${Math.round(Number(v))}` }), name: (r) => `ITA ${r.skin.slice(4)}°`,
    },
    size: number('size', 'size', c.size.seen[0], Math.min(0.8, c.size.seen[1]), 0.04, 1),
    condition: {
      label: 'condition', from: 0, to: 0, low: 0, high: 0, values: c.condition.values,
      apply: (r, v) => changing(r, (g) => ({ ...g, condition: v })), name: (r) => words(edited(r).condition),
    },
    x: number('across', 'x', half, 1 - half, half, 1 - half),
    y: number('down', 'y', half, 1 - half, half, 1 - half),
    aspect: number('form', 'aspect', 0.5, 2, 0.2, 5),
  };
  const there = Object.entries(kinds).filter(([key]) => heeds[key === 'skin' || key === 'condition' ? key : 'region']);
  const directions = c.directions.map((d, i): [string, SweepKind] => [`direction-${i + 1}`, {
    label: `${i + 1} ${d.name}`, from: d.min, to: d.max, low: -10, high: 10,
    apply: (r, v) => ({ ...r, directions: c.directions.map((_, k) => (k === i ? Number(v) : r.directions?.[k] ?? 0)) }),
    name: (r) => `${i + 1}: ${signed(r.directions![i])}`,
  }]);
  return Object.fromEntries([...there, ...directions]);
}

function fillSweepRange(): void {
  const kind = sweeps()[$<HTMLSelectElement>('sweep-key').value] as SweepKind | undefined;
  $('tab-sweep').hidden = kind === undefined;  // a model that heeds the seed alone
  if (!kind) return;
  $('sweep-range').hidden = kind.values !== undefined;
  $<HTMLInputElement>('sweep-from').value = String(Math.round(kind.from * 100) / 100);
  $<HTMLInputElement>('sweep-to').value = String(Math.round(kind.to * 100) / 100);
}

const conditionsOf = (r: Controls): string => regionsOf(r).map((g) => words(g.condition)).join(', ');

function thumb(url: string, caption: string, r: Controls, far: boolean, button: [string, string, () => void]): HTMLElement {
  const picture = make('button', { type: 'button' }, make('img', { src: url, alt: `Made image: ${conditionsOf(r)}; ${caption}`, width: 118, height: 118 }));
  picture.title = 'Show it above';
  picture.addEventListener('click', () => void adopt(r));
  const side = make('button', { type: 'button', title: button[1] }, button[0]);
  side.setAttribute('aria-label', `${button[1]}: ${caption}`);
  side.addEventListener('click', button[2]);
  return make('figure', { className: far ? 'thumb far' : 'thumb' }, picture,
    make('figcaption', {}, make('span', { textContent: caption, title: far ? `${caption}, beyond the data` : caption }), side));
}

const stripRuns = new Map<string, AbortController>();
const stripUrls = new Map<string, string[]>();
async function fillStrip(id: string, requests: Controls[], captions: string[]): Promise<void> {
  stripRuns.get(id)?.abort();
  const run = new AbortController();
  stripRuns.set(id, run);
  const host = $(id);
  for (const url of stripUrls.get(id) ?? []) URL.revokeObjectURL(url);
  stripUrls.set(id, []);
  host.replaceChildren(...requests.map(() => make('figure', { className: 'thumb waiting' })));
  host.setAttribute('aria-busy', 'true');
  const begin = performance.now();
  try {
    const job = await patient(() => api.run({ requests: requests.map(told), model: offer.model }, {
      signal: run.signal, progress: (j) => say(`${j.made} of ${j.count} made.`),
    }));
    const figures = await Promise.all(job.results.map(async (path, i) => {
      const blob = await api.result(path, run.signal);
      const url = URL.createObjectURL(blob);
      stripUrls.get(id)!.push(url);
      const far = job.requests[i].extrapolated ?? false;
      return thumb(url, captions[i], requests[i], far, ['+', 'Add to basket', () => addToBasket(requests[i], blob, far)]);
    }));
    host.replaceChildren(...figures);
    say(`${figures.length} pictures in ${((performance.now() - begin) / 1000).toFixed(1)} s.`);
  } catch (error) {
    if (run.signal.aborted) return;
    host.replaceChildren();
    say((error as Error).message, true);
  } finally {
    host.removeAttribute('aria-busy');
  }
}

function within(id: string): number {
  const input = $<HTMLInputElement>(id);
  const v = Math.round(Math.min(Number(input.max), Math.max(Number(input.min), Number(input.value) || Number(input.min))));
  input.value = String(v);
  return v;
}

function makeVariations(): void {
  const count = within('variation-count');
  const base = request();
  const requests = Array.from({ length: count }, (_, i) => ({ ...base, seed: base.seed + 1 + i }));
  void fillStrip('variation-strip', requests, requests.map((r) => `seed ${r.seed}`));
}

function makeSweep(): void {
  const kind = sweeps()[$<HTMLSelectElement>('sweep-key').value];
  let values = kind.values;
  if (!values) {
    const steps = within('sweep-steps');
    const [from, to] = ['sweep-from', 'sweep-to'].map((id) => {
      const input = $<HTMLInputElement>(id);
      const v = Math.min(kind.high, Math.max(kind.low, input.valueAsNumber));
      if (!Number.isNaN(v)) input.value = String(Math.round(v * 100) / 100);
      return v;
    });
    if (Number.isNaN(from + to)) {
      say(`A sweep over ${kind.label} goes from a number to a number, within ${kind.low.toFixed(2)} and ${kind.high.toFixed(2)}.`, true);
      return;
    }
    values = Array.from({ length: steps }, (_, i) => String(from + (to - from) * i / (steps - 1)));
  }
  const requests = values.map((v) => kind.apply(request(), v));
  void fillStrip('sweep-strip', requests, requests.map(kind.name));
}

// ---------------------------------------------------------------- basket

interface Item { request: Controls; url: string; far: boolean }
const basket: Item[] = [];

function addToBasket(r: Controls, blob: Blob, far: boolean): void {
  if (basket.length >= offer.limits.images_per_job) {
    say(`The basket holds ${basket.length} images, as many as one export takes; export it first.`, true);
    return;
  }
  basket.push({ request: r, url: URL.createObjectURL(blob), far });
  showBasket();
  say(`In the basket: ${basket.length}.`);
}

function showBasket(): void {
  $('basket-count').textContent = String(basket.length);
  $('basket-open').setAttribute('aria-label', `Basket, ${basket.length} images`);
  $('basket-note').textContent = basket.length === 0
    ? 'Nothing in it yet. “Add to basket” puts the picture above here, “+” one of a strip.'
    : `${basket.length} image${basket.length === 1 ? '' : 's'}. The data set holds images, masks, metadata.csv and requests.json, by which each can be made again.`;
  $<HTMLButtonElement>('export').disabled = $<HTMLButtonElement>('basket-clear').disabled = basket.length === 0;
  $('basket-items').replaceChildren(...basket.map((item, i) =>
    thumb(item.url, conditionsOf(item.request), item.request, item.far, ['✕', 'Remove', () => {
      URL.revokeObjectURL(item.url);
      basket.splice(i, 1);
      showBasket();
    }])));
}

function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = make('a', { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

async function exportBasket(): Promise<void> {
  const button = $<HTMLButtonElement>('export'), progress = $('export-progress');
  button.disabled = true;
  try {
    const job = await patient(() => api.run({ format: 'dataset', model: offer.model, requests: basket.map((item) => told(item.request)) }, {
      progress: (j) => { progress.textContent = j.state === 'packing' ? 'packing…' : `${j.made} of ${j.count} made`; },
    }));
    download(await api.result(job.results[0]), `dermgan-${offer.model}-${basket.length}.zip`);
    progress.textContent = 'Saved.';
  } catch (error) {
    progress.textContent = (error as Error).message;
  } finally {
    button.disabled = basket.length === 0;
  }
}

// ---------------------------------------------------------------- the eyedropper

function buildPhoto(): void {
  const dialog = $<HTMLDialogElement>('photo'), canvas = $<HTMLCanvasElement>('photo-canvas');
  const pen = canvas.getContext('2d', { willReadFrequently: true })!;
  let colour = '';
  const show = (hex: string, text: string) => {
    colour = hex;
    $('photo-swatch').style.backgroundColor = hex;
    $('photo-text').textContent = text;
    $<HTMLButtonElement>('photo-use').disabled = hex === '';
  };
  $('photo-open').addEventListener('click', () => dialog.showModal());
  $<HTMLInputElement>('photo-file').addEventListener('change', async () => {
    const file = $<HTMLInputElement>('photo-file').files?.[0];
    if (!file) return;
    try {
      const picture = await createImageBitmap(file);
      const scale = Math.min(1, 1000 / Math.max(picture.width, picture.height));
      canvas.width = Math.round(picture.width * scale);
      canvas.height = Math.round(picture.height * scale);
      pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
      canvas.hidden = false;
      show('', 'Measuring the skin…');
      const c = await patient(() => api.skinOfPhoto(file, offer.model));
      if (c.reliable) show(c.hex, `Measured on ${percent(c.share ?? 0)} of the picture: ITA ${Math.round(c.ita_deg)}°${c.extrapolated ? ', beyond the data' : ''}. Or click on skin.`);
      else show('', 'Too little skin was recognised; click on it.');
    } catch (error) {
      show('', (error as Error).message);
    }
  });
  canvas.addEventListener('click', (e) => {
    const r = canvas.getBoundingClientRect();
    const x = Math.round((e.clientX - r.left) / r.width * canvas.width), y = Math.round((e.clientY - r.top) / r.height * canvas.height);
    // The middle values of a small patch: a hair or a reflection in it does not count.
    const { data } = pen.getImageData(Math.max(0, x - 4), Math.max(0, y - 4), 9, 9);
    const middle = [0, 1, 2].map((k) => {
      const values: number[] = [];
      for (let i = k; i < data.length; i += 4) if (data[i - k + 3] === 255) values.push(data[i]);
      return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
    });
    show(`#${middle.map((v) => v.toString(16).padStart(2, '0')).join('')}`, 'The colour under the pointer.');
  });
  $('photo-use').addEventListener('click', () => {
    dialog.close();
    chooseSkin(colour);
  });
}

// ---------------------------------------------------------------- start

function newSeed(): void {
  state.seed = Math.floor(Math.random() * 1e4);
  changed();
}

function wire(): void {
  const edited = (finished: boolean) => {
    if (!heeds.region) return;
    // While a stroke is drawn the mask grows by every move: the picture follows, the newest wins.
    if (finished || lesion().tool !== 'brush' || lesion().brush.area() > 0) changed();
  };
  for (const id of ['asked', 'stage']) {
    new Editor($(id), state.editor, edited);
    $(id).addEventListener('focus', draw);
    $(id).addEventListener('blur', draw);
  }
  $('ita').addEventListener('input', () => chooseSkin(`ita:${$<HTMLInputElement>('ita').value}`));
  $('hex').addEventListener('change', () => {
    const text = $<HTMLInputElement>('hex').value.trim().toLowerCase();
    const hex = text.startsWith('#') ? text : `#${text}`;
    if (/^#([0-9a-f]{6})$/.test(hex)) chooseSkin(hex);
    else {
      $<HTMLInputElement>('hex').value = skinNow.hex;
      say('A colour is written #rrggbb, for example #c68642.', true);
    }
  });
  $('seed').addEventListener('change', () => {
    const input = $<HTMLInputElement>('seed'), v = Number(input.value);
    if (input.value !== '' && Number.isSafeInteger(v) && v >= 0) {
      state.seed = v;
      changed();
    } else {
      input.value = String(state.seed);
      say('A seed is a whole number from 0 up.', true);
    }
  });
  $('dice').addEventListener('click', newSeed);
  $('erase').addEventListener('click', () => { state.editor.erasing = !state.editor.erasing; refresh(); });
  $('undo').addEventListener('click', () => { if (lesion().brush.undo()) changed(); });
  $('clear').addEventListener('click', () => { lesion().brush.clear(); changed(); });
  $('lesion-add').addEventListener('click', addLesion);
  $('lesion-remove').addEventListener('click', removeLesion);
  $('outline').addEventListener('change', draw);
  $('show-asked').addEventListener('change', () => {
    $('stages').classList.toggle('both', $<HTMLInputElement>('show-asked').checked);
    draw();
  });
  $('add').addEventListener('click', () => { if (shown) addToBasket(shown.request, shown.blob, shown.extrapolated); });
  $('save').addEventListener('click', () => { if (shown) download(shown.blob, `dermgan-${shown.request.condition}-${shown.request.seed}.png`); });
  $('copy').addEventListener('click', () => {
    navigator.clipboard.writeText(JSON.stringify({ ...told(request()), model: offer.model })).then(
      () => say('The request is copied; POST it to /v1/generate.'), () => say('The browser does not let pages copy here.', true));
  });
  $('directions-reset').addEventListener('click', () => {
    state.directions.fill(0);
    changed();
  });
  $('vary').addEventListener('click', makeVariations);
  $('run-sweep').addEventListener('click', makeSweep);
  $('sweep-key').addEventListener('change', fillSweepRange);
  const tabs = ['variations', 'sweep'];
  for (const name of tabs) {
    const tab = $(`tab-${name}`);
    const select = () => tabs.forEach((other) => {
      $(other).hidden = other !== name;
      $(`tab-${other}`).setAttribute('aria-selected', String(other === name));
      $(`tab-${other}`).tabIndex = other === name ? 0 : -1;
    });
    tab.addEventListener('click', select);
    tab.addEventListener('keydown', (e) => {
      if (e.key !== 'ArrowLeft' && e.key !== 'ArrowRight') return;
      const other = $(`tab-${tabs[1 - tabs.indexOf(name)]}`);
      other.focus();
      other.click();
    });
  }
  $('basket-open').addEventListener('click', () => { showBasket(); $('export-progress').textContent = ''; $<HTMLDialogElement>('basket').showModal(); });
  $('basket-clear').addEventListener('click', () => {
    for (const item of basket) URL.revokeObjectURL(item.url);
    basket.length = 0;
    showBasket();
  });
  $('export').addEventListener('click', () => void exportBasket());
  $('help-open').addEventListener('click', () => $<HTMLDialogElement>('help').showModal());
  $<HTMLSelectElement>('model').addEventListener('change', () => void load($<HTMLSelectElement>('model').value));
  buildPhoto();

  const dark = () => document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  const showTheme = () => { $('theme').textContent = dark() ? '☀' : '☾'; };
  const saved = localStorage.getItem('dermgan-theme');
  if (saved === 'dark' || saved === 'light') document.documentElement.dataset.theme = saved;
  showTheme();
  $('theme').addEventListener('click', () => {
    document.documentElement.dataset.theme = dark() ? 'light' : 'dark';
    localStorage.setItem('dermgan-theme', document.documentElement.dataset.theme);
    showTheme();
  });

  document.addEventListener('keydown', (e) => {
    const target = e.target as HTMLElement;
    if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]') ||
        (target instanceof HTMLInputElement && target.type !== 'range' && target.type !== 'checkbox') || target instanceof HTMLSelectElement) return;
    const key = e.key.toLowerCase();
    if (key === 'r') newSeed();
    else if (key === 'b') $('add').click();
    else if (key === 'o') $('outline').click();
    else if (e.key === '?') $<HTMLDialogElement>('help').showModal();
    else return;
    e.preventDefault();
  });
  new ResizeObserver(draw).observe($('stages'));
}

async function load(model: string): Promise<void> {
  const { controls, ...facts } = await patient(() => api.capabilities(model));
  heeds = { condition: controls.condition !== undefined, skin: controls.skin !== undefined, region: controls.size !== undefined };
  const c = {
    condition: { values: ['lesion'], default: 'lesion' },
    skin: { default: 'ita:25', seen_ita_deg: [-60, 80] as [number, number], ita: [kStandIn, { ...kStandIn, ita_deg: 80 }], monk: [] },
    size: { seen: [0, 1] as [number, number], default: 0.35 },
    shape: { default: 'blob' as const },
    directions: [],
    ...controls,
  };
  offer = { ...facts, controls: c };
  state.directions = c.directions.map(() => 0);
  const select = $<HTMLSelectElement>('model');
  select.replaceChildren(...offer.models.map((m) => make('option', { value: m }, m)));
  select.value = offer.model;
  (select.closest('label') as HTMLElement).hidden = offer.models.length < 2;
  $('model-facts').textContent = `${offer.models.length < 2 ? `${offer.model} · ` : ''}${offer.size_px} px`;
  for (const l of state.editor.lesions) if (!c.condition.values.includes(l.condition)) l.condition = c.condition.default;
  if (!state.skin && heeds.skin) {
    state.skin = c.skin.default;
    lesion().shape.size = c.size.default;
  }
  buildControls();
  // Something to look at from the start.
  live.first = makeVariations;
  chooseSkin(state.skin || c.skin.default);
}

api.takeTokenFromAddress();
wire();
showBasket();
load('').catch((error: Error) => say(error.message, true));
