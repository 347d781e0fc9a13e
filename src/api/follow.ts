/** Events from now on, as an async iterable that ends with the reader. */
import type { Event, EventBus, EventKind } from "../telemetry/events.ts";

export async function* follow(
  bus: EventBus,
  kinds: readonly EventKind[],
  signal: AbortSignal,
): AsyncIterable<readonly (Event | { readonly lost: number })[]> {
  const subscription = bus.subscribe(kinds);
  const close = (): void => subscription.close();
  signal.addEventListener("abort", close);
  let told = 0;
  try {
    while (!signal.aborted) {
      const batch: (Event | { readonly lost: number })[] = await subscription.wait();
      // A reader that fell behind is told how much it missed.
      if (subscription.lost > told) batch.push({ lost: subscription.lost - told });
      told = subscription.lost;
      if (batch.length > 0) yield batch;
    }
  } finally {
    close();
    signal.removeEventListener("abort", close);
  }
}
