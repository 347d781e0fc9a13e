/** The receiving end of a session's stream: to stdout or into a file of the caller's. */
import { open } from "node:fs/promises";
import type { ApiClient } from "../api/client.ts";
import type { MirrorJson } from "../bridge/views/json.ts";
import type { Deps } from "./deps.ts";
import { UsageError } from "./errors.ts";
import { visible } from "./render/text.ts";

/** `target`: "-" or a path. Ends with the session, with Ctrl-C and with a reader that goes. */
export async function receive(api: ApiClient, name: string, target: string, deps: Deps): Promise<void> {
  const { signal } = deps;
  const address = `mirrors/${encodeURIComponent(name)}`;
  if (target === "-" && deps.out.isTTY) {
    await api.send("DELETE", address);
    throw new UsageError("a capture is no text for a terminal: write | tshark -r -, or a FILE.pcapng");
  }
  let bytes = 0;
  if (target === "-")
    for await (const chunk of api.bytes(`${address}/capture`, signal)) {
      deps.out.write(chunk);
      await deps.out.drain();
    }
  else {
    let file;
    try {
      file = await open(target, "w", 0o600);
    } catch (error) {
      await api.send("DELETE", address);
      throw error;
    }
    try {
      for await (const chunk of api.bytes(`${address}/capture`, signal)) {
        await file.writeFile(chunk);
        bytes += chunk.length;
      }
    } finally {
      await file.close();
    }
  }
  const body = await api.get<{ items: MirrorJson[] }>("mirrors", { name }).catch(() => undefined);
  const last = body?.items[0];
  if (last === undefined) return;
  const lost = last.rateDropped + last.queueDropped;
  const where = target === "-" ? "" : ` to ${visible(target)} (${bytes} bytes)`;
  const text = `${last.sent} frames captured${where}, ${last.matched} matched, ${lost} not copied`;
  deps.err.write(`weir: ${visible(name)}: ${text}${last.message === undefined ? "" : `; ${visible(last.message)}`}\n`);
}
