/** Numbers for people: SI units for rates, separators for counts, and durations. Decimal (k = 1000), as networks count. */

const GROUPS = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** 1204881 → "1,204,881" */
export function count(value: number): string {
  return GROUPS.format(value);
}

const SI = ["", "k", "M", "G", "T", "P", "E"] as const;

/** Three digits and a letter: 1.21G, 402M, 51k, 0.4, 0. */
export function si(value: number): string {
  if (!Number.isFinite(value) || value < 0.05) return "0";
  if (value < 10) return trim(value.toFixed(1));
  let scaled = value;
  let unit = 0;
  // 999.5 would round to a fourth digit: it is 1k.
  while (scaled >= 999.5 && unit < SI.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return (scaled >= 999.5 ? String(Math.round(scaled)) : trim(scaled.toPrecision(3))) + SI[unit]!;
}

function trim(digits: string): string {
  return digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
}

/** "31.4 Mbit/s" */
export function bitRate(bps: number): string {
  const [, number, unit] = /^([\d.]+)(.*)$/.exec(si(bps))!;
  return `${number} ${unit}bit/s`;
}

/** A link's speed: "10G"; "" when unknown. */
export function linkSpeed(bps: number): string {
  return bps > 0 ? si(bps) : "";
}

/** "4.1 MiB" */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1023.5 && unit < units.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${unit === 0 ? count(scaled) : trim(scaled.toFixed(1))} ${units[unit]!}`;
}

const STEPS = [
  { unit: "d", ms: 86_400_000 },
  { unit: "h", ms: 3_600_000 },
  { unit: "m", ms: 60_000 },
  { unit: "s", ms: 1000 },
] as const;

/** One unit, for columns: "41s", "9m", "3d". */
export function age(ms: number): string {
  const step = STEPS.find((entry) => ms >= entry.ms * (entry.unit === "s" ? 1 : 2)) ?? STEPS[3];
  return `${Math.max(0, Math.floor(ms / step.ms))}${step.unit}`;
}

/** Two units, for sentences: "3 d 4 h", "16 m 2 s", "0.4 s". */
export function duration(ms: number): string {
  if (ms < 10_000) return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
  const first = STEPS.findIndex((step) => ms >= step.ms);
  const { unit, ms: size } = STEPS[first]!;
  const next = STEPS[first + 1];
  const rest = next === undefined ? 0 : Math.floor((ms % size) / next.ms);
  return `${Math.floor(ms / size)} ${unit}${rest > 0 ? ` ${rest} ${next!.unit}` : ""}`;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** "03:14:07", local. */
export function clock(unixMs: number): string {
  const date = new Date(unixMs);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** "2026-11-23 03:14:07 +01:00", local. */
export function dateTime(unixMs: number): string {
  const date = new Date(unixMs);
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(unixMs)} ${zone}`;
}

/** "00:12", "1:02:03": how long something runs. */
export function stopwatch(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const hours = Math.floor(seconds / 3600);
  const rest = `${two(Math.floor((seconds % 3600) / 60))}:${two(seconds % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}
