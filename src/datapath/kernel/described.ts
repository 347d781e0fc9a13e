/**
 * The layout as a value: every number that the programs, this process and the next one must agree on. It is written into the
 * maps' `meta`; a process that finds another one there replaces the maps (take-over.ts).
 */
import * as key from "../../flow/key.ts";
import { LEDGER_COUNTS } from "../../flow/ledger.ts";
import * as counters from "../../shm/counters.ts";
import { RECORD_BYTES, RECORD_VERSION } from "../../shm/log.ts";
import * as slots from "../../shm/slots.ts";
import { MAX_MASKS, MAX_PORTS, MAX_RULES } from "../datapath.ts";
import * as layout from "./layout.ts";

function numbers(all: Readonly<Record<string, unknown>>, wanted: RegExp): [string, number][] {
  return Object.entries(all).filter(
    (entry): entry is [string, number] => typeof entry[1] === "number" && wanted.test(entry[0]),
  );
}

export const LAYOUT: Readonly<Record<string, number>> = Object.fromEntries(
  [
    ...numbers(slots, /^SLOT_|^KEY_WORDS/),
    ...numbers(key, /^KEY_PORT$/),
    ...numbers(counters, /^C_|^COUNTERS_PER_PORT$/),
    ...numbers(layout, /WORDS$|^(S|P|UP|SET|RULE|MASK|BLOCK|MAX|BUCKET|HASH)_|^DIRECT/),
    ...Object.entries({ LEDGER_COUNTS, RECORD_BYTES, RECORD_VERSION, MAX_MASKS, MAX_PORTS, MAX_RULES }),
  ].toSorted(([a], [b]) => (a < b ? -1 : 1)),
);
