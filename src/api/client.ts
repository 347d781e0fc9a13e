/**
 * The asking side: finds a running switch and speaks to it over its Unix socket or HTTP. Every failure is one of three:
 * nobody answers (NoSwitch), not allowed (NotAllowed), or the switch said no (Problem).
 */
import { request, type ClientRequest, type IncomingMessage } from "node:http";
import type { WebSocket } from "ws";
import { Problem, type ProblemItem } from "./problem.ts";
import { distrust, socketPlaces } from "./socket.ts";

export interface Endpoint {
  /** As a person would write it: "unix:/run/weir/weir.sock", "http://127.0.0.1:8380". */
  readonly name: string;
  readonly socketPath?: string;
  readonly host?: string;
  readonly port?: number;
}

/** Nobody answers; `message` names every place that was tried and what was found there. */
export class NoSwitch extends Error {}

/** Permission, token or role. */
export class NotAllowed extends Error {}

export interface ClientOptions {
  /** --api */
  readonly api?: string | undefined;
  readonly token?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
  /** For an answer to begin, ms. */
  readonly timeoutMs?: number;
}

/** Throws an Error on what is neither unix:PATH nor http://H:P. */
export function parseEndpoint(text: string): Endpoint {
  if (text.startsWith("unix:") && text.length > 5) return { name: text, socketPath: text.slice(5) };
  if (text.startsWith("/")) return { name: `unix:${text}`, socketPath: text };
  const url = text.startsWith("http://") && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.username !== "" || !["", "/"].includes(url.pathname))
    throw new Error(
      `${JSON.stringify(text)} is no address of a switch: write unix:/run/weir/weir.sock or http://127.0.0.1:8380`,
    );
  return { name: `http://${url.host}`, host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || 80) };
}

/** Where to ask, in order: --api, WEIR_API, and only without both the known places. */
export function endpoints(options: Pick<ClientOptions, "api" | "env" | "uid">): Endpoint[] {
  const said = options.api ?? (options.env.WEIR_API || undefined);
  if (said !== undefined) return [parseEndpoint(said)];
  return socketPlaces(options.env, options.uid).map((path) => parseEndpoint(`unix:${path}`));
}

const ABSENT: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  ENOTDIR: "no such file",
  ECONNREFUSED: "nobody listens",
  ENOTSOCK: "not a socket",
  ENOTFOUND: "no such host",
  EHOSTUNREACH: "host unreachable",
  ENETUNREACH: "network unreachable",
  ETIMEDOUT: "no answer in time",
  ECONNRESET: "connection reset",
  EPIPE: "connection reset",
};

function notAllowed(endpoint: Endpoint, uid: number): NotAllowed {
  const who = uid === 0 ? "root" : `user ${uid}`;
  return new NotAllowed(
    `${endpoint.name}: permission denied for ${who}; members of the group that owns the socket may ask (usermod -aG weir NAME), or use sudo`,
  );
}

async function body(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

/** An error answer as what to throw. */
async function refusal(response: IncomingMessage): Promise<Error> {
  const status = response.statusCode ?? 500;
  let detail = `the switch answered ${status}`;
  let errors: readonly ProblemItem[] = [];
  try {
    const said = JSON.parse(await body(response)) as { detail?: unknown; errors?: unknown };
    if (typeof said.detail === "string") detail = said.detail;
    if (Array.isArray(said.errors)) errors = said.errors as ProblemItem[];
  } catch {
    // Not ours: a proxy's page; the status says enough.
  }
  return status === 401 || status === 403 ? new NotAllowed(detail) : new Problem(status, detail, errors);
}

export class ApiClient {
  private readonly options: ClientOptions;
  private readonly candidates: Endpoint[];
  private chosen: Endpoint | undefined;

  /** Throws an Error when --api or WEIR_API cannot be read. */
  constructor(options: ClientOptions) {
    this.options = options;
    this.candidates = endpoints(options);
  }

  /** Who answered, once somebody has. */
  get endpoint(): Endpoint | undefined {
    return this.chosen;
  }

  async get<T>(path: string, query: Readonly<Record<string, string | undefined>> = {}): Promise<T> {
    return JSON.parse(await body(await this.ask("GET", path, query))) as T;
  }

  async send<T>(method: "PUT" | "PATCH" | "POST" | "DELETE", path: string, value?: unknown): Promise<T> {
    const text = await body(await this.ask(method, path, {}, value));
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  /** An answer of one object a line, until it ends or the caller stops. */
  async *lines<T>(path: string, query: Readonly<Record<string, string | undefined>>): AsyncIterable<T> {
    const response = await this.ask("GET", path, query);
    let rest = "";
    response.setEncoding("utf8");
    for await (const chunk of response as AsyncIterable<string>) {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop()!;
      for (const line of parts) if (line !== "") yield JSON.parse(line) as T;
    }
  }

  /** An answer as it comes, until it ends, the caller stops or `signal` does. */
  async *bytes(path: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const response = await this.ask("GET", path, {});
    const stop = (): void => void response.destroy();
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) yield chunk;
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      response.destroy();
    }
  }

  /** A websocket, open. `lines` and `get` say what can go wrong. */
  async websocket(path: string): Promise<WebSocket> {
    if (this.chosen === undefined) await this.get("system");
    const { socketPath, name } = this.chosen!;
    const token = this.options.token ?? this.options.env.WEIR_TOKEN;
    const url = socketPath === undefined ? `${name.replace("http", "ws")}${path}` : `ws+unix:${socketPath}:${path}`;
    const { WebSocket } = await import("ws");
    const socket = new WebSocket(url, {
      perMessageDeflate: false,
      ...(token && { headers: { Authorization: `Bearer ${token}` } }),
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", ({ code, message }: NodeJS.ErrnoException) => {
        const why = ABSENT[code ?? ""];
        reject(why === undefined ? new Problem(502, `${name}${path}: ${message}`) : new NoSwitch(`${name} (${why})`));
      });
    });
    return socket;
  }

  private async ask(
    method: string,
    path: string,
    query: Readonly<Record<string, string | undefined>>,
    value?: unknown,
  ): Promise<IncomingMessage> {
    const params = new URLSearchParams();
    for (const [key, text] of Object.entries(query)) if (text !== undefined) params.set(key, text);
    const target = `/api/v1/${path}${params.size > 0 ? `?${params}` : ""}`;
    const response = await this.reach(method, target, value);
    if ((response.statusCode ?? 500) >= 400) throw await refusal(response);
    return response;
  }

  private async reach(method: string, target: string, value: unknown): Promise<IncomingMessage> {
    if (this.chosen !== undefined) return this.exchange(this.chosen, method, target, value);
    const tried: string[] = [];
    let denied: Endpoint | undefined;
    for (const endpoint of this.candidates) {
      const why = endpoint.socketPath === undefined ? undefined : distrust(endpoint.socketPath, this.options.uid);
      if (why !== undefined) {
        tried.push(`${endpoint.name} (${why})`);
        continue;
      }
      try {
        const response = await this.exchange(endpoint, method, target, value);
        this.chosen = endpoint;
        return response;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code ?? "";
        if (code === "EACCES" || code === "EPERM") denied ??= endpoint;
        else if (!(code in ABSENT)) throw error;
        tried.push(`${endpoint.name} (${ABSENT[code] ?? "permission denied"})`);
      }
    }
    if (denied !== undefined) throw notAllowed(denied, this.options.uid);
    throw new NoSwitch(
      `no switch answers; tried ${tried.join(", ")}. weir run starts one; --api or WEIR_API says where`,
    );
  }

  private exchange(endpoint: Endpoint, method: string, target: string, value: unknown): Promise<IncomingMessage> {
    const payload = value === undefined ? undefined : JSON.stringify(value);
    const token = this.options.token ?? this.options.env.WEIR_TOKEN;
    const timeoutMs = this.options.timeoutMs ?? 15_000;
    const headers: Record<string, string> = { Accept: "application/json" };
    if (payload !== undefined) headers["Content-Type"] = "application/json";
    if (token) headers.Authorization = `Bearer ${token}`;
    return new Promise((resolve, reject) => {
      const where =
        endpoint.socketPath === undefined ? endpoint : { socketPath: endpoint.socketPath, host: "localhost" };
      const { host, port, socketPath } = where as Endpoint;
      const asked: ClientRequest = request(
        { method, path: target, headers, ...(socketPath === undefined ? { host, port } : { socketPath }) } as object,
        (response) => {
          asked.setTimeout(0);
          resolve(response);
        },
      );
      asked.setTimeout(timeoutMs, () => {
        const late = `${endpoint.name} accepts, but has not answered for ${timeoutMs / 1000} s`;
        asked.destroy(Object.assign(new NoSwitch(late), { code: undefined }));
      });
      asked.on("error", reject);
      asked.end(payload);
    });
  }
}
