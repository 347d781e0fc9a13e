/** Options of NetFlow version 9 (RFC 3954 section 6): what is known of the exporter and its interfaces, not of flows. */
import * as element from "../../src/wire/ipfix-elements.ts";

/** Told with every template: the sampling that flow records were under, as pmacct and Cisco's own collectors read it. */
export const SAMPLING_OPTIONS = {
  scopes: 1,
  elements: [element.SCOPE_SYSTEM, element.SAMPLER_ID, element.SAMPLER_MODE, element.SAMPLER_RANDOM_INTERVAL],
};

/** The same once more, for nfdump 1.7 learns a rate from 34 where nothing else stands beside it, and from nothing else. */
export const INTERVAL_OPTIONS = { scopes: 1, elements: [element.SCOPE_SYSTEM, element.SAMPLING_INTERVAL] };

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

/** One for each port, in the form of Cisco's "option interface-table", which collectors know: the ifIndex is a field. */
export const INTERFACE_OPTIONS = {
  scopes: 1,
  elements: [element.SCOPE_SYSTEM, element.INGRESS_INTERFACE, element.INTERFACE_NAME, element.INTERFACE_DESCRIPTION],
};

/** nfdump 1.7 takes the scope, 10 and 83 for the whole of such a record, whatever else the template names. */
export const INTERFACE_OPTIONS_NFDUMP = {
  scopes: 1,
  elements: [element.SCOPE_SYSTEM, element.INGRESS_INTERFACE, element.INTERFACE_DESCRIPTION],
};

/** samplingAlgorithm: 1 deterministic, 2 random (RFC 3954 section 8). */
export const MODE_DETERMINISTIC = 1;
export const MODE_RANDOM = 2;
