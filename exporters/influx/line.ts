/**
 * InfluxDB line protocol, as 1.x, 2.x and 3.x read it. What it has no escape for in names and tags (line ends, a backslash
 * at the end) is replaced, so that no text of a user can begin a point or a tag of its own.
 */
const MAX_INTEGER = 9223372036854775807n;

/** A tag's value, or a name of a tag or field. */
export function escapeTag(text: string): string {
  return (
    text
      // oxlint-disable-next-line no-control-regex
      .replace(/[\u0000-\u001f\u007f]/g, " ")
      .replace(/\\+$/, (tail) => "/".repeat(tail.length))
      .replace(/[,= ]/g, "\\$&")
  );
}

export function stringField(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return `"${text.replace(/[\u0000-\u001f\u007f]/g, " ").replace(/["\\]/g, "\\$&")}"`;
}

/** A count; "" for what is none. Saturates at 2^63 − 1. */
export function integerField(value: number): string {
  if (!Number.isFinite(value)) return "";
  if (Number.isSafeInteger(value)) return `${value}i`;
  if (Math.abs(value) < Number.MAX_SAFE_INTEGER) return `${Math.trunc(value)}i`;
  const whole = BigInt(Math.trunc(value));
  return `${whole > MAX_INTEGER ? MAX_INTEGER : whole < -MAX_INTEGER ? -MAX_INTEGER : whole}i`;
}

/** One point. Tags without a value are left out; undefined: no field has a value. `ms` is Unix time. */
export function point(
  measurement: string,
  tags: Readonly<Record<string, string | undefined>>,
  fields: Readonly<Record<string, number | string | undefined>>,
  ms: number,
): string | undefined {
  let text = measurement;
  for (const name in tags) {
    const value = tags[name];
    if (value !== undefined && value !== "") text += `,${name}=${escapeTag(value)}`;
  }
  let separator = " ";
  for (const name in fields) {
    const value = fields[name];
    if (value === undefined) continue;
    const said = typeof value === "string" ? stringField(value) : integerField(value);
    if (said === "") continue;
    text += `${separator}${name}=${said}`;
    separator = ",";
  }
  return separator === " " ? undefined : `${text} ${Math.trunc(ms)}`;
}
