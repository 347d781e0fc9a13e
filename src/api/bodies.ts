/** What the API takes, as types: the bodies of its requests. `routes.ts` checks them by hand and by name. */

/** Why a frame goes where it goes: one of match, frame and flow; with match and frame also port. */
export interface TraceBody {
  port?: string;
  /** Fields, in the filter language: "ipSrc=10.1.0.5 proto=tcp". */
  match?: string;
  /** A whole frame, hex. */
  frame?: string;
  /** A live flow's id. */
  flow?: string;
}

export interface ReloadBody {
  /** Say what it would do, and do nothing. */
  dryRun?: boolean;
  /** Go back after so long ("60s") unless kept. */
  try?: string;
  /** Keep what a reload with `try` brought; stands alone. */
  keep?: boolean;
}

export interface PortPatchBody {
  enabled: boolean;
  /** Undo after so long: "10m". */
  for?: string;
}

/** A port entry of the configuration (`weir schema`) without its name; `bridge` where there are several. */
export interface PortBody {
  type: string;
  bridge?: string;
  [option: string]: unknown;
}

/** A mirror entry of the configuration (`weir schema`) without its name. */
export interface MirrorBody {
  select: Record<string, unknown>;
  outputs: Record<string, unknown>[];
  /** What asks, and for whom: shown with the session. */
  origin?: string;
  startedBy?: string;
  [option: string]: unknown;
}

export interface SessionBody {
  /** Of a one-time link, or a token. */
  key: string;
}

export interface SessionJson {
  token: string;
  role: "viewer" | "operator";
}
