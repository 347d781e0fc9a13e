/**
 * The datapath's thread: an engine, its ports, and the loop that breathes. Everything it is told comes as messages, in
 * order, between two breaths; everything it says is in shared memory, but for answers to calls and port states.
 */
import { setPriority } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import type { PortStatus } from "../../ports/port.ts";
import { portTypes } from "../../registry.gen.ts";
import { attach, CONTROL_APPLIED } from "../../shm/memory.ts";
import type { PortNo, PortSpec } from "../datapath.ts";
import { monotonicNs } from "./clock.ts";
import { CONTROL_ATTENTION, CONTROL_MESSAGES } from "./wake.ts";
import { Engine } from "./engine.ts";
import { Idle } from "./idle.ts";
import type { FromWorker, ToWorker, WorkerStart } from "./messages.ts";

const STATUS_EVERY_NS = 500e6;
/** Empty breaths before the thread sleeps: the next frames of a busy port are there within this. */
const SPINS = 4;

async function run(start: WorkerStart): Promise<void> {
  // What it has inherited from the main thread goes; 0 is the calling thread.
  setPriority(0, start.priority);
  const control = parentPort!;
  const views = attach(start.memory);
  const engine = new Engine({ memory: views, seed: start.seed, clock: monotonicNs });
  const idle = new Idle(views.control);
  const say = (message: FromWorker): void => control.postMessage(message);
  const statuses = new Map<PortNo, string>();
  let isRunning = true;
  let seen = 0;
  let spins = 0;
  let statusNs = 0;

  async function addPort(spec: PortSpec): Promise<void> {
    const load = (portTypes as Record<string, (typeof portTypes)[keyof typeof portTypes] | undefined>)[spec.type];
    if (load === undefined) throw new Error(`there is no port type ${spec.type}`);
    const type = await load();
    const { bridge, baseDir, mode } = start;
    const env = { name: spec.name, bridge, baseDir, mode, nowNs: monotonicNs() };
    await type.prepare?.();
    engine.attach(spec.no, type.open(spec.options, env));
    idle.watch(engine.ports);
    tellStatus();
  }

  function tellStatus(): void {
    engine.refreshPorts();
    idle.watch(engine.ports);
    const changed: (readonly [PortNo, PortStatus])[] = [];
    for (const { no, port } of engine.ports) {
      const status = port.status();
      const text = JSON.stringify(status);
      if (statuses.get(no) === text) continue;
      statuses.set(no, text);
      changed.push([no, status]);
    }
    if (changed.length > 0) say({ kind: "status", ports: changed });
  }

  async function answer(call: number, work: () => Promise<void> | void): Promise<void> {
    try {
      await work();
      say({ kind: "done", call });
    } catch (error) {
      say({ kind: "done", call, error: error instanceof Error ? error.message : String(error) });
    }
  }

  async function obey(message: ToWorker): Promise<void> {
    switch (message.kind) {
      case "addPort":
        return answer(message.call, () => addPort(message.spec));
      case "removePort":
        return answer(message.call, () => {
          statuses.delete(message.no);
          engine.detach(message.no);
          idle.watch(engine.ports);
        });
      case "program":
        engine.apply(message.change);
        Atomics.store(views.control, CONTROL_APPLIED, message.generation);
        return;
      case "inject":
        engine.inject(message.frame, message.actions);
        return;
      case "close":
        return answer(message.call, () => {
          for (const { no } of engine.ports) engine.detach(no);
          isRunning = false;
        });
    }
  }

  /** Every message that is there, in order. */
  async function obeyAll(): Promise<void> {
    seen = Atomics.load(views.control, CONTROL_MESSAGES);
    for (let got = receiveMessageOnPort(control); got !== undefined; got = receiveMessageOnPort(control))
      await obey(got.message as ToWorker);
  }

  /**
   * Tell the control thread, once until it looks, that a frame waits for an answer. Samples and notices wait for its next
   * turn: called for each of them, it took a fifteenth of a processor to find nothing to do.
   */
  function callAttention(): void {
    if (views.misses.peek() < 0) return;
    if (Atomics.compareExchange(views.control, CONTROL_ATTENTION, 0, 1) === 0) say({ kind: "attention" });
  }

  while (isRunning) {
    if (Atomics.load(views.control, CONTROL_MESSAGES) !== seen) await obeyAll();
    const now = monotonicNs();
    const frames = engine.breathe(now);
    if (now - statusNs >= STATUS_EVERY_NS) {
      statusNs = now;
      tellStatus();
    }
    if (frames > 0) {
      spins = 0;
      callAttention();
    } else if (++spins > SPINS) {
      callAttention();
      idle.sleep(now, Math.min((statusNs + STATUS_EVERY_NS - now) / 1e6, 100));
    }
    if (idle.needsTurn) await nextTurn();
  }
}

await run(workerData as WorkerStart);
