/** The mirror sessions of a running switch, as the API asks for them. Methods that refuse throw a Problem. */
import type { MirrorJson } from "../bridge/views/json.ts";
import type { Caller } from "./switch.ts";

export interface Mirrors {
  list(): MirrorJson[];
  put(name: string, entry: unknown, caller: Caller): Promise<MirrorJson>;
  stop(name: string): Promise<MirrorJson>;
  capture(name: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
}
