/** The plumbing of one HTTP exchange: bounded bodies in, JSON, problems and line streams out. No route knows sockets. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Problem } from "./problem.ts";

export const MAX_BODY = 64 * 1024;

/** What a handler answers. */
export type Answer =
  | { readonly json: unknown; readonly status?: number }
  | { readonly text: string; readonly status?: number; readonly type?: string }
  | { readonly lines: AsyncIterable<readonly unknown[]> }
  | { readonly bytes: AsyncIterable<Uint8Array>; readonly type: string; readonly file?: string }
  | { readonly none: true };

function isJson(type: string | undefined): boolean {
  return type !== undefined && /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type);
}

/** The body as JSON. Throws a Problem: 415, 413, 400. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  if (!isJson(request.headers["content-type"])) throw new Problem(415, "a write needs Content-Type: application/json");
  const tooBig = new Problem(413, `a body may have ${MAX_BODY} bytes`);
  if (Number(request.headers["content-length"] ?? 0) > MAX_BODY) throw tooBig;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY) throw tooBig;
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks).toString("utf8");
  try {
    return JSON.parse(body) as unknown;
  } catch (error) {
    throw new Problem(400, `the body is not JSON: ${(error as Error).message}`, [
      { path: "body", message: "not JSON" },
    ]);
  }
}

const COMMON = { "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff" };

function whole(response: ServerResponse, status: number, type: string, body: string): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, { ...COMMON, "Content-Type": type, "Content-Length": bytes.length });
  response.end(response.req.method === "HEAD" ? undefined : bytes);
}

export function sendProblem(response: ServerResponse, problem: Problem): void {
  if (response.headersSent) return void response.destroy();
  for (const [name, value] of Object.entries(problem.headers)) response.setHeader(name, value);
  // The rest of a body that was refused is not read: the connection ends with the answer.
  if (!response.req.complete) response.setHeader("Connection", "close");
  whole(response, problem.status, "application/problem+json", JSON.stringify(problem.body()) + "\n");
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}

/** One object a line; waits for a slow reader, stops with it. */
async function sendLines(response: ServerResponse, lines: AsyncIterable<readonly unknown[]>): Promise<void> {
  response.writeHead(200, { ...COMMON, "Content-Type": "application/x-ndjson" });
  if (response.req.method === "HEAD") return void response.end();
  response.flushHeaders();
  response.socket?.setTimeout(0);
  for await (const batch of lines) {
    if (response.destroyed) return;
    const text = batch.map((item) => JSON.stringify(item) + "\n").join("");
    if (text !== "" && !response.write(text)) await drained(response);
    if (response.destroyed) return;
  }
  response.end();
}

/** Bytes as they come; waits for a slow reader, stops with it. */
async function sendBytes(response: ServerResponse, answer: Extract<Answer, { bytes: unknown }>): Promise<void> {
  const disposition =
    answer.file === undefined ? {} : { "Content-Disposition": `attachment; filename="${answer.file}"` };
  response.writeHead(200, { ...COMMON, ...disposition, "Content-Type": answer.type });
  if (response.req.method === "HEAD") return void response.end();
  response.flushHeaders();
  response.socket?.setTimeout(0);
  for await (const bytes of answer.bytes) {
    if (response.destroyed) return;
    if (!response.write(bytes)) await drained(response);
    if (response.destroyed) return;
  }
  response.end();
}

export async function send(response: ServerResponse, answer: Answer): Promise<void> {
  if ("lines" in answer) return sendLines(response, answer.lines);
  if ("bytes" in answer) return sendBytes(response, answer);
  if ("none" in answer) return void response.writeHead(204, COMMON).end();
  if ("text" in answer) {
    const { text, status = 200, type = "text/plain; charset=utf-8" } = answer;
    return whole(response, status, type, text);
  }
  whole(response, answer.status ?? 200, "application/json", JSON.stringify(answer.json) + "\n");
}
