// The lesion on a square canvas: dragged, scaled, drawn with a brush; by pointer and by keys.
import type { Region } from './api';

export const kMaskSide = 256;
export type Tool = 'blob' | 'ellipse' | 'box' | 'brush';

export interface Shape { x: number; y: number; size: number; aspect: number }

/** Width and height of the box, over the image's side. */
export function sides(s: Shape): [number, number] {
  return s.aspect >= 1 ? [s.size, s.size / s.aspect] : [s.size * s.aspect, s.size];
}

/** The same lesion, moved and made smaller as far as it takes to stay inside the image. */
export function kept(s: Shape): Shape {
  const aspect = Math.min(5, Math.max(0.2, s.aspect));
  const size = Math.min(1, Math.max(0.04, s.size));
  const [w, h] = sides({ ...s, size, aspect });
  const within = (v: number, side: number) => Math.min(1 - side / 2, Math.max(side / 2, v));
  return { x: within(s.x, w), y: within(s.y, h), size, aspect };
}

/** A drawn region: white on black, as the server takes it. */
export class Brush {
  readonly canvas = document.createElement('canvas');
  private readonly pen: CanvasRenderingContext2D;
  private history: ImageData[] = [];

  constructor() {
    this.canvas.width = this.canvas.height = kMaskSide;
    this.pen = this.canvas.getContext('2d', { willReadFrequently: true })!;
    this.clear();
    this.history = [];
  }
  remember(): void {
    this.history.push(this.pen.getImageData(0, 0, kMaskSide, kMaskSide));
    if (this.history.length > 30) this.history.shift();
  }
  undo(): boolean {
    const last = this.history.pop();
    if (last) this.pen.putImageData(last, 0, 0);
    return last !== undefined;
  }
  clear(): void {
    this.remember();
    this.pen.fillStyle = '#000';
    this.pen.fillRect(0, 0, kMaskSide, kMaskSide);
  }
  stroke(from: [number, number], to: [number, number], width: number, erase: boolean): void {
    this.pen.strokeStyle = erase ? '#000' : '#fff';
    this.pen.lineWidth = Math.max(2, width * kMaskSide);
    this.pen.lineCap = this.pen.lineJoin = 'round';
    this.pen.beginPath();
    this.pen.moveTo(from[0] * kMaskSide, from[1] * kMaskSide);
    this.pen.lineTo(to[0] * kMaskSide + 0.01, to[1] * kMaskSide);
    this.pen.stroke();
  }
  /** Moves all that was drawn. */
  shift(dx: number, dy: number): void {
    this.remember();
    const copy = this.pen.getImageData(0, 0, kMaskSide, kMaskSide);
    this.pen.fillStyle = '#000';
    this.pen.fillRect(0, 0, kMaskSide, kMaskSide);
    this.pen.putImageData(copy, Math.round(dx * kMaskSide), Math.round(dy * kMaskSide));
  }
  drawEllipse(s: Shape): void {
    const [w, h] = sides(s);
    this.pen.fillStyle = '#fff';
    this.pen.beginPath();
    this.pen.ellipse(s.x * kMaskSide, s.y * kMaskSide, w / 2 * kMaskSide, h / 2 * kMaskSide, 0, 0, 2 * Math.PI);
    this.pen.fill();
  }
  /** Takes over a mask as it was sent. */
  async load(png: string): Promise<void> {
    const bytes = Uint8Array.from(atob(png.slice(png.indexOf(',') + 1)), (c) => c.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    this.remember();
    this.pen.drawImage(picture, 0, 0, kMaskSide, kMaskSide);
    picture.close();
  }
  has(x: number, y: number): boolean {
    return this.pen.getImageData(Math.floor(x * kMaskSide), Math.floor(y * kMaskSide), 1, 1).data[0] >= 128;
  }
  /** Share of the image that is drawn on. */
  area(): number {
    const { data } = this.pen.getImageData(0, 0, kMaskSide, kMaskSide);
    let set = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i] >= 128) ++set;
    return set / (kMaskSide * kMaskSide);
  }
  png(): string {
    return this.canvas.toDataURL('image/png');
  }
}

export interface Lesion { condition: string; tool: Tool; shape: Shape; brush: Brush }

export interface EditorState {
  lesions: Lesion[];  // at least one
  active: number;     // the one that is edited
  brushWidth: number;
  erasing: boolean;
}

type Grip = 'move' | 'n' | 's' | 'e' | 'w' | 'ne' | 'nw' | 'se' | 'sw' | 'new';

const cursors: Record<Grip, string> = {
  move: 'move', n: 'ns-resize', s: 'ns-resize', e: 'ew-resize', w: 'ew-resize', ne: 'nesw-resize', sw: 'nesw-resize',
  nw: 'nwse-resize', se: 'nwse-resize', new: 'crosshair',
};

/** Lets people edit `state` on an element that shows the image; `changed` after each step of it. */
export class Editor {
  private grip: Grip | undefined;
  private start: [number, number] = [0, 0];
  private before: Shape = { x: 0, y: 0, size: 0, aspect: 1 };
  private last: [number, number] = [0, 0];
  private stroking = false;

  constructor(private readonly surface: HTMLElement, private readonly state: EditorState,
              private readonly changed: (finished: boolean) => void) {
    surface.addEventListener('pointerdown', (e) => this.down(e));
    surface.addEventListener('pointermove', (e) => this.move(e));
    surface.addEventListener('pointerup', (e) => this.up(e));
    surface.addEventListener('pointercancel', (e) => this.up(e));
    surface.addEventListener('wheel', (e) => this.wheel(e), { passive: false });
    surface.addEventListener('keydown', (e) => this.key(e));
  }

  private get lesion(): Lesion {
    return this.state.lesions[this.state.active];
  }

  /** Another lesion that lies there, the uppermost first. */
  private otherAt([x, y]: [number, number]): number | undefined {
    for (let i = this.state.lesions.length - 1; i >= 0; --i) {
      const { tool, shape, brush } = this.state.lesions[i];
      const [w, h] = sides(shape);
      const inside = tool === 'brush' ? brush.has(x, y) : Math.abs(x - shape.x) <= w / 2 && Math.abs(y - shape.y) <= h / 2;
      if (i !== this.state.active && inside) return i;
    }
    return undefined;
  }

  private at(e: PointerEvent): [number, number] {
    const r = this.surface.getBoundingClientRect();
    return [(e.clientX - r.left) / r.width, (e.clientY - r.top) / r.height];
  }

  private gripAt([x, y]: [number, number]): Grip {
    const s = this.lesion.shape;
    const [w, h] = sides(s);
    const near = 14 / this.surface.getBoundingClientRect().width;
    const left = Math.abs(x - (s.x - w / 2)) < near, right = Math.abs(x - (s.x + w / 2)) < near;
    const top = Math.abs(y - (s.y - h / 2)) < near, bottom = Math.abs(y - (s.y + h / 2)) < near;
    const inX = x > s.x - w / 2 - near && x < s.x + w / 2 + near, inY = y > s.y - h / 2 - near && y < s.y + h / 2 + near;
    if (inX && inY) {
      const name = (top ? 'n' : bottom ? 's' : '') + (left ? 'w' : right ? 'e' : '');
      if (name) return name as Grip;
      return 'move';
    }
    return 'new';
  }

  private down(e: PointerEvent): void {
    if (e.button !== 0) return;
    e.preventDefault();
    this.surface.focus({ preventScroll: true });
    this.surface.setPointerCapture(e.pointerId);
    this.start = this.last = this.at(e);
    if (this.lesion.tool === 'brush') {
      this.lesion.brush.remember();
      this.stroking = true;
      this.lesion.brush.stroke(this.start, this.start, this.state.brushWidth, this.state.erasing || e.shiftKey);
      this.changed(false);
      return;
    }
    if (this.gripAt(this.start) === 'new') {
      const other = this.otherAt(this.start);
      if (other !== undefined) {
        this.state.active = other;
        this.changed(false);
        if (this.state.lesions[other].tool === 'brush') return;
      }
    }
    this.before = { ...this.lesion.shape };
    this.grip = this.gripAt(this.start);
  }

  private move(e: PointerEvent): void {
    const at = this.at(e);
    if (this.stroking) {
      this.lesion.brush.stroke(this.last, at, this.state.brushWidth, this.state.erasing || e.shiftKey);
      this.last = at;
      this.changed(false);
      return;
    }
    if (!this.grip) {
      this.surface.style.cursor = this.lesion.tool === 'brush' ? 'crosshair' : cursors[this.gripAt(at)];
      return;
    }
    const dx = at[0] - this.start[0], dy = at[1] - this.start[1];
    const b = this.before;
    if (this.grip === 'move') {
      this.set({ ...b, x: b.x + dx, y: b.y + dy });
      return;
    }
    const [bw, bh] = sides(b);
    let [x0, y0, x1, y1] = [b.x - bw / 2, b.y - bh / 2, b.x + bw / 2, b.y + bh / 2];
    if (this.grip === 'new') {
      if (Math.hypot(dx, dy) < 0.03) return;
      [x0, x1] = [Math.min(this.start[0], at[0]), Math.max(this.start[0], at[0])];
      [y0, y1] = [Math.min(this.start[1], at[1]), Math.max(this.start[1], at[1])];
    } else {
      if (this.grip.includes('w')) x0 = Math.min(x1 - 0.03, x0 + dx);
      if (this.grip.includes('e')) x1 = Math.max(x0 + 0.03, x1 + dx);
      if (this.grip.includes('n')) y0 = Math.min(y1 - 0.03, y0 + dy);
      if (this.grip.includes('s')) y1 = Math.max(y0 + 0.03, y1 + dy);
    }
    [x0, y0, x1, y1] = [x0, y0, x1, y1].map((v) => Math.min(1, Math.max(0, v)));
    const w = Math.max(0.03, x1 - x0), h = Math.max(0.03, y1 - y0);
    this.set({ x: (x0 + x1) / 2, y: (y0 + y1) / 2, size: Math.max(w, h), aspect: w / h });
  }

  private up(_e: PointerEvent): void {
    const had = this.stroking || this.grip !== undefined;
    this.stroking = false;
    this.grip = undefined;
    if (had) this.changed(true);
  }

  private wheel(e: WheelEvent): void {
    // Only over a focused picture: otherwise the page could not be scrolled past it.
    if (document.activeElement !== this.surface || this.lesion.tool === 'brush') return;
    e.preventDefault();
    this.set({ ...this.lesion.shape, size: this.lesion.shape.size * Math.exp(-e.deltaY * 0.0012) });
    this.changed(true);
  }

  private key(e: KeyboardEvent): void {
    if (e.ctrlKey || e.metaKey || e.altKey) {
      if (e.key === 'z' && this.lesion.tool === 'brush' && this.lesion.brush.undo()) {
        e.preventDefault();
        this.changed(true);
      }
      return;
    }
    const step = e.shiftKey ? 0.05 : 0.01;
    const s = { ...this.lesion.shape };
    const arrows: Record<string, [number, number]> = {
      ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step],
    };
    if (e.key in arrows) {
      const [dx, dy] = arrows[e.key];
      if (this.lesion.tool === 'brush') this.lesion.brush.shift(dx, dy);
      s.x += dx;
      s.y += dy;
    } else if (e.key === '+' || e.key === '=') s.size += step;
    else if (e.key === '-') s.size -= step;
    else if (e.key === ']') s.aspect *= 1.1;
    else if (e.key === '[') s.aspect /= 1.1;
    else return;
    e.preventDefault();
    e.stopPropagation();
    if (this.lesion.tool !== 'brush') this.lesion.shape = kept(s);
    this.changed(true);
  }

  private set(s: Shape): void {
    this.lesion.shape = kept(s);
    this.changed(false);
  }
}

/** Draws a lesion's box over a picture, with handles if it is the one that is edited. */
export function drawFrame(pen: CanvasRenderingContext2D, side: number, lesion: Lesion, active: boolean): void {
  if (lesion.tool === 'brush') return;
  const s = lesion.shape;
  const [w, h] = sides(s);
  const [x, y] = [(s.x - w / 2) * side, (s.y - h / 2) * side];
  const [pw, ph] = [w * side, h * side];
  const ratio = side / 512;
  pen.save();
  const line = (width: number, colour: string, dash: number[]) => {
    pen.lineWidth = width * ratio;
    pen.strokeStyle = colour;
    pen.setLineDash(dash.map((d) => d * ratio));
    pen.strokeRect(x, y, pw, ph);
  };
  line(3, 'rgba(0,0,0,.35)', []);
  line(1.5, '#fff', active ? [] : [7, 6]);
  pen.setLineDash([]);
  if (active) {
    for (const [cx, cy] of [[x, y], [x + pw, y], [x, y + ph], [x + pw, y + ph]]) {
      pen.beginPath();
      pen.arc(cx, cy, 7 * ratio, 0, 2 * Math.PI);
      pen.fillStyle = '#fff';
      pen.fill();
      pen.lineWidth = 1.5 * ratio;
      pen.strokeStyle = 'rgba(0,0,0,.5)';
      pen.stroke();
    }
  }
  pen.restore();
}

/** What is sent for a lesion. */
export function regionFields({ condition, tool, shape, brush }: Lesion): Region {
  if (tool === 'brush') return { condition, shape: 'mask', mask: brush.png() };
  const round = (v: number) => Math.round(v * 1e4) / 1e4;
  // Rounded so that the box stays inside: 0.5 + 0.5 / 2 must not become 0.75001.
  const s = kept({ x: round(shape.x), y: round(shape.y), size: round(shape.size), aspect: round(shape.aspect) });
  return { condition, shape: tool, x: s.x, y: s.y, size: s.size, aspect: s.aspect };
}
