/**
 * ARP, RFC 826.
 *
 * ```
 *  0 hardware type 2 | 2 protocol type 2 | 4 hardware length 1 | 5 protocol length 1 | 6 operation 2
 *  8 sender hardware | sender protocol | target hardware | target protocol       Ethernet and IPv4: 8, 14, 18, 24
 * ```
 */
export const ARP_HARDWARE = 0;
export const ARP_PROTOCOL = 2;
export const ARP_HARDWARE_LENGTH = 4;
export const ARP_PROTOCOL_LENGTH = 5;
export const ARP_OPERATION = 6;
/** What every ARP packet has, whatever it resolves. */
export const ARP_FIXED_BYTES = 8;

export const ARP_HARDWARE_ETHERNET = 1;
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

/** For Ethernet and IPv4. */
export const ARP_SENDER_MAC = 8;
export const ARP_SENDER_IP = 14;
export const ARP_TARGET_MAC = 18;
export const ARP_TARGET_IP = 24;
export const ARP_ETHERNET_IPV4_BYTES = 28;
