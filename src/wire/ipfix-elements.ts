/**
 * Information elements, as NetFlow version 9 (RFC 3954 section 8) and IPFIX (IANA "IPFIX Information Elements") number
 * them: below 128 both registries say the same. Lengths are those Weir writes, in bytes: strings have
 * a fixed one, are cut where they are longer, and filled with zeros.
 */

export interface Element {
  readonly id: number;
  /** IANA's name. */
  readonly name: string;
  readonly bytes: number;
  /** Private Enterprise Number, where the element is not IANA's (RFC 7011 section 3.2). */
  readonly pen?: number;
}

const element = (id: number, name: string, bytes: number): Element => ({ id, name, bytes });

export const OCTET_DELTA_COUNT = element(1, "octetDeltaCount", 8);
export const PACKET_DELTA_COUNT = element(2, "packetDeltaCount", 8);
export const PROTOCOL_IDENTIFIER = element(4, "protocolIdentifier", 1);
export const IP_CLASS_OF_SERVICE = element(5, "ipClassOfService", 1);
/** One byte in NetFlow v9, two in IPFIX (RFC 7125). */
export const TCP_CONTROL_BITS = element(6, "tcpControlBits", 2);
export const SOURCE_TRANSPORT_PORT = element(7, "sourceTransportPort", 2);
export const SOURCE_IPV4_ADDRESS = element(8, "sourceIPv4Address", 4);
export const INGRESS_INTERFACE = element(10, "ingressInterface", 4);
export const DESTINATION_TRANSPORT_PORT = element(11, "destinationTransportPort", 2);
export const DESTINATION_IPV4_ADDRESS = element(12, "destinationIPv4Address", 4);
export const EGRESS_INTERFACE = element(14, "egressInterface", 4);
/** LAST_SWITCHED and FIRST_SWITCHED of NetFlow v9: ms of SysUptime. */
export const FLOW_END_SYS_UP_TIME = element(21, "flowEndSysUpTime", 4);
export const FLOW_START_SYS_UP_TIME = element(22, "flowStartSysUpTime", 4);
export const SOURCE_IPV6_ADDRESS = element(27, "sourceIPv6Address", 16);
export const DESTINATION_IPV6_ADDRESS = element(28, "destinationIPv6Address", 16);
export const ICMP_TYPE_CODE_IPV4 = element(32, "icmpTypeCodeIPv4", 2);
export const SAMPLING_INTERVAL = element(34, "samplingInterval", 4);
export const SAMPLING_ALGORITHM = element(35, "samplingAlgorithm", 1);
export const EXPORTED_OCTET_TOTAL_COUNT = element(40, "exportedOctetTotalCount", 8);
export const EXPORTED_MESSAGE_TOTAL_COUNT = element(41, "exportedMessageTotalCount", 8);
export const EXPORTED_FLOW_RECORD_TOTAL_COUNT = element(42, "exportedFlowRecordTotalCount", 8);
export const SAMPLER_ID = element(48, "samplerId", 1);
export const SAMPLER_MODE = element(49, "samplerMode", 1);
export const SAMPLER_RANDOM_INTERVAL = element(50, "samplerRandomInterval", 4);
export const SOURCE_MAC_ADDRESS = element(56, "sourceMacAddress", 6);
export const VLAN_ID = element(58, "vlanId", 2);
export const IP_VERSION = element(60, "ipVersion", 1);
export const FLOW_DIRECTION = element(61, "flowDirection", 1);
export const DESTINATION_MAC_ADDRESS = element(80, "destinationMacAddress", 6);
export const INTERFACE_NAME = element(82, "interfaceName", 16);
export const INTERFACE_DESCRIPTION = element(83, "interfaceDescription", 64);
export const FORWARDING_STATUS = element(89, "forwardingStatus", 1);
export const DROPPED_OCTET_DELTA_COUNT = element(132, "droppedOctetDeltaCount", 8);
export const DROPPED_PACKET_DELTA_COUNT = element(133, "droppedPacketDeltaCount", 8);
export const FLOW_END_REASON = element(136, "flowEndReason", 1);
export const ICMP_TYPE_CODE_IPV6 = element(139, "icmpTypeCodeIPv6", 2);
export const EXPORTING_PROCESS_ID = element(144, "exportingProcessId", 4);
export const OBSERVATION_DOMAIN_ID = element(149, "observationDomainId", 4);
export const FLOW_START_MILLISECONDS = element(152, "flowStartMilliseconds", 8);
export const FLOW_END_MILLISECONDS = element(153, "flowEndMilliseconds", 8);
export const NOT_SENT_FLOW_TOTAL_COUNT = element(166, "notSentFlowTotalCount", 8);
export const NOT_SENT_PACKET_TOTAL_COUNT = element(167, "notSentPacketTotalCount", 8);
export const DOT1Q_VLAN_ID = element(243, "dot1qVlanId", 2);
export const DOT1Q_PRIORITY = element(244, "dot1qPriority", 1);
export const DOT1Q_CUSTOMER_VLAN_ID = element(245, "dot1qCustomerVlanId", 2);
export const ETHERNET_TYPE = element(256, "ethernetType", 2);
export const SELECTOR_ID = element(302, "selectorId", 8);
export const SELECTOR_ALGORITHM = element(304, "selectorAlgorithm", 2);
export const SAMPLING_PACKET_INTERVAL = element(305, "samplingPacketInterval", 4);
export const SAMPLING_PACKET_SPACE = element(306, "samplingPacketSpace", 4);
export const SAMPLING_SIZE = element(309, "samplingSize", 4);
export const SAMPLING_POPULATION = element(310, "samplingPopulation", 4);
/** The VM behind an interface; its id as text, as the host's configuration has it. */
export const VIRTUAL_STATION_UUID = element(349, "virtualStationUUID", 36);
export const VIRTUAL_STATION_NAME = element(350, "virtualStationName", 32);
export const LAYER2_OCTET_DELTA_COUNT = element(352, "layer2OctetDeltaCount", 8);

/** A scope of NetFlow v9 options (RFC 3954 section 6.1): its number is no element's. */
export const SCOPE_SYSTEM = element(1, "System", 4);
