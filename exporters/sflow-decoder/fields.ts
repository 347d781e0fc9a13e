/** How a structure is described: its fields in the order of the wire, each a function that reads one. */
import type { Cursor } from "./cursor.ts";

type Fields = Readonly<Record<string, (cursor: Cursor) => unknown>>;
type Values<F extends Fields> = { -readonly [K in keyof F]: ReturnType<F[K]> };

export interface Structure<Type extends string, F extends Fields> {
  readonly type: Type;
  readonly read: (cursor: Cursor) => { readonly type: Type } & Values<F>;
}

export function structure<Type extends string, F extends Fields>(type: Type, fields: F): Structure<Type, F> {
  const entries = Object.entries(fields);
  return {
    type,
    read: (cursor) => {
      const values: Record<string, unknown> = { type };
      for (const [name, read] of entries) values[name] = read(cursor);
      return values as { readonly type: Type } & Values<F>;
    },
  };
}

export const u32 = (c: Cursor): number => c.u32();
export const i32 = (c: Cursor): number => c.i32();
export const u64 = (c: Cursor): bigint => c.u64();
export const f32 = (c: Cursor): number => c.f32();
export const mac = (c: Cursor): string => c.mac();
export const ipv4 = (c: Cursor): string => c.ipv4();
export const ipv6 = (c: Cursor): string => c.ipv6();
export const address = (c: Cursor): string => c.address();
export const string = (c: Cursor): string => c.string();
export const u32s = (c: Cursor): number[] => c.list(4, "numbers", u32);
/** Named fields of 32 bits each. */
export const words = <const Names extends readonly string[]>(...names: Names) =>
  Object.fromEntries(names.map((name) => [name, u32])) as Record<Names[number], typeof u32>;
/** The structure may end here: host-sflow added fields later. */
export const optional =
  <T>(read: (c: Cursor) => T) =>
  (c: Cursor): T | undefined =>
    c.left === 0 ? undefined : read(c);

export type Read<T> = { [K in keyof T]: T[K] extends { read: (cursor: Cursor) => infer R } ? R : never }[keyof T];

/** A structure that is not in the catalogue: its bytes. */
export interface UnknownRecord {
  readonly type: "unknown";
  readonly enterprise: number;
  readonly format: number;
  readonly bytes: Uint8Array;
}
