/** An address and a port as one word, IPv6 in brackets: "127.0.0.1:2055", "[::1]:2055". Also in the browser. */
export function hostPort(host: string, port: number | string): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
