/** When a change of configuration holds for every frame. */
import type { Bridge } from "./bridge.ts";

/** Beyond this something is broken, and the caller should say so. */
const SETTLE_NS = 5e9;
const LOOK_AGAIN_MS = 2;

/**
 * Resolves when every rule says what the configuration says now and the datapath goes by it; false: not within 5 s. The
 * work itself is done by `bridge.tick`.
 */
export async function settled({ rules, datapath }: Pick<Bridge, "rules" | "datapath">): Promise<boolean> {
  const untilNs = datapath.nowNs() + SETTLE_NS;
  const wait = async (isDone: () => boolean): Promise<boolean> => {
    while (!isDone()) {
      if (datapath.nowNs() > untilNs) return false;
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
    return true;
  };
  if (!(await wait(() => !rules.busy))) return false;
  // Changes come into force in their order.
  const last = datapath.program({});
  return wait(() => ((datapath.applied() - last) | 0) >= 0);
}
