import type { ReplayOptions } from "../cli/deps.ts";
import type { ReplayResult } from "../cli/render/replay.ts";

export async function replay(_options: ReplayOptions, _deps: unknown): Promise<ReplayResult> {
  throw new Error("not in this build");
}
