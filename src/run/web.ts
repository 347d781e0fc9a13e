/**
 * The API as the configuration wants it: the socket, addresses of TCP, tokens and certificates, the live view's files and
 * its feed. What cannot be had is a problem to show; the rest goes on.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Access, readToken, type Token } from "../api/access.ts";
import type { Site } from "../api/exchange.ts";
import { type ApiServer, startApi } from "../api/server.ts";
import type { SwitchView } from "../api/switch.ts";
import { type TcpConfig, TcpSide, unusableTls } from "../api/tcp.ts";
import type { ApiConfig } from "../config/config.ts";
import { pageFiles } from "../live/page-files.ts";
import { openFeed, type OpenFeed } from "../live/server.ts";
import type { Log } from "./log.ts";

export interface WebOptions {
  readonly view: SwitchView;
  readonly log: Log;
  /** Unix ms. */
  readonly now: () => number;
  /** Whoever shows it first is an operator (the demo's link). */
  readonly oneTimeKey: string | undefined;
}

export interface Trouble {
  /** "api.tokens.noc" */
  readonly path: string;
  readonly message: string;
}

export class Web {
  private readonly options: WebOptions;
  private readonly access: Access;
  private readonly feed: OpenFeed;
  private readonly site: Site;
  private readonly tcp: TcpSide;
  private api: ApiServer | undefined;
  private socketTrouble: Trouble[] = [];
  private fileTroubles: Trouble[] = [];

  constructor(options: WebOptions) {
    const { view, log, now, oneTimeKey } = options;
    this.options = options;
    this.access = new Access(oneTimeKey);
    this.feed = openFeed({ view, now, uptime: () => performance.now(), access: this.access });
    this.site = {
      view,
      now,
      log,
      page: pageFiles(pageFolder()),
      live: this.feed.live,
    };
    this.tcp = new TcpSide(this.site, this.access);
  }

  /** Open what the configuration says. Never throws: `problems` says what could not be had. */
  async start(config: ApiConfig): Promise<void> {
    const uid = process.getuid?.() ?? 0;
    try {
      this.api = await startApi({ ...this.site, socket: config.socket, uid });
    } catch (error) {
      this.socketTrouble = [{ path: "api.socket", message: (error as Error).message }];
    }
    await this.apply(config);
    for (const problem of this.problems) this.options.log("error", problem);
  }

  /**
   * Follow the configuration: tokens, names, addresses and certificates, files read anew. A token that is gone is gone at
   * once, also for who goes on by it. Returns what could not be had.
   */
  async apply(config: ApiConfig): Promise<Trouble[]> {
    const troubles: Trouble[] = [];
    this.access.use(config.tokens.flatMap((token) => readOne(token, troubles)));
    const { listen, hosts } = config;
    const unheard = await this.tcp.apply({ listen, hosts, tls: readTls(config.tls, troubles) });
    this.fileTroubles = troubles;
    return [...troubles, ...unheard.map(asTrouble)];
  }

  /** The socket's path; undefined: it is not open. */
  get socket(): string | undefined {
    return this.api?.socket;
  }

  /** Addresses of TCP that are open: "127.0.0.1:8380". */
  get listening(): readonly string[] {
    return this.tcp.listening;
  }

  /** What is missing now, one sentence each. */
  get problems(): string[] {
    const all = [...this.socketTrouble, ...this.fileTroubles, ...this.tcp.missing.map(asTrouble)];
    return all.map(({ path, message }) => `the API is not whole: ${path}: ${message}`);
  }

  async close(): Promise<void> {
    this.feed.close();
    this.tcp.close();
    await this.api?.close();
  }
}

const asTrouble = ({ address, message }: { readonly address: string; readonly message: string }): Trouble => {
  return { path: `api.listen ${address}`, message };
};

function readOne({ name, role, file, sha256 }: ApiConfig["tokens"][number], troubles: Trouble[]): Token[] {
  try {
    return [{ name, role, hash: file === undefined ? Buffer.from(sha256!, "hex") : readToken(file) }];
  } catch (error) {
    troubles.push({ path: `api.tokens.${name}`, message: (error as Error).message });
    return [];
  }
}

function readTls(tls: ApiConfig["tls"], troubles: Trouble[]): TcpConfig["tls"] {
  if (tls === undefined) return undefined;
  let message: string | undefined;
  try {
    const files = { cert: readFileSync(tls.cert), key: readFileSync(tls.key) };
    message = unusableTls(files);
    if (message === undefined) return files;
    message = `${tls.cert} and ${tls.key}: ${message}`;
  } catch (error) {
    message = (error as Error).message;
  }
  troubles.push({ path: "api.tls", message });
  return { unusable: message };
}

/** dist/page: beside dist/weir.js, or three folders above the compiled tests' modules. */
function pageFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return here.endsWith("/dist") ? join(here, "page") : join(here, "../../../page");
}
