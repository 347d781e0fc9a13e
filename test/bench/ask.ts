/** Questions to a running switch. */
import { request } from "node:http";

/** GET of the API's socket: its answer and how long it took, ms. */
export function get(socketPath: string, path: string): Promise<{ body: string; ms: number }> {
  const from = process.hrtime.bigint();
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, agent: false }, (answer) => {
      let body = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => (body += chunk));
      answer.on("end", () => resolve({ body, ms: Number(process.hrtime.bigint() - from) / 1e6 }));
    });
    asked.on("error", reject);
    asked.end();
  });
}

/** The same, its JSON read. */
export async function ask<T>(socketPath: string, path: string): Promise<T> {
  const { body } = await get(socketPath, path);
  return JSON.parse(body) as T;
}
