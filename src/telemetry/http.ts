/** HTTP to one server for an exporter: one answer a request, bounded in time and size, counted. */
import { readFileSync } from "node:fs";
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { HttpAnswer, HttpRequest, HttpTarget, SenderStats } from "./exporter.ts";

/** Of an answer; the rest is not read. */
const MAX_ANSWER_BYTES = 65536;

export interface HttpTargetOptions {
  readonly timeoutMs: number;
  /** PEM file of who signed the server's certificate, read for each request; absent: the system's authorities. */
  readonly ca?: string | undefined;
  /** Unix time, ms. */
  readonly now: () => number;
}

/** `url` without user and password: it is shown. */
export function httpTarget(url: string, { timeoutMs, ca, now }: HttpTargetOptions): HttpTarget & { close(): void } {
  const base = new URL(url);
  const isSecure = base.protocol === "https:";
  const agent = isSecure
    ? new HttpsAgent({ keepAlive: true, maxSockets: 1 })
    : new HttpAgent({ keepAlive: true, maxSockets: 1 });
  const counts = { datagrams: 0, bytes: 0, sendErrors: 0 };
  let waiting = 0;
  let lastError: string | undefined;
  let lastErrorMs: number | undefined;
  let lastSentMs: number | undefined;

  const fail = (message: string): void => {
    counts.sendErrors++;
    lastError = message;
    lastErrorMs = now();
  };

  const send = ({ path, headers, body }: HttpRequest): Promise<HttpAnswer> =>
    new Promise((resolve, reject) => {
      const start = isSecure ? httpsRequest : httpRequest;
      const trust = isSecure && ca !== undefined ? { ca: readFileSync(ca) } : {};
      const where = new URL(base.pathname.replace(/\/$/, "") + path, base);
      const request = start(where, { method: "POST", agent, headers, ...trust });
      const timer = setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
      const settle = (done: () => void): void => {
        clearTimeout(timer);
        done();
      };
      request.on("error", (error) => settle(() => reject(error)));
      request.on("response", (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length <= MAX_ANSWER_BYTES) chunks.push(chunk);
          else response.destroy();
        });
        response.on("error", (error) => settle(() => reject(error)));
        response.on("close", () =>
          settle(() => {
            const retryAfter = response.headers["retry-after"];
            resolve({
              status: response.statusCode ?? 0,
              reason: response.statusMessage ?? "",
              ...(retryAfter !== undefined && { retryAfter }),
              body: Buffer.concat(chunks).toString("utf8"),
            });
          }),
        );
      });
      request.end(body);
    });

  return {
    async post(request) {
      waiting++;
      try {
        const answer = await send(request);
        if (answer.status >= 200 && answer.status < 300) {
          counts.datagrams++;
          counts.bytes += request.body.length;
          lastSentMs = now();
        } else fail(`${answer.status} ${answer.reason}`);
        return answer;
      } catch (error) {
        const why = reason(error as NodeJS.ErrnoException);
        fail(why);
        throw new Error(why, { cause: error });
      } finally {
        waiting--;
      }
    },
    get stats(): SenderStats {
      return {
        collector: base.origin,
        ...counts,
        queued: waiting,
        ...(lastError !== undefined && { lastError }),
        ...(lastErrorMs !== undefined && { lastErrorMs }),
        ...(lastSentMs !== undefined && { lastSentMs }),
      };
    },
    close: () => agent.destroy(),
  };
}

const UNTRUSTED = /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(VERIFY|GET_ISSUER)_.*)$/;

/** For people: what to do about it where we know. */
function reason({ code, path, message }: NodeJS.ErrnoException): string {
  if (code !== undefined && UNTRUSTED.test(code))
    return `certificate not trusted (${code}): name its authority in tls.ca`;
  return path !== undefined ? message : (code ?? message);
}
