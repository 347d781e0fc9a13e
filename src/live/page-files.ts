/** The page's three files, read once, with a policy that lets it load nothing and talk to nobody else. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const TYPES: Readonly<Record<string, string>> = {
  "index.html": "text/html; charset=utf-8",
  "app.js": "text/javascript; charset=utf-8",
  "app.css": "text/css; charset=utf-8",
};

/** W3C Content Security Policy. The icon is a data: URL. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export const SECURITY_HEADERS = {
  "Content-Security-Policy": POLICY,
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
};

interface File {
  readonly type: string;
  readonly bytes: Buffer;
  readonly gzip: Buffer;
  readonly etag: string;
}

export type PageFiles = (path: string, request: IncomingMessage, response: ServerResponse) => boolean;

/** A function that answers for the page's paths, and says whether it did. Without a built page it answers for none. */
export function pageFiles(folder: string): PageFiles {
  const files = new Map<string, File>();
  try {
    for (const [name, type] of Object.entries(TYPES)) {
      const bytes = readFileSync(join(folder, name));
      const etag = `"${createHash("sha256").update(bytes).digest("hex").slice(0, 32)}"`;
      files.set(name === "index.html" ? "/" : `/${name}`, { type, bytes, gzip: gzipSync(bytes, { level: 9 }), etag });
    }
  } catch {
    files.clear();
  }
  return (path, request, response) => {
    const file = files.get(path);
    if (file === undefined || (request.method !== "GET" && request.method !== "HEAD")) return false;
    const headers = { ...SECURITY_HEADERS, ETag: file.etag, "Cache-Control": "no-cache", Vary: "Accept-Encoding" };
    if (request.headers["if-none-match"] === file.etag) {
      response.writeHead(304, headers).end();
      return true;
    }
    const isGzip = /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""));
    const body = isGzip ? file.gzip : file.bytes;
    response.writeHead(200, {
      ...headers,
      "Content-Type": file.type,
      "Content-Length": body.length,
      ...(isGzip && { "Content-Encoding": "gzip" }),
    });
    response.end(request.method === "HEAD" ? undefined : body);
    return true;
  };
}
