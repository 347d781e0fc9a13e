/** What a decision knows of mirror sessions: a part of the snapshot. */

export interface MirrorSession {
  readonly name: string;
  /** 0 … 31, the session's bit in action blocks. */
  readonly bit: number;
  readonly ports: ReadonlySet<number>;
  readonly ingress: boolean;
  readonly egress: boolean;
  /** Absent: all. By the frame's VLAN on the bridge; of a refused frame the tag it carries. */
  readonly vlans?: ReadonlySet<number>;
  readonly dropped: "include" | "exclude" | "only";
  /** Port numbers. */
  readonly spans: readonly number[];
  readonly rspans: readonly Rspan[];
  /** There are outputs that the control thread serves. */
  readonly copies: boolean;
}

export interface Rspan {
  readonly vlan: number;
  /** Put the tag before the frame's own instead of replacing it. */
  readonly stacked: boolean;
}

/** What the pipeline has to know of all sessions of a bridge. */
export interface MirrorPlan {
  readonly sessions: readonly MirrorSession[];
  /** Ports that only send copies: never flooded to, what is received there is refused. */
  readonly outputPorts: ReadonlySet<number>;
  /** VLANs of copies: nothing is learned in them, and nothing mirrored. */
  readonly rspanVlans: ReadonlySet<number>;
}

export const NO_MIRRORS: MirrorPlan = { sessions: [], outputPorts: new Set(), rspanVlans: new Set() };
