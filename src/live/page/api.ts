/** What the page asks by HTTP: everything that is not in the feed. A refusal is an Error with the switch's own sentence. */
import type { MirrorJson, TraceJson } from "../../bridge/views/json.ts";

let token = sessionStorage.getItem("weir-token") ?? undefined;

export function useToken(value: string): void {
  token = value;
  sessionStorage.setItem("weir-token", value);
}

/** The key of a link for a token: a one-time key is good once, and the token lasts as long as this tab. */
export async function redeem(key: string): Promise<void> {
  const answer = await ask("session", "POST", { key }, undefined, false);
  useToken(((await answer.json()) as { token: string }).token);
}

export function forgetToken(): void {
  token = undefined;
  sessionStorage.removeItem("weir-token");
}

export const theToken = (): string | undefined => token;

export async function ask(
  path: string,
  method = "GET",
  body?: unknown,
  signal?: AbortSignal,
  withToken = true,
): Promise<Response> {
  const headers: Record<string, string> = {};
  if (withToken && token !== undefined) headers["authorization"] = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(`/api/v1/${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (answer.ok) return answer;
  const problem = (await answer.json().catch(() => ({}))) as { detail?: string; title?: string };
  throw new Error(problem.detail ?? problem.title ?? `the switch answered ${answer.status}`);
}

export const trace = async (question: Record<string, string>): Promise<TraceJson> =>
  (await ask("trace", "POST", question)).json() as Promise<TraceJson>;

export const stopMirror = (name: string): Promise<Response> => ask(`mirrors/${encodeURIComponent(name)}`, "DELETE");

export interface CaptureWish {
  /** One of these two. */
  readonly port?: string;
  readonly owner?: { tenant?: string; vm?: string };
  readonly direction: "ingress" | "egress" | "both";
  readonly filter: string;
  readonly dropped: "include" | "exclude" | "only";
  readonly snaplen: number;
  readonly minutes: number;
}

export const startMirror = async (name: string, wish: CaptureWish): Promise<MirrorJson> => {
  const entry = {
    select: {
      ...(wish.port === undefined ? {} : { ports: [wish.port] }),
      ...(wish.owner === undefined ? {} : { owners: [wish.owner] }),
      direction: wish.direction,
      dropped: wish.dropped,
      ...(wish.filter === "" ? {} : { filter: wish.filter }),
    },
    outputs: [{ type: "stream" }],
    snaplen: wish.snaplen,
    limit: { duration: `${wish.minutes}m`, rate: "10kpps", bandwidth: "100Mbit" },
    startedBy: "live view",
  };
  return (await ask(`mirrors/${encodeURIComponent(name)}`, "PUT", entry)).json() as Promise<MirrorJson>;
};

/** Bytes that the page holds of one capture before it stops: a browser's memory is the operator's. */
const MOST_CAPTURED = 256 * 1024 * 1024;

export interface Capture {
  readonly name: string;
  bytes: number;
  done: boolean;
  error?: string;
  readonly chunks: Uint8Array<ArrayBuffer>[];
  stop(): void;
}

/** Captures that this page reads, by session. */
export const captures = new Map<string, Capture>();

/** Read a session's pcapng into memory until it ends; the download is what is there by then. */
export function readCapture(name: string, progress: () => void): Capture {
  const abort = new AbortController();
  const capture: Capture = { name, bytes: 0, done: false, chunks: [], stop: () => abort.abort() };
  captures.set(name, capture);
  void (async () => {
    try {
      const answer = await ask(`mirrors/${encodeURIComponent(name)}/capture`, "GET", undefined, abort.signal);
      const reader = answer.body!.getReader();
      while (capture.bytes < MOST_CAPTURED) {
        const { done, value } = await reader.read();
        if (done) break;
        capture.chunks.push(value);
        capture.bytes += value.length;
        progress();
      }
      if (capture.bytes >= MOST_CAPTURED) capture.error = "stopped at 256 MiB";
      await reader.cancel();
    } catch (error) {
      if (!abort.signal.aborted) capture.error = (error as Error).message;
    }
    capture.done = true;
    progress();
  })();
  return capture;
}

export function download(capture: Capture): void {
  const url = URL.createObjectURL(new Blob(capture.chunks, { type: "application/x-pcapng" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${capture.name.replaceAll(/[^\w.@+-]/g, "_")}.pcapng`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
