/** How far an exporter of records is: what it took in of each bridge's log, and what of that has left. */
import type { ExporterEnv } from "./exporter.ts";

/** One bridge's log. */
interface Place {
  readonly bridge: string;
  /** Records below this position were taken in. */
  taken: number;
  committed: number;
}

export class Progress {
  private readonly env: ExporterEnv;
  private readonly places: Place[] = [];

  constructor(env: ExporterEnv) {
    this.env = env;
  }

  /** Where this bridge's records are; `first` is where they began. The caller moves `taken` on, record by record. */
  of(bridge: string, first: number): Place {
    let place = this.places.find((each) => each.bridge === bridge);
    if (!place) this.places.push((place = { bridge, taken: first, committed: first }));
    return place;
  }

  /** A datagram with everything taken in is about to leave as number `sequence`. */
  leave(sequence: number): void {
    for (const { bridge, taken, committed } of this.places)
      if (taken !== committed) this.env.leaving?.(bridge, taken, sequence);
  }

  /** Everything taken in has left, and the flow sequence is now `sequence`. */
  commit(sequence: number): void {
    for (const place of this.places) {
      if (place.taken === place.committed) continue;
      place.committed = place.taken;
      this.env.sent(place.bridge, place.taken, sequence);
    }
  }
}
