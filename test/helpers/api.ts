/** The HTTP API of a running switch, asked on its socket. */
import { request } from "node:http";

/** The answer's body; rejects with status and text where that is not 200. */
export function api<T>(socketPath: string, method: string, path: string, body?: object): Promise<T> {
  return new Promise((resolve, reject) => {
    const headers = { host: "localhost", "content-type": "application/json" };
    const asked = request({ socketPath, method, path: `/api/v1/${path}`, headers }, (answer) => {
      let text = "";
      answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
      answer.on("end", () => {
        if (answer.statusCode === 200) resolve(JSON.parse(text) as T);
        else reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`));
      });
    });
    asked.on("error", reject);
    asked.end(body && JSON.stringify(body));
  });
}
