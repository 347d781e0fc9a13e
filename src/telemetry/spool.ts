/**
 * What waits to be sent, in order: pieces of bytes in memory, written to disk when their owner says so, so that they
 * survive a restart. Bounded: the oldest goes first, counted.
 *
 * ```
 * <folder>/<number, 12 digits>-<Unix ms of its oldest>-<items>      one piece a file, made whole by rename
 * ```
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Piece, Spool } from "./exporter.ts";

/** A file takes whole blocks: many small ones must not outgrow the bound. */
const BLOCK_BYTES = 4096;
const FILE = /^(\d{12})-(\d+)-(\d+)$/;

interface Kept extends Piece {
  readonly number: number;
  readonly size: number;
  data: Uint8Array | undefined;
}

/** `folder` undefined: memory only. Nothing is touched before the first call of a method. */
export function spool(folder: string | undefined, maxBytes: number, warn: (message: string) => void): Spool {
  let pieces: Kept[] = [];
  let next = 1;
  let bytes = 0;
  let lostItems = 0;
  let isOpen = false;
  let complained = false;

  const path = ({ number, oldestMs, items }: Kept): string =>
    join(folder!, `${String(number).padStart(12, "0")}-${Math.floor(oldestMs)}-${items}`);
  const sizeOf = (length: number): number => Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES;
  const complain = (error: unknown): void => {
    if (!complained) warn(`spool: ${(error as Error).message}; what waits stays in memory`);
    complained = true;
  };

  const open = (): void => {
    if (isOpen) return;
    isOpen = true;
    if (folder === undefined) return;
    let names: string[] = [];
    try {
      names = readdirSync(folder).sort();
    } catch {
      return; // not there yet
    }
    for (const name of names) {
      const match = FILE.exec(name);
      try {
        if (!match) rmSync(join(folder, name), { force: true, recursive: true });
        else {
          const size = sizeOf(statSync(join(folder, name)).size);
          const [number, oldestMs, items] = match.slice(1).map(Number) as [number, number, number];
          pieces.push({ number, oldestMs, items, size, data: undefined });
          bytes += size;
          next = number + 1;
        }
      } catch (error) {
        complain(error);
      }
    }
    bound();
  };

  const remove = (piece: Kept): void => {
    bytes -= piece.size;
    if (piece.data === undefined && folder !== undefined) rmSync(path(piece), { force: true });
  };

  const bound = (): void => {
    while (bytes > maxBytes && pieces.length > 1) {
      const piece = pieces.shift()!;
      lostItems += piece.items;
      remove(piece);
    }
  };

  return {
    maxBytes,
    push(data, items, oldestMs) {
      open();
      const size = sizeOf(data.length);
      pieces.push({ number: next++, oldestMs, items, size, data });
      bytes += size;
      bound();
    },
    get head() {
      open();
      return pieces[0];
    },
    read(piece) {
      const kept = piece as Kept;
      return kept.data ?? readFileSync(path(kept));
    },
    done(piece) {
      const at = pieces.indexOf(piece as Kept);
      if (at < 0) return; // was dropped meanwhile
      pieces.splice(at, 1);
      remove(piece as Kept);
    },
    keep() {
      open();
      if (folder === undefined) return;
      try {
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        for (const piece of pieces) {
          if (piece.data === undefined) continue;
          const temporary = join(folder, "new");
          writeFileSync(temporary, piece.data, { mode: 0o600 });
          renameSync(temporary, path(piece));
          piece.data = undefined;
        }
      } catch (error) {
        complain(error);
      }
    },
    get stats() {
      return { bytes, pieces: pieces.length, lostItems, ...(pieces[0] && { oldestMs: pieces[0].oldestMs }) };
    },
  };
}
