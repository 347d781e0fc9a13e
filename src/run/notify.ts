/** What systemd is told (sd_notify(3)): nothing where $NOTIFY_SOCKET is not set. */
import { notify as send } from "../sys/unix.ts";

export interface Notify {
  (state: string): void;
  /** Every how many ms WATCHDOG=1 is due, 0 = never. */
  readonly watchdogMs: number;
}

export function createNotify(env: Readonly<Record<string, string | undefined>>, pid: number): Notify {
  const path = env.NOTIFY_SOCKET;
  const isOurs = env.WATCHDOG_PID === undefined || Number(env.WATCHDOG_PID) === pid;
  const watchdogMs = path !== undefined && isOurs ? Number(env.WATCHDOG_USEC ?? 0) / 2000 : 0;
  const notify = (state: string): void => {
    if (path === undefined) return;
    try {
      send(path, state);
    } catch {
      // koffi is missing: the service manager learns nothing, the switch goes on.
    }
  };
  return Object.assign(notify, { watchdogMs: Number.isFinite(watchdogMs) ? watchdogMs : 0 });
}
