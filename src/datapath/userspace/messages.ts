/** What the control thread and the worker say to each other, beside the shared memory: plain data, in order. */
import type { ActionBlock } from "../../pipeline/actions.ts";
import type { PortStatus } from "../../ports/port.ts";
import type { FlowMemory } from "../../shm/memory.ts";
import type { Generation, PortNo, PortSpec, RuleChange } from "../datapath.ts";

/** `workerData`. */
export interface WorkerStart {
  readonly memory: FlowMemory;
  readonly seed: number;
  readonly bridge: string;
  readonly baseDir: string;
  readonly mode: "switch" | "observe";
  /** Its nice value. */
  readonly priority: number;
}

export type ToWorker =
  | { readonly kind: "addPort"; readonly call: number; readonly spec: PortSpec }
  | { readonly kind: "removePort"; readonly call: number; readonly no: PortNo }
  | { readonly kind: "program"; readonly generation: Generation; readonly change: RuleChange }
  | { readonly kind: "inject"; readonly frame: Uint8Array; readonly actions: ActionBlock }
  | { readonly kind: "close"; readonly call: number };

export type FromWorker =
  /** Answer to a call; `error` is for a person. */
  | { readonly kind: "done"; readonly call: number; readonly error?: string }
  | { readonly kind: "status"; readonly ports: readonly (readonly [PortNo, PortStatus])[] }
  /** Misses wait. Sent once until the control thread looks. */
  | { readonly kind: "attention" };
