/**
 * Who may do what over TCP: hosts that are ours, pages that are ours, tokens and their roles. Pure but for reading token
 * files.
 *
 * A page of somebody else's in an operator's browser can send requests here. It cannot choose its Origin, and where it has a
 * name of its own resolve to this host (DNS rebinding) it cannot choose Host: both are checked on every request.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import type { Credential, Role } from "./switch.ts";

export interface Token {
  readonly name: string;
  readonly role: Role;
  /** SHA-256 of the token. */
  readonly hash: Buffer;
}

export const hashOf = (token: string): Buffer => createHash("sha256").update(token).digest();

/** A token's file: its first line. Throws an Error that names the file. */
export function readToken(path: string): Buffer {
  const text = readFileSync(path, "utf8").split("\n")[0]!.trim();
  if (!/^[\x21-\x7e]{16,512}$/.test(text))
    throw new Error(`${path}: its first line is no token: 16 to 512 characters of ASCII, none a space`);
  return hashOf(text);
}

/** Something that goes on for long with a token: a stream, a client of the feed. */
interface Holder {
  readonly hash: Buffer;
  role: Role;
  /** The token has another role now; undefined: it is none any more. */
  readonly changed: (role: Role | undefined) => void;
}

/** The tokens in force, and who goes on by them: what is taken back ends at once, not with its connection. */
export class Access {
  private tokens: readonly Token[] = [];
  /** Given for the key of a one-time link; as long as the process. */
  private readonly sessions: Token[] = [];
  private oneTime: Buffer | undefined;
  private readonly holders = new Set<Holder>();

  /** `oneTimeKey`: whoever shows it first is an operator. */
  constructor(oneTimeKey?: string) {
    this.oneTime = oneTimeKey === undefined ? undefined : hashOf(oneTimeKey);
  }

  /** From now on these, and only these. */
  use(tokens: readonly Token[]): void {
    this.tokens = tokens;
    for (const holder of this.holders) {
      const role = this.roleOf(holder.hash);
      if (role === holder.role) continue;
      if (role === undefined) this.holders.delete(holder);
      else holder.role = role;
      holder.changed(role);
    }
  }

  identify(token: string): Credential | undefined {
    const hash = hashOf(token);
    const role = this.roleOf(hash);
    return role === undefined ? undefined : { role, hash };
  }

  /** Who asks; undefined: the token is none. Without a token: viewer. */
  ofRequest({ authorization }: IncomingHttpHeaders): Credential | undefined {
    if (authorization === undefined) return { role: "viewer" };
    const match = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(authorization);
    return match === null ? undefined : this.identify(match[1]!);
  }

  /** A token for a key: the one-time key gives a new one, once; a token is its own. Undefined: neither. */
  redeem(key: string): { token: string; role: Role } | undefined {
    const known = this.identify(key);
    if (known !== undefined) return { token: key, role: known.role };
    if (this.oneTime === undefined || !timingSafeEqual(this.oneTime, hashOf(key))) return undefined;
    this.oneTime = undefined;
    const token = randomBytes(24).toString("base64url");
    this.sessions.push({ name: "link", role: "operator", hash: hashOf(token) });
    return { token, role: "operator" };
  }

  /** Tell when the role of a credential changes. Returns what ends the telling. */
  hold({ role, hash }: Credential, changed: Holder["changed"]): () => void {
    if (hash === undefined) return () => {};
    const holder = { hash, role, changed };
    this.holders.add(holder);
    return () => void this.holders.delete(holder);
  }

  private roleOf(hash: Buffer): Role | undefined {
    let found: Role | undefined;
    // All are compared, whichever it is.
    for (const list of [this.tokens, this.sessions])
      for (const token of list) if (timingSafeEqual(token.hash, hash)) found = token.role;
    return found;
  }
}

/** Why a request is not taken: it was sent to another host's name, or by another site's page. Undefined: it is. */
export function strange(headers: IncomingHttpHeaders, hosts: ReadonlySet<string>, isTls: boolean): string | undefined {
  const { host, origin } = headers;
  if (host === undefined || !hosts.has(host.toLowerCase()))
    return `Host ${JSON.stringify((host ?? "").slice(0, 100))} is none of this switch's`;
  if (origin === undefined) return undefined;
  if (origin.toLowerCase() === `${isTls ? "https" : "http"}://${host.toLowerCase()}`) return undefined;
  return "requests of other sites' pages are not taken";
}
