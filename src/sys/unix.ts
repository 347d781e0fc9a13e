/**
 * Unix sockets that Node's own cannot be: a datagram to the service manager (sd_notify(3)), and an abstract name as a
 * lock (unix(7)).
 */
import { AF_UNIX, errno, libc, SOCK_CLOEXEC, SOCK_DGRAM, SystemError } from "./libc.ts";

const EADDRINUSE = 98;

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

/**
 * Hold a name that no other thread or process of this network namespace holds. It ends with the process, however that
 * ends. Returns a function that lets go; undefined: somebody has it. Throws a SystemError where there are no sockets.
 */
export function holdName(name: string): (() => void) | undefined {
  const c = libc();
  const fd = c.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new SystemError(`hold the name ${name}`, errno());
  const text = new TextEncoder().encode(name);
  const address = new Uint8Array(3 + text.length);
  address[0] = AF_UNIX;
  address.set(text, 3);
  if (c.bind(fd, address, address.length) === 0) return () => void c.close(fd);
  const why = errno();
  c.close(fd);
  if (why === EADDRINUSE) return undefined;
  throw new SystemError(`hold the name ${name}`, why);
}
