/** Options of NetFlow version 9 (RFC 3954 section 6): what is known of the exporter and its interfaces, not of flows. */
import * as element from "../../src/wire/ipfix-elements.ts";

/** Told with every template: the sampling that flow records were under. Collectors know the first three, or the others. */
export const SAMPLING_OPTIONS = {
  scopes: 1,
  elements: [
    element.SCOPE_SYSTEM,
    element.SAMPLER_ID,
    element.SAMPLER_MODE,
    element.SAMPLER_RANDOM_INTERVAL,
    element.SAMPLING_INTERVAL,
    element.SAMPLING_ALGORITHM,
  ],
};

/** Told with every template: what was sent so far. */
export const EXPORTER_OPTIONS = {
  scopes: 1,
  elements: [
    element.SCOPE_SYSTEM,
    element.EXPORTED_OCTET_TOTAL_COUNT,
    element.EXPORTED_MESSAGE_TOTAL_COUNT,
    element.EXPORTED_FLOW_RECORD_TOTAL_COUNT,
  ],
};

/** One for each port, by ifIndex. */
export const INTERFACE_OPTIONS = {
  scopes: 1,
  elements: [element.SCOPE_INTERFACE, element.INTERFACE_NAME, element.INTERFACE_DESCRIPTION],
};

/** Sampler and sampling modes: 1 deterministic, 2 random (RFC 3954 section 8). */
export const MODE_DETERMINISTIC = 1;
export const MODE_RANDOM = 2;
