// The REST API of `dermgan serve`, as the studio uses it.

/** One lesion. */
export interface Region {
  condition: string;
  shape: 'box' | 'ellipse' | 'blob' | 'mask';
  size?: number;  // all of these but for a mask, which says them itself
  aspect?: number;
  x?: number;
  y?: number;
  mask?: string;
}

/** What one image is asked for: the first lesion's fields stand at the top, further lesions in `regions`. */
export interface Controls extends Region {
  skin: string;
  seed: number;
  regions?: Region[];
  directions?: number[];  // strengths along the model's latent directions, in its deviations
}

export function regionsOf(r: Controls): Region[] {
  const { skin: _skin, seed: _seed, directions: _directions, regions, ...first } = r;
  return [first, ...(regions ?? [])];
}
export function withRegions(r: Controls, [first, ...further]: Region[]): Controls {
  return {
    skin: r.skin, seed: r.seed, ...first, ...(further.length ? { regions: further } : {}),
    ...(r.directions ? { directions: r.directions } : {}),
  };
}

export interface SkinStep { hex: string; extrapolated: boolean; ita_deg: number; tone?: number }

/** What a model can be asked for; what it does not heed is not there. */
export interface Capabilities {
  software: string;
  models: string[];
  model: string;
  size_px: number;
  controls: {
    condition?: { values: string[]; default: string };
    skin?: { default: string; seen_ita_deg: [number, number]; ita: SkinStep[]; monk: SkinStep[] };
    size?: { seen: [number, number]; default: number };
    shape?: { default: Controls['shape'] };
    directions?: { name: string; min: number; max: number }[];
  };
  limits: { images_per_job: number; regions_per_image: number };
}

export interface Echo {
  seed: number; condition?: string; skin_hex?: string; extrapolated?: boolean;
}

export interface Job {
  id: string;
  state: 'queued' | 'running' | 'packing' | 'done' | 'failed' | 'cancelled' | 'expired';
  count: number;
  made: number;
  jobs_ahead: number;
  requests: Echo[];
  results: string[];
  error?: string;
}

/** Asked for null: the model could not be asked. */
export interface Measured {
  condition?: { asked: string | null; seen: string; probability: number | null } | null;
  skin: { asked: string | null; measured: string; ciede2000: number | null };
  ita_deg: { asked: number | null; measured: number };
  area: { asked: number | null; measured: number };
  centre: { asked: [number, number] | null; measured: [number | null, number | null]; distance: number | null };
  region_iou: number | null;
  found: boolean;
}

export interface Colour { hex: string; ita_deg: number; tone: string; extrapolated: boolean; share?: number; reliable?: boolean }

export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string, readonly retryAfter: number) {
    super(message);
  }
}

const kToken = 'dermgan-token';

/** The token comes behind '#', which no server and no log sees, and leaves the address bar at once. */
export function takeTokenFromAddress(): void {
  const match = /^#token=([\w.~-]+)$/.exec(location.hash);
  if (!match) return;
  sessionStorage.setItem(kToken, match[1]);
  history.replaceState(null, '', location.pathname);
}

export function setToken(token: string): void {
  sessionStorage.setItem(kToken, token);
}

async function call(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const token = sessionStorage.getItem(kToken);
  if (token) headers.set('Authorization', `Bearer ${token}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, 'unreachable', 'The server cannot be reached; is dermgan serve still running?', 2);
  }
  if (response.ok) return response;
  let code = 'unknown';
  let message = `The server answered ${response.status}.`;
  try {
    ({ code, message } = await response.json() as { code: string; message: string });
  } catch { /* no JSON: the status has to do */ }
  throw new ApiError(response.status, code, message, Number(response.headers.get('Retry-After') ?? 0));
}

async function json<T>(path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const init: RequestInit = { signal };
  if (body !== undefined) {
    init.method = 'POST';
    init.headers = { 'Content-Type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  return await (await call(path, init)).json() as T;
}

export const capabilities = (model: string): Promise<Capabilities> =>
  json(`/v1/capabilities${model ? `?model=${encodeURIComponent(model)}` : ''}`);

export const colourOf = (text: string, model: string): Promise<Colour> =>
  json(`/v1/skin?colour=${encodeURIComponent(text)}&model=${encodeURIComponent(model)}`);

export const measure = (job: string, index: number, signal?: AbortSignal): Promise<Measured> =>
  json('/v1/measure', { job, index }, signal);

export async function skinOfPhoto(photo: Blob, model: string): Promise<Colour> {
  const response = await call(`/v1/skin?model=${encodeURIComponent(model)}`,
    { method: 'POST', headers: { 'Content-Type': photo.type }, body: photo });
  return await response.json() as Colour;
}

export async function regionMask(body: object, signal?: AbortSignal): Promise<Blob> {
  const response = await call('/v1/region', {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), signal,
  });
  return await response.blob();
}

export function cancel(id: string): void {
  call(`/v1/jobs/${id}`, { method: 'DELETE' }).catch(() => undefined);
}

export async function result(path: string, signal?: AbortSignal): Promise<Blob> {
  return await (await call(path, { signal })).blob();
}

const isFinal = (job: Job): boolean => !['queued', 'running', 'packing'].includes(job.state);

/** Follows a job to its end; cancels it on the server when `signal` is aborted. */
export async function run(body: object, options: { signal?: AbortSignal; progress?: (job: Job) => void } = {}): Promise<Job> {
  const { signal, progress } = options;
  let job: Job | undefined;
  try {
    // A short wait answers most single images in one exchange, and still tells the id soon enough to cancel by.
    job = await json<Job>('/v1/generate', { ...body, wait_s: progress ? 0 : 0.5 }, signal);
    while (!isFinal(job)) {
      progress?.(job);
      job = await json<Job>(`/v1/jobs/${job.id}?wait_s=${progress ? 0.4 : 10}`, undefined, signal);
    }
  } catch (error) {
    if (signal?.aborted && job) cancel(job.id);
    throw error;
  }
  if (job.state !== 'done') throw new ApiError(0, job.state, `The job is ${job.state}: ${job.error ?? ''}`, 1);
  return job;
}
