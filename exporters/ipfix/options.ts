/** Options of IPFIX (RFC 7011 section 3.4.2): what is known of sampling, of this exporter and of interfaces. */
import * as element from "../../src/wire/ipfix-elements.ts";
import type { Element } from "../../src/wire/ipfix-elements.ts";

/**
 * RFC 5477: how the packets behind the flow records were selected. There is one selector, so that
 * records need not name it.
 */
export const SAMPLING_OPTIONS = {
  scopes: 1,
  elements: [
    element.SELECTOR_ID,
    element.SELECTOR_ALGORITHM,
    element.SAMPLING_PACKET_INTERVAL,
    element.SAMPLING_PACKET_SPACE,
    element.SAMPLING_SIZE,
    element.SAMPLING_POPULATION,
  ],
};

/** The same once more, for nfdump 1.7 learns a rate from 34 where nothing else stands beside it, and from nothing else. */
export const INTERVAL_OPTIONS = { scopes: 1, elements: [element.OBSERVATION_DOMAIN_ID, element.SAMPLING_INTERVAL] };

/** RFC 7011 section 4.3, in the manner of "The Exporting Process Reliability Statistics". */
export const EXPORTER_OPTIONS = {
  scopes: 1,
  elements: [
    element.EXPORTING_PROCESS_ID,
    element.EXPORTED_OCTET_TOTAL_COUNT,
    element.EXPORTED_MESSAGE_TOTAL_COUNT,
    element.EXPORTED_FLOW_RECORD_TOTAL_COUNT,
    element.NOT_SENT_FLOW_TOTAL_COUNT,
    element.NOT_SENT_PACKET_TOTAL_COUNT,
  ],
};

/** selectorAlgorithm (IANA, "PSAMP Parameters"). */
export const SYSTEMATIC_COUNT_BASED = 1;
export const RANDOM_N_OUT_OF_N = 3;

/** Element of the user's own PEN: the tenant that owns the interface, a string. Below 2^14, so that it may be reversed. */
const TENANT = 1;
const TENANT_BYTES = 32;

/**
 * One for each port. Strings have a fixed length: nfdump 1.7 does not read interfaces from records of variable length.
 * The tenant has no element of IANA's: it is said where there is a PEN to say it under.
 */
export function interfaceOptions(pen: number | undefined): { scopes: number; elements: Element[] } {
  const elements = [
    element.INGRESS_INTERFACE,
    element.INTERFACE_NAME,
    element.INTERFACE_DESCRIPTION,
    element.VIRTUAL_STATION_NAME,
    element.VIRTUAL_STATION_UUID,
  ];
  if (pen !== undefined) elements.push({ id: TENANT, name: "tenant", bytes: TENANT_BYTES, pen });
  return { scopes: 1, elements };
}

/** nfdump 1.7 takes a scope, 10 and 83 for the whole of such a record, whatever else the template names. */
export const INTERFACE_OPTIONS_NFDUMP = {
  scopes: 1,
  elements: [element.OBSERVATION_DOMAIN_ID, element.INGRESS_INTERFACE, element.INTERFACE_DESCRIPTION],
};
