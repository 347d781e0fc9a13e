/** Quantities as people write them: one number, one unit. Used by configuration, commands and the filter language. */

export interface Unit {
  /** What it measures, with its article: "a duration". */
  readonly what: string;
  /** Symbol → how many of the base unit. The first one is what a bare number is told to write. */
  readonly factors: Readonly<Record<string, number>>;
  /** A number without a symbol is allowed and counts the base unit. */
  readonly plain?: boolean;
  /** Results are whole numbers of the base unit. */
  readonly whole?: boolean;
}

/** Base: ms. */
export const DURATION: Unit = {
  what: "a duration",
  factors: { s: 1000, ms: 1, m: 60_000, h: 3_600_000, d: 86_400_000 },
};
/** Base: packets/s. */
export const PACKET_RATE: Unit = { what: "a packet rate", factors: { pps: 1, kpps: 1e3, Mpps: 1e6 } };
/** Base: bit/s. */
export const BIT_RATE: Unit = {
  what: "a bit rate",
  factors: { bit: 1, kbit: 1e3, Mbit: 1e6, Gbit: 1e9, bps: 1, kbps: 1e3, Mbps: 1e6, Gbps: 1e9 },
};
/** Base: bytes. */
export const BYTE_SIZE: Unit = {
  what: "a size in bytes",
  factors: { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 },
  plain: true,
  whole: true,
};
/** Base: a share, 0..1. */
export const PERCENT: Unit = { what: "a percentage", factors: { "%": 0.01 } };

/** What people write instead, by what they mean. */
const SLIPS: Readonly<Record<string, string>> = {
  sec: "s",
  secs: "s",
  second: "s",
  seconds: "s",
  min: "m",
  mins: "m",
  minute: "m",
  minutes: "m",
  hr: "h",
  hour: "h",
  hours: "h",
  day: "d",
  days: "d",
  msec: "ms",
  "p/s": "pps",
  "bit/s": "bit",
  "kbit/s": "kbit",
  "mbit/s": "Mbit",
  "gbit/s": "Gbit",
  k: "KiB",
  kb: "KiB",
  m: "MiB",
  mb: "MiB",
  g: "GiB",
  gb: "GiB",
  percent: "%",
};

export type Quantity = { readonly value: number } | { readonly problem: string };

const SHAPE = /^(\d{1,15}(?:\.\d{1,9})?) ?([^\d\s.]{0,16})$/;

/** Never throws; a problem says what to write instead. */
export function parseQuantity(input: unknown, unit: Unit): Quantity {
  const symbols = Object.keys(unit.factors);
  const help = `${symbols.join(" ")}${unit.plain ? ", or a plain number of bytes" : ""}`;
  const shown = typeof input === "string" ? JSON.stringify(input.slice(0, 40)) : String(input).slice(0, 40);
  if (typeof input !== "string" && typeof input !== "number")
    return { problem: `expected ${unit.what} such as 10${symbols[0]} (${help})` };
  const match = SHAPE.exec(String(input));
  if (!match) return { problem: `${shown} is not ${unit.what}: write it as 10${symbols[0]} (${help})` };
  const [, digits, symbol] = match as unknown as [string, string, string];
  if (symbol === "" && !unit.plain) return { problem: `${digits} has no unit: write ${digits}${symbols[0]} (${help})` };
  const factor = symbol === "" ? 1 : Object.hasOwn(unit.factors, symbol) ? unit.factors[symbol]! : undefined;
  if (factor === undefined) {
    const slip = SLIPS[symbol.toLowerCase()];
    const meant =
      symbols.find((known) => known.toLowerCase() === symbol.toLowerCase()) ??
      (slip !== undefined && symbols.includes(slip) ? slip : undefined);
    return { problem: `${shown} is not ${unit.what}: write ${meant ? digits + meant : `10${symbols[0]}`} (${help})` };
  }
  // Decimal fractions of a decimal factor: 0.07s is 70 ms, not 70.00000000000001.
  const value = Number((Number(digits) * factor).toPrecision(15));
  if (unit.whole && !Number.isInteger(value)) return { problem: `${shown} is not a whole number of bytes` };
  return { value };
}

/** The shortest exact form: 60000 → "1m", 5000 pps → "5kpps". parseQuantity reads it back to the same value. */
export function formatQuantity(value: number, unit: Unit): string {
  const symbols = Object.entries(unit.factors).sort((a, b) => b[1] - a[1]);
  const smallest = symbols.at(-1)!;
  const whole = symbols.find(([, factor]) => value !== 0 && Number.isInteger(Number((value / factor).toPrecision(15))));
  if (!whole) return unit.plain ? String(value) : `${Number((value / smallest[1]).toPrecision(12))}${smallest[0]}`;
  return `${Number((value / whole[1]).toPrecision(15))}${whole[0]}`;
}
