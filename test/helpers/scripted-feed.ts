/**
 * The live view's other side, scripted: serves dist/page with a strict policy, a feed of many tenants, ports and flows
 * that change each interval, and the HTTP API over the fake switch. For what a test or a screenshot must be able to
 * repeat; the switch itself is never faked where it is the subject.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { AddressInfo } from "node:net";
import { WebSocketServer, type WebSocket } from "ws";
import type { EventJson, FlowJson, MirrorJson, PortJson, TenantJson } from "../../src/bridge/views/json.ts";
import { compileWhere } from "../../src/api/where.ts";
import { compareBy } from "../../src/api/query.ts";
import { samplingOf } from "../../src/live/board.ts";
import {
  HOSTILE,
  audit,
  bridge,
  drops,
  exporters,
  fakeSwitch,
  flow,
  mirror,
  port,
  system,
  tenants,
} from "./fake-switch.ts";
import { projectRoot } from "./captures.ts";

export const LONG = `<script>window.pwned=1</script>\u202e${"x".repeat(10_000)}`;
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:";
const TYPES: Record<string, string> = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css" };
const NAMES = ["acme", "globex", "initech", "hooli", "wonka"];
const SHARES = [0.52, 0.27, 0.12, 0.06, 0.03];

export interface Script {
  /** Flows that exist; the page is told of the first that match. */
  readonly flows?: number;
  /** Flows replaced each second. */
  readonly churn?: number;
  readonly hostile?: boolean;
  readonly role?: "viewer" | "operator";
  /** Seconds of past that are sent at once on connecting, so that charts are full. */
  readonly past?: number;
  readonly listen?: number;
  /** Twelve frames have no fate: the audit fails. */
  readonly broken?: boolean;
  /** A session runs that somebody else began. */
  readonly mirrored?: boolean;
}

/** A pcapng of one empty Ethernet section and one 60-byte frame. */
function pcapng(): Buffer {
  const out = Buffer.alloc(28 + 20 + 32 + 60);
  out.writeUInt32LE(0x0a0d0d0a, 0);
  out.writeUInt32LE(28, 4);
  out.writeUInt32LE(0x1a2b3c4d, 8);
  out.writeUInt16LE(1, 12);
  out.writeBigInt64LE(-1n, 16);
  out.writeUInt32LE(28, 24);
  out.writeUInt32LE(1, 28);
  out.writeUInt32LE(20, 32);
  out.writeUInt16LE(1, 36);
  out.writeUInt32LE(20, 44);
  out.writeUInt32LE(6, 48);
  out.writeUInt32LE(92, 52);
  out.writeUInt32LE(60, 68);
  out.writeUInt32LE(60, 72);
  out.writeUInt32LE(92, 136);
  return out;
}

const wave = (t: number, i: number): number =>
  1 + 0.25 * Math.sin(t / (5 + i * 2) + i) + 0.1 * Math.sin(t / 1.7 + i * 3) + 0.06 * Math.sin(t * 2.3 + i);

/** The switch at a second of its script. */
function moment(t: number, atMs: number, script: Script, mirrors: MirrorJson[]) {
  const named: TenantJson[] = NAMES.map((name, i) => ({
    ...tenants[0]!,
    tenant: name,
    rxBps: 31.4e6 * SHARES[i]! * wave(t, i),
  }));
  const ports: PortJson[] = NAMES.flatMap((name, i) =>
    ["db1", "web1", "web2"].slice(0, i === 0 ? 3 : 2).map((vm, n) =>
      port(`${name}-${vm}`, {
        vlan: { mode: "access", tag: 100 + i * 10 },
        owner: { tenant: name, vm },
        tenant: name,
        speed: 1e9,
        rxBps: (9e6 * SHARES[i]! * wave(t, i + n)) / (n + 0.5),
        txBps: 6e6 * SHARES[i]! * wave(t, n * 3 + i),
        rxPackets: 48_211 + n,
        samplePool: 48_000,
        samples: 120 + i,
        ...(name === "globex" && vm === "web1" ? { dropPps: 21 } : {}),
      }),
    ),
  );
  ports.push(
    port("uplink", {
      speed: 10e9,
      vlan: { mode: "trunk", trunks: "100-149" },
      rxBps: 12e6 * wave(t, 8),
      txBps: 17e6 * wave(t, 9),
    }),
  );
  if (script.hostile) ports.push(port(LONG, { owner: { tenant: HOSTILE, vm: LONG }, message: LONG, state: "absent" }));
  const refused = 21 + 8 * wave(t, 2) + (Math.floor(t) % 17 === 0 ? 160 : 0);
  const lost = Math.floor(t) % 11 === 0 ? 9 : 0;
  const rx = 60_144 + Math.floor(t * 5012);
  const dropped = 348 + Math.floor(t * 29);
  const bridges = [
    {
      ...bridge,
      rxPackets: rx,
      dropped,
      consumed: 144,
      forwarded: rx - dropped - 144,
      rates: {
        ...bridge.rates,
        rxBps: named.reduce((sum, one) => sum + one.rxBps, 0),
        rxPps: 5012 * wave(t, 1),
        refusedPps: refused,
        droppedPps: refused,
        lostPps: lost,
      },
    },
  ];
  return {
    atMs,
    system: { ...system, bridges, exporters: exporters.map(({ name, type, state }) => ({ name, type, state })) },
    ports,
    sampling: ports.flatMap(samplingOf),
    tenants: script.hostile ? [...named, { ...tenants[0]!, tenant: LONG, rxBps: 1e6 }] : named,
    drops: script.hostile
      ? [{ ...drops.items[0]!, port: LONG, text: LONG, last: LONG }]
      : drops.items.map((d) => ({
          ...d,
          lastMs: atMs - 400,
          port: "globex-web1",
          owner: { tenant: "globex", vm: "web1" },
        })),
    lost: drops.lost.map((l) => ({ ...l, port: "acme-db1" })),
    expected: drops.expected,
    audit: [script.broken ? { ...audit, ok: false, dispositionsOk: false, forwarded: audit.forwarded - 12 } : audit],
    events: EVENTS.map((event, number) => ({ ...event, number, atMs: atMs - 1000 * (400 - number * 90) })),
    exporters: exporters.map((e) => ({ ...e, lastSentMs: atMs - 400 })),
    mirrors,
  };
}

function oneFlow(id: number, i: number, t: number, atMs: number, hostile: boolean): FlowJson {
  const tenant = NAMES[i % 5]!;
  return flow({
    id: `weir0/1/${id.toString(16)}`,
    port: hostile && i === 0 ? LONG : `${tenant}-web1`,
    output: [i % 3 === 0 ? "uplink" : `${tenant}-db1`],
    vlan: 100 + (i % 5) * 10,
    owner: { tenant, vm: "web1" },
    tenant,
    ipSrc: `10.${1 + (i % 5)}.0.5`,
    ipDst: i % 3 === 0 ? `192.0.2.${i % 250}` : `10.${1 + (i % 5)}.0.77`,
    srcPort: i % 2 ? 443 : 8080,
    dstPort: 40_000 + (id % 20_000),
    bps: (9.8e6 / (i + 1)) * wave(t, i),
    packets: 120_488 + Math.floor(t * 400),
    firstMs: atMs - 41_000 - i * 1000,
    lastMs: atMs - (i > 30 ? 7000 : 10),
  });
}

const EVENTS: readonly Omit<EventJson, "number" | "atMs">[] = [
  { kind: "config", message: "the configuration was loaded: 12 ports, 1 exporter" },
  { kind: "port", port: "acme-web2", message: "acme-web2 is up" },
  { kind: "mirror", message: "anna began to mirror hooli-web1 for 5 minutes" },
  { kind: "exporter", message: "netflow-v5: 127.0.0.1:2055 answers again" },
];

export interface Scripted {
  readonly url: string;
  readonly port: number;
  readonly calls: unknown[];
  close(): Promise<void>;
}

export async function scriptedFeed(script: Script = {}): Promise<Scripted> {
  const mirrors: MirrorJson[] = [];
  const view = fakeSwitch();
  if (script.mirrored)
    mirrors.push({
      ...mirror,
      name: "debug-hooli",
      origin: "cli",
      startedBy: "anna",
      endsMs: Date.now() + 252_000,
      select: { direction: "both", dropped: "include", ports: ["hooli-web1"], filter: "tcp port 443" },
      ports: ["hooli-web1"],
    });
  const began = Date.now();
  const total = script.flows ?? 842;
  const operator = script.role !== "viewer";

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? "/", "http://x").pathname;
    const json = (status: number, value: unknown): void =>
      void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    if (!path.startsWith("/api/")) {
      const name = path === "/" ? "index.html" : path.slice(1);
      if (!/^(index\.html|app\.js|app\.css)$/.test(name)) return void response.writeHead(404).end();
      response.writeHead(200, { "content-type": TYPES[name.split(".").pop()!]!, "content-security-policy": POLICY });
      return void response.end(readFileSync(join(projectRoot, "dist/page", name)));
    }
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const body = text === "" ? {} : JSON.parse(text);
    if (path === "/api/v1/flows") {
      const asked = new URL(request.url!, "http://x").searchParams.get("where") ?? "";
      const t = 1000 + (Date.now() - began) / 1000;
      const all = Array.from({ length: 40 }, (_, i) => oneFlow(i, i, t, Date.now(), false));
      const items = all.filter(compileWhere(asked, Object.keys(all[0]!)));
      return json(200, { at: new Date().toISOString(), total: items.length, items: items.slice(0, 1) });
    }
    if (path === "/api/v1/trace") return json(200, await view.trace(body));
    const [, name = "", what] = /^\/api\/v1\/mirrors\/([^/]+)(\/capture)?$/.exec(path) ?? [];
    if (!operator) return json(403, { detail: "packet contents need the operator role" });
    if (what !== undefined) {
      response.writeHead(200, { "content-type": "application/x-pcapng" });
      return void response.write(pcapng());
    }
    const at = mirrors.findIndex((one) => one.name === name);
    if (request.method === "PUT") {
      view.calls.push({ name, entry: body });
      mirrors.push({
        ...mirror,
        name,
        origin: "api",
        startedBy: "live view",
        endsMs: Date.now() + 300_000,
        select: body.select,
        ports: body.select.ports ?? [],
        outputs: [{ ...mirror.outputs[0]!, kind: "stream", target: "live view" }],
      });
      return json(200, mirrors.at(-1));
    }
    if (at < 0) return json(404, { detail: `there is no mirror ${name}` });
    mirrors[at] = { ...mirrors[at]!, state: "ended", message: "stopped" };
    return json(200, mirrors[at]);
  }

  const server = createServer((request, response) => void answer(request, response));
  const sockets = new WebSocketServer({ server, path: "/live" });
  sockets.on("connection", (socket: WebSocket) => {
    let where: ((item: unknown) => boolean) | undefined;
    let sort = "-bps";
    let seq = 0;
    let isAsked = true;
    const send = (t: number, atMs: number): void => {
      const shift = Math.floor(((script.churn ?? 0) / total) * 40 * t);
      let flows = Array.from({ length: 40 }, (_, i) => oneFlow(i + shift * 40, i, t, atMs, script.hostile === true));
      if (where !== undefined) flows = flows.filter(where);
      const parts = moment(t, atMs, script, mirrors);
      const ports = where === undefined ? parts.ports : parts.ports.filter((p) => flows.some((f) => f.port === p.name));
      const type = isAsked ? "snapshot" : "delta";
      isAsked = false;
      socket.send(
        JSON.stringify({
          type,
          seq: ++seq,
          role: operator ? "operator" : "viewer",
          ...parts,
          ports,
          flows: flows.sort(compareBy(sort)),
          flowsTotal: where === undefined ? total : flows.length,
        }),
      );
    };
    const now = (): void => send(1000 + (Date.now() - began) / 1000, Date.now());
    socket.on("message", (data) => {
      const asked = JSON.parse(String(data));
      if (asked.type !== "subscribe") return;
      const keys = Object.keys(oneFlow(0, 0, 0, 0, false));
      where = asked.where === undefined ? undefined : compileWhere(asked.where, keys);
      sort = asked.sort;
      isAsked = true;
      if (seq === 0)
        for (let s = script.past ?? 0; s > 0; s--) send(1000 + (Date.now() - began) / 1000 - s, Date.now() - s * 1000);
      now();
    });
    const timer = setInterval(now, 1000);
    socket.on("close", () => clearInterval(timer));
  });
  await new Promise<void>((done) => server.listen(script.listen ?? 0, "127.0.0.1", done));
  const at = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${at}/`,
    port: at,
    calls: view.calls,
    close: async () => {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
