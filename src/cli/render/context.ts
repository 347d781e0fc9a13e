import type { Paint } from "./text.ts";

/** What a screen is drawn with: rendering is a function of JSON and this. */
export interface Screen {
  readonly paint: Paint;
  /** Unix ms, for ages. */
  readonly nowMs: number;
}

/** The body of a list endpoint. */
export interface List<T> {
  readonly at: string;
  readonly total: number;
  readonly items: readonly T[];
}
