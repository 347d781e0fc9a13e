/**
 * The API as a table: every address below /api/v1, its method, who may call it, and what of the switch it asks. The
 * names are promises to users; the shapes are in src/bridge/views/json.ts.
 */
import type { Answer } from "./http.ts";
import { follow } from "./follow.ts";
import { Problem } from "./problem.ts";
import { durationMs, flag, listQuery, onlyKnown, since } from "./query.ts";
import { list, page } from "./lists.ts";
import { EVENT_KINDS, type EventKind } from "../telemetry/events.ts";
import { metrics } from "./metrics/index.ts";
import type { Maybe, PortPatch, ReloadRequest, Role, SwitchView, TraceRequest } from "./switch.ts";

export interface Call {
  readonly view: SwitchView;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly body: unknown;
  /** The Accept header, "" without one. */
  readonly accept: string;
  /** Unix ms. */
  readonly nowMs: number;
  /** A token for the key of a link; undefined: the key is none, or was used. */
  redeem(key: string): { token: string; role: Role } | undefined;
  /** Aborted when the client is gone or the server closes. */
  readonly signal: AbortSignal;
}

export type Method = "GET" | "PUT" | "PATCH" | "POST" | "DELETE";

export interface Route {
  readonly method: Method;
  /** "/api/v1/ports/{name}" */
  readonly path: string;
  readonly role: Role;
  readonly summary: string;
  /** What the document says of it, by names of types: one thing, a list of things and what stands beside it, or no JSON. */
  readonly answer: AnswerShape;
  readonly body?: string;
  readonly query?: readonly string[];
  handle(call: Call): Maybe<Answer>;
}

type AnswerShape = string | { readonly list: string; readonly extra?: string } | { readonly media: string };
/** An answer without a body. */
const NOTHING = { media: "none" };

const LIST = ["where", "sort", "limit", "name"];
const DEFAULT_DROP_WINDOW_MS = 60_000;
const DEFAULT_FLOWS = 20;
/** States of a bridge that does what it is for. */
const WORKING = ["forwarding", "observing"];

const get = (
  path: string,
  summary: string,
  answer: AnswerShape,
  handle: Route["handle"],
  query: readonly string[] = [],
): Route => ({
  method: "GET",
  path: path.startsWith("/") ? path : `/api/v1/${path}`,
  role: "viewer",
  summary,
  answer,
  query,
  handle,
});

/** `body`: "" without one. */
const write = (
  method: Method,
  path: string,
  summary: string,
  [body, answer]: readonly [string, AnswerShape],
  handle: Route["handle"],
): Route => ({
  method,
  path: `/api/v1/${path}`,
  role: "operator",
  summary,
  answer,
  ...(body !== "" && { body }),
  handle,
});

/** A list that the view gives whole; where, sort and limit are applied to its JSON. */
const whole = (
  name: string,
  summary: string,
  type: string,
  key: string,
  items: (view: SwitchView) => Maybe<unknown[]>,
): Route =>
  get(
    name,
    summary,
    { list: type },
    async (call) => {
      onlyKnown(call.query, LIST);
      return list(await items(call.view), listQuery(call.query), key, call.nowMs);
    },
    LIST,
  );

function object(body: unknown, known: readonly string[]): Record<string, unknown> {
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw new Problem(400, "the body must be a JSON object", [{ path: "body", message: "not an object" }]);
  const errors = Object.keys(body)
    .filter((key) => !known.includes(key))
    .map((path) => ({ path, message: `unknown key; known: ${known.join(", ")}` }));
  if (errors.length > 0) throw new Problem(400, `${errors[0]!.path}: ${errors[0]!.message}`, errors);
  return body as Record<string, unknown>;
}

function typed<T>(body: Record<string, unknown>, key: string, type: "string" | "boolean"): T | undefined {
  const value = body[key];
  if (value === undefined || typeof value === type) return value as T | undefined;
  throw new Problem(400, `${key}: must be a ${type}`, [{ path: key, message: `must be a ${type}` }]);
}

function duration(body: Record<string, unknown>, key: string): number | undefined {
  const value = typed<string>(body, key, "string");
  if (value === undefined) return undefined;
  const ms = durationMs(value);
  if (ms !== undefined && ms > 0) return ms;
  throw new Problem(400, `${key}: write 60s or 10m, not ${JSON.stringify(value)}`, [
    { path: key, message: "no duration" },
  ]);
}

async function flows(call: Call): Promise<Answer> {
  onlyKnown(call.query, ["where", "sort", "limit"]);
  const query = listQuery(call.query);
  const where = query.where === undefined ? {} : { where: query.where };
  const wanted = { ...where, sort: query.sort ?? "-bps", limit: query.limit ?? DEFAULT_FLOWS };
  if (wanted.limit === 0) return { lines: call.view.flowStream(wanted) };
  const { items, total } = await call.view.flows(wanted);
  return page(items, total, call.nowMs);
}

async function drops(call: Call): Promise<Answer> {
  onlyKnown(call.query, [...LIST, "since", "all"]);
  const query = { since: since(call.query, DEFAULT_DROP_WINDOW_MS), all: flag(call.query, "all") };
  const { items, ...extra } = await call.view.drops(query);
  const wanted = listQuery(call.query);
  return list(items, { ...wanted, sort: wanted.sort ?? "-packets" }, "port", call.nowMs, extra);
}

function events(call: Call): Answer {
  onlyKnown(call.query, ["kind", "follow", "limit"]);
  const asked = call.query
    .getAll("kind")
    .flatMap((value) => value.split(","))
    .filter(Boolean);
  const unknown = asked.find((kind) => !(EVENT_KINDS as readonly string[]).includes(kind));
  if (unknown !== undefined)
    throw new Problem(400, `kind: there are no ${JSON.stringify(unknown)} events; known: ${EVENT_KINDS.join(", ")}`);
  const kinds = asked as EventKind[];
  if (flag(call.query, "follow")) return { lines: follow(call.view.events, kinds, call.signal) };
  const found = call.view.events.recent(kinds);
  const limit = listQuery(call.query).limit ?? 100;
  return page(limit === 0 ? found : found.slice(-limit), found.length, call.nowMs);
}

async function trace(call: Call): Promise<Answer> {
  const body = object(call.body, ["port", "match", "frame", "flow"]);
  const request: Record<string, string> = {};
  for (const key of ["port", "match", "frame", "flow"]) {
    const value = typed<string>(body, key, "string");
    if (value !== undefined) request[key] = value;
  }
  const ways = ["match", "frame", "flow"].filter((key) => request[key] !== undefined);
  if (ways.length !== 1) throw new Problem(400, "give one of match (fields), frame (hex) and flow (id)");
  if (request.flow === undefined && request.port === undefined)
    throw new Problem(400, "port: say where the frame comes in", [{ path: "port", message: "missing" }]);
  return { json: await call.view.trace(request as TraceRequest) };
}

async function reload(call: Call): Promise<Answer> {
  const body = object(call.body, ["dryRun", "try", "keep"]);
  const tryMs = duration(body, "try");
  const request: ReloadRequest = {
    dryRun: typed<boolean>(body, "dryRun", "boolean") ?? false,
    keep: typed<boolean>(body, "keep", "boolean") ?? false,
    ...(tryMs === undefined ? {} : { tryMs }),
  };
  if (request.keep && (request.dryRun || tryMs !== undefined)) throw new Problem(400, "keep stands alone");
  return { json: await call.view.reload(request) };
}

async function patchPort(call: Call): Promise<Answer> {
  const body = object(call.body, ["enabled", "for"]);
  const enabled = typed<boolean>(body, "enabled", "boolean");
  if (enabled === undefined)
    throw new Problem(400, "enabled: must be true or false", [{ path: "enabled", message: "missing" }]);
  const forMs = duration(body, "for");
  const patch: PortPatch = { enabled, ...(forMs === undefined ? {} : { forMs }) };
  return { json: await call.view.patchPort(call.params.name!, patch) };
}

async function onePort(call: Call): Promise<Answer> {
  onlyKnown(call.query, []);
  const port = (await call.view.ports()).find((entry) => entry.name === call.params.name);
  if (port === undefined) throw new Problem(404, `there is no port ${JSON.stringify(call.params.name)}`);
  return { json: port };
}

async function system(call: Call): Promise<Answer> {
  onlyKnown(call.query, []);
  return { json: await call.view.system() };
}

function session(call: Call): Answer {
  const body = object(call.body, ["key"]);
  const given = call.redeem(typed<string>(body, "key", "string") ?? "");
  if (given === undefined) throw new Problem(401, "that key is none, or its link was opened before: it is good once");
  return { json: given };
}

/** `origin` is what the asking program says of itself: on the socket everybody is an operator. */
async function putMirror(call: Call): Promise<Answer> {
  const { origin, startedBy, ...entry } = object(call.body, Object.keys(call.body ?? {}));
  const who = typed<string>({ startedBy }, "startedBy", "string")?.slice(0, 64) ?? "api";
  const caller = { origin: origin === "cli" ? "cli" : "api", startedBy: who } as const;
  return { json: await call.view.putMirror(call.params.name!, entry, caller) };
}

async function oneMirror(call: Call): Promise<Answer> {
  onlyKnown(call.query, []);
  const mirror = (await call.view.mirrors()).find((entry) => entry.name === call.params.name);
  if (mirror === undefined) throw new Problem(404, `there is no mirror ${JSON.stringify(call.params.name)}`);
  return { json: mirror };
}

async function capture(call: Call): Promise<Answer> {
  await oneMirror(call);
  const bytes = call.view.capture(call.params.name!, call.signal);
  const file = `${call.params.name!.replaceAll(/[^\w.@+-]/g, "_")}.pcapng`;
  return { bytes, type: "application/x-pcapng", file };
}

export const routes: readonly Route[] = [
  get("/healthz", "the process answers", { media: "text/plain" }, () => ({ text: "ok\n" })),
  get("/readyz", "every bridge forwards", { media: "text/plain" }, async (call) => {
    const { bridges } = await call.view.system();
    const waiting = bridges.filter((bridge) => !WORKING.includes(bridge.state)).map((bridge) => bridge.name);
    return waiting.length === 0
      ? { text: "ready\n" }
      : { text: `not forwarding: ${waiting.join(", ")}\n`, status: 503 };
  }),
  get(
    "/metrics",
    "for Prometheus",
    { media: "text/plain" },
    ({ view, query, accept }) => metrics(view, query, accept),
    ["names"],
  ),
  get("openapi.json", "this document", { media: "application/json" }, async ({ view }) => {
    const { openapi } = await import("./openapi.ts");
    return { json: openapi(routes, (await view.system()).version) };
  }),
  get("system", "the process, its bridges and exporters at a glance", "SystemJson", system),
  whole("bridges", "bridges: counters, rates, table sizes", "BridgeJson", "name", (view) => view.bridges()),
  whole("ports", "ports: state, counters by disposition, rates, losses around the switch", "PortJson", "name", (view) =>
    view.ports(),
  ),
  get("ports/{name}", "one port", "PortJson", onePort),
  write("PUT", "ports/{name}", "make a port, or change it", ["PortBody", "PortJson"], async (call) => ({
    json: await call.view.putPort(call.params.name!, object(call.body, Object.keys(call.body ?? {}))),
  })),
  write("PATCH", "ports/{name}", "enable or disable a port", ["PortPatchBody", "PortJson"], patchPort),
  write("DELETE", "ports/{name}", "take away a port that was made at run time", ["", NOTHING], async (call) => {
    await call.view.deletePort(call.params.name!);
    return { none: true };
  }),
  whole("tenants", "tenants: the sums of their ports", "TenantJson", "tenant", (view) => view.tenants()),
  get("flows", "flows: ?where= ?sort=-bps ?limit=20; limit 0 streams all", { list: "FlowJson" }, flows, [
    "where",
    "sort",
    "limit",
  ]),
  whole("macs", "the MAC table", "MacJson", "mac", (view) => view.macs()),
  whole("rules", "the rule cache: what decisions were made, and what they looked at", "RuleJson", "id", (view) =>
    view.rules(),
  ),
  get(
    "drops",
    "what was refused, by port and reason, and what was lost around the switch: ?since=60s ?all=1",
    { list: "DropJson", extra: "DropsExtra" },
    drops,
    [...LIST, "since", "all"],
  ),
  whole("exporters", "exporters and their collectors", "ExporterJson", "name", (view) => view.exporters()),
  whole("audit", "does every frame have one disposition and one flow?", "AuditJson", "bridge", (view) => view.audit()),
  get("events", "what happened; ?follow=1 streams, ?kind=port,mac chooses", { list: "EventJson" }, events, [
    "kind",
    "follow",
    "limit",
  ]),
  // It sends nothing and shows nobody's packets: whoever may look may ask.
  {
    ...write("POST", "trace", "why a frame goes where it goes; changes nothing", ["TraceBody", "TraceJson"], trace),
    role: "viewer",
  },
  {
    ...write(
      "POST",
      "session",
      "a token for the key of a one-time link: its first use gets it",
      ["SessionBody", "SessionJson"],
      session,
    ),
    role: "viewer",
  },
  whole("mirrors", "mirror sessions: what they copy, where to, and their counters", "MirrorJson", "name", (view) =>
    view.mirrors(),
  ),
  get("mirrors/{name}", "one mirror session", "MirrorJson", oneMirror),
  write(
    "PUT",
    "mirrors/{name}",
    "start a mirror session; the body is a mirror entry of the configuration",
    ["MirrorBody", "MirrorJson"],
    putMirror,
  ),
  write("DELETE", "mirrors/{name}", "stop a mirror session", ["", "MirrorJson"], async (call) => ({
    json: await call.view.deleteMirror(call.params.name!),
  })),
  {
    ...get(
      "mirrors/{name}/capture",
      "the session's frames as a pcapng stream",
      { media: "application/x-pcapng" },
      capture,
    ),
    role: "operator",
  },
  get("config", "the running configuration", { media: "application/json" }, async (call) => {
    onlyKnown(call.query, []);
    return { json: await call.view.config() };
  }),
  write(
    "POST",
    "reload",
    "read the configuration again and apply the difference",
    ["ReloadBody", "ReloadJson"],
    reload,
  ),
];
