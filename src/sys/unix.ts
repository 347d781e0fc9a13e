/**
 * sd_notify(3): one datagram to the service manager's Unix socket, which Node's own sockets cannot send.
 */
import { AF_UNIX, libc, SOCK_CLOEXEC, SOCK_DGRAM } from "./libc.ts";

/** sun_path is 108 bytes, the family 2. */
const PATH_BYTES = 108;

/**
 * Send `READY=1`, `STATUS=…` and so on to the socket named by $NOTIFY_SOCKET (`@name` = abstract). False when it could
 * not be sent, which is never worth stopping for. Throws only where koffi is missing.
 */
export function notify(socketPath: string, state: string): boolean {
  const path = new TextEncoder().encode(socketPath);
  if (path.length === 0 || path.length >= PATH_BYTES) return false;
  const address = new Uint8Array(2 + path.length);
  address[0] = AF_UNIX;
  address.set(path, 2);
  if (socketPath.startsWith("@")) address[2] = 0;
  const c = libc();
  const fd = c.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const message = new TextEncoder().encode(state);
  const sent = c.sendto(fd, message, message.length, 0, address, address.length);
  c.close(fd);
  return sent === message.length;
}
