/**
 * Who may do what over TCP: hosts that are ours, pages that are ours, tokens and their roles. Pure but for reading token
 * files.
 *
 * A page of somebody else's in an operator's browser can send requests here. It cannot choose its Origin, and where it has a
 * name of its own resolve to this host (DNS rebinding) it cannot choose Host: both are checked on every request.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import type { Role } from "./switch.ts";

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

export function roleOfToken(tokens: readonly Token[], given: string): Role | undefined {
  const hash = hashOf(given);
  let found: Role | undefined;
  // All are compared, whichever it is.
  for (const token of tokens) if (timingSafeEqual(token.hash, hash)) found = token.role;
  return found;
}

/** The role of a request; undefined: its token is none. Without a token: viewer. */
export function roleOfRequest(tokens: readonly Token[], headers: IncomingHttpHeaders): Role | undefined {
  const { authorization } = headers;
  if (authorization === undefined) return "viewer";
  const match = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(authorization);
  return match === null ? undefined : roleOfToken(tokens, match[1]!);
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
