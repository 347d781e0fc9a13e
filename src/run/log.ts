/** The process's own log: JSON lines to stderr (pino), one sentence a line for a person at a terminal. */
import { pino } from "pino";

export type Level = "info" | "warn" | "error";
export type Log = (level: Level, message: string, fields?: Readonly<Record<string, unknown>>) => void;

export function createLog(isTerminal: boolean): Log {
  if (isTerminal)
    return (level, message) => {
      if (level !== "info") process.stderr.write(`weir: ${message}\n`);
    };
  // Synchronous: the last words of a process that dies are the ones that matter, and there are few lines.
  const logger = pino({ base: { pid: process.pid } }, pino.destination({ dest: 2, sync: true }));
  return (level, message, fields) => logger[level](fields ?? {}, message);
}
