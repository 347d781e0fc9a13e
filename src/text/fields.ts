/**
 * Fields of configuration schemas that more than one part needs: quantities with units, VLAN ids and sets, MAC addresses.
 * Port types and exporters use them in their own schemas: `z.strictObject({ rate: packetRate().optional() })`.
 */
import * as z from "zod";
import {
  BIT_RATE,
  BYTE_SIZE,
  DURATION,
  PACKET_RATE,
  PERCENT,
  formatQuantity,
  parseQuantity,
  type Unit,
} from "./units.ts";

export interface Range {
  /** Smallest and largest allowed value, in the base unit. */
  readonly min?: number;
  readonly max?: number;
}

/** A field read by a function that returns the value or a problem; `json` describes what may be written. */
function read<T>(parse: (input: unknown) => { value: T } | { problem: string }, json: Record<string, unknown>) {
  return z
    .unknown()
    .transform((input, context): T => {
      const result = input === undefined ? { problem: "required" } : parse(input);
      if ("value" in result) return result.value;
      context.addIssue({ code: "custom", message: result.problem, input });
      return z.NEVER;
    })
    .meta(json);
}

function quantity(unit: Unit, range: Range) {
  const symbols = Object.keys(unit.factors);
  const pattern = `^[0-9]+(\\.[0-9]+)? ?(${symbols.join("|")})${unit.plain ? "?" : ""}$`;
  const text = { type: "string", pattern, description: `${unit.what}, such as 10${symbols[0]} (${symbols.join(" ")})` };
  return read<number>(
    (input) => {
      const result = parseQuantity(input, unit);
      if ("problem" in result) return result;
      const { min = 0, max = Number.MAX_SAFE_INTEGER } = range;
      if (result.value >= min && result.value <= max) return result;
      const least = formatQuantity(min, unit);
      const limits = range.max === undefined ? `at least ${least}` : `${least} to ${formatQuantity(max, unit)}`;
      return { problem: `${String(input)} is out of range: ${limits}` };
    },
    unit.plain ? { anyOf: [{ type: "integer", minimum: 0 }, text] } : text,
  );
}

/** `60s` → ms. */
export const duration = (range: Range = {}) => quantity(DURATION, range);
/** `5kpps` → packets/s. */
export const packetRate = (range: Range = {}) => quantity(PACKET_RATE, range);
/** `100Mbit` → bit/s. */
export const bitRate = (range: Range = {}) => quantity(BIT_RATE, range);
/** `64MiB`, `512` → bytes. */
export const byteSize = (range: Range = {}) => quantity(BYTE_SIZE, range);
/** `50%` → 0.5. */
export const percent = (range: Range = { min: 0, max: 1 }) => quantity(PERCENT, range);

const VLAN_MIN = 1;
const VLAN_MAX = 4094;
const isVlan = (id: unknown): id is number =>
  Number.isInteger(id) && (id as number) >= VLAN_MIN && (id as number) <= VLAN_MAX;
const notVlan = (input: unknown) => {
  const shown = typeof input === "object" && input !== null ? "this" : String(input).slice(0, 40);
  return { problem: `${shown} is not a VLAN id (${VLAN_MIN}..${VLAN_MAX})` };
};

/** A VLAN id, 1..4094 (IEEE 802.1Q: 0 is "priority only", 4095 reserved). */
export const vlanId = () =>
  read<number>((input) => (isVlan(input) ? { value: input } : notVlan(input)), {
    type: "integer",
    minimum: VLAN_MIN,
    maximum: VLAN_MAX,
  });

const vlanRange = { type: "string", pattern: "^[0-9]{1,4}-[0-9]{1,4}$" };
const vlanItem = { anyOf: [{ type: "integer", minimum: VLAN_MIN, maximum: VLAN_MAX }, vlanRange] };

/** One entry of a VLAN list: an id, or a range `100-200` with both ends in it. */
const vlanEntry = () =>
  read<readonly number[]>((input) => {
    if (isVlan(input)) return { value: [input] };
    const match = typeof input === "string" ? /^(\d{1,4}) ?- ?(\d{1,4})$/.exec(input) : null;
    if (!match) {
      if (input === "all") return { problem: `all stands alone: write all, not a list` };
      return typeof input === "string" && /[-,]/.test(input)
        ? {
            problem: `${JSON.stringify(input.slice(0, 40))} is not a VLAN range: write 100-200, and a list as [100-200, 300]`,
          }
        : notVlan(input);
    }
    const from = Number(match[1]);
    const to = Number(match[2]);
    if (!isVlan(from)) return notVlan(from);
    if (!isVlan(to)) return notVlan(to);
    if (from > to) return { problem: `${input as string} runs backwards: write ${to}-${from}` };
    return { value: Array.from({ length: to - from + 1 }, (_, index) => from + index) };
  }, vlanItem);

const merge = (lists: readonly (readonly number[])[]) => [...new Set(lists.flat())].sort((a, b) => a - b);

/** `[100-200, 300]` → ids, sorted, each once. */
export const vlanList = () => z.array(vlanEntry()).max(VLAN_MAX).transform(merge);

/** `all`, or a list as vlanList reads it. */
export const vlanSet = () => {
  const list = z.array(vlanEntry()).min(1, "an empty list carries no VLAN: write all, or the ids").max(VLAN_MAX);
  return z
    .unknown()
    .transform((input, context): readonly number[] | "all" => {
      if (input === "all") return "all";
      if (!Array.isArray(input)) {
        const example = typeof input === "number" || typeof input === "string" ? `[${input}]` : "[100-200, 300]";
        context.addIssue({ code: "custom", message: `expected a list of VLAN ids: write ${example} or all`, input });
        return z.NEVER;
      }
      const result = list.safeParse(input);
      if (result.success) return merge(result.data);
      for (const issue of result.error.issues)
        context.addIssue({ ...issue, input } as Parameters<typeof context.addIssue>[0]);
      return z.NEVER;
    })
    .meta({ anyOf: [{ const: "all" }, { type: "array", minItems: 1, items: vlanItem }] });
};

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/** "52:54:00:12:34:56", in any case and with `:` or `-` → lower case with colons. */
export const macAddress = () =>
  z
    .string()
    .transform((input, context) => {
      const value = input.toLowerCase().replaceAll("-", ":");
      if (MAC.test(value)) return value;
      const message = `${JSON.stringify(input.slice(0, 40))} is not a MAC address such as "52:54:00:12:34:56"`;
      context.addIssue({ code: "custom", message, input });
      return z.NEVER;
    })
    .meta({ pattern: "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$" });

/** Text of 1 to `max` characters without control characters. */
export const text = (max = 255) =>
  z
    .string()
    .min(1, "may not be empty")
    .max(max, `is longer than ${max} characters`)
    .refine((value) => !/\p{Cc}/u.test(value), "holds a control character");

/** IFNAMSIZ − 1, and no slash: what the kernel takes (dev_valid_name). */
export const deviceName = () =>
  z
    .string()
    .min(1)
    .max(15, "a device name has at most 15 characters")
    .regex(/^[^\s/:]+$/, "a device name has no space, slash or colon");
