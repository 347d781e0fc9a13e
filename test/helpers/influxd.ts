/** A real InfluxDB 1.x of Debian's `influxdb`, with its own files and free ports, stopped by pid. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const PROGRAM = "/usr/bin/influxd";
export const hasInfluxd = existsSync(PROGRAM);

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

export interface InfluxdOptions {
  /** Users and passwords are asked for, once there is an administrator. */
  readonly auth?: boolean;
  /** PEM files: it speaks HTTPS. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

export class Influxd {
  readonly url: string;
  /** As whom `query` asks. */
  user: { readonly u: string; readonly p: string } | undefined;
  private readonly folder: string;
  private process: ChildProcess | undefined;

  private constructor(folder: string, port: number, isSecure: boolean) {
    this.folder = folder;
    this.url = `${isSecure ? "https" : "http"}://127.0.0.1:${port}`;
  }

  static async start({ auth = false, tls }: InfluxdOptions = {}): Promise<Influxd> {
    const folder = mkdtempSync(join(tmpdir(), "weir-influxd-"));
    const [http, rpc] = [await freePort(), await freePort()];
    writeFileSync(
      join(folder, "influxdb.conf"),
      `reporting-disabled = true
bind-address = "127.0.0.1:${rpc}"
[meta]
  dir = "${folder}/meta"
[data]
  dir = "${folder}/data"
  wal-dir = "${folder}/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:${http}"
  log-enabled = false
  auth-enabled = ${auth}
${tls ? `  https-enabled = true\n  https-certificate = "${tls.cert}"\n  https-private-key = "${tls.key}"` : ""}
`,
    );
    const server = new Influxd(folder, http, tls !== undefined);
    await server.up();
    return server;
  }

  /** Start it again, with what it has. */
  async up(): Promise<void> {
    const child = spawn(PROGRAM, ["-config", join(this.folder, "influxdb.conf")], { stdio: "ignore" });
    this.process = child;
    for (let n = 0; n < 300; n++) {
      if (child.exitCode !== null) throw new Error(`influxd ended with ${child.exitCode}`);
      if ((await this.ask("GET", "/ping").catch(() => undefined))?.status === 204) return;
      await sleep(50);
    }
    throw new Error("influxd did not start");
  }

  async down(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.process;
    this.process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  async stop(): Promise<void> {
    await this.down("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Rows of the first statement, as objects with tags and columns together. Throws the server's error. */
  async query(q: string, db = "weir"): Promise<Record<string, unknown>[]> {
    const asked = new URLSearchParams({ db, q, epoch: "ms", ...this.user }).toString();
    const { results, error } = JSON.parse((await this.ask("POST", `/query?${asked}`)).text) as {
      error?: string;
      results?: { error?: string; series?: { tags?: object; columns: string[]; values: unknown[][] }[] }[];
    };
    const [first] = results ?? [];
    if (error !== undefined || first?.error !== undefined) throw new Error(error ?? first?.error);
    return (first?.series ?? []).flatMap(({ tags, columns, values }) =>
      values.map((row) => ({ ...tags, ...Object.fromEntries(columns.map((name, n) => [name, row[n]])) })),
    );
  }

  private ask(method: string, path: string): Promise<{ readonly status: number | undefined; readonly text: string }> {
    return new Promise((resolve, reject) => {
      const start = this.url.startsWith("https") ? httpsRequest : httpRequest;
      // Whose certificate it has is the exporter's concern, not ours.
      const request = start(this.url + path, { method, rejectUnauthorized: false }, (answer) => {
        let text = "";
        answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
        answer.on("end", () => resolve({ status: answer.statusCode, text }));
        answer.on("error", reject);
      });
      request.on("error", reject);
      request.end();
    });
  }
}
